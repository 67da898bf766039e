"""Start-up time, and memory and CPU of the idle service.

Start-up: from the start of the process to the first 200 of its readiness, fresh processes, the median. Idle: one
ready process with Redis and no connection but that.
"""

import statistics
import time
from functools import partial

from bench.processes import read_rss
from bench.results import Figure
from bench.rounds import running_redis, running_server, watched
from bench.setting import MEBIBYTE, Findings, Setting, company, noted


def measure(setting: Setting) -> Findings:
    return Findings([start_up(setting), *idle(setting)])


def start_up(setting: Setting) -> Figure:
    starts = setting.length(11, 3)
    taken = []
    with running_redis(setting.directory) as redis_port:
        for _ in range(starts):
            began = time.monotonic()
            with running_server(setting.server, setting.directory, redis_port=redis_port, redis_db=0):
                taken.append(time.monotonic() - began)
    spread = f"{min(taken):.2f} to {max(taken):.2f} s"
    return Figure(f"ready after the start (median of {starts})", statistics.median(taken), "s", 0.4, spread)


def idle(setting: Setting) -> list[Figure]:
    seconds = setting.length(6.0, 2.0)
    with (
        running_redis(setting.directory) as redis_port,
        running_server(setting.server, setting.directory, redis_port=redis_port, redis_db=0) as running,
    ):
        _, watch = watched(running, partial(time.sleep, seconds))
        share = watch.cpu.microseconds / watch.duration_us
        resident = read_rss(running.pid) / MEBIBYTE
    return [
        Figure("idle: resident memory", resident, "MB", 40),
        noted(Figure("idle: CPU", share * 100, "%", 0.5), company(watch.others)),
    ]
