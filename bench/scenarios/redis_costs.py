"""Cost of the service in Redis: memory of a record, commands and CPU time of a request.

Bytes are the mean of `MEMORY USAGE` over 1,000 keys of the kind, which holds key, value and expiry. Calls and CPU
time of Redis per request are those of the workload cached-proxy over 64 connections, saturated: one script call
takes all requests of an event-loop tick, so with fewer requests at a time there are more calls for each.
"""

import statistics
from contextlib import closing
from itertools import islice

import redis

from bench.processes import read_cpu, spent
from bench.results import Figure
from bench.rounds import measure as measure_load
from bench.rounds import redis_pid
from bench.scripts import write_script
from bench.servers import lasting
from bench.setting import Findings, Setting, stand
from bench.workloads import Workload

KEYS_LOOKED_AT = 1_000


def measure(setting: Setting) -> Findings:
    workload = Workload.named("cached-proxy")
    server = lasting(setting.server)
    with (
        stand(setting, server, workload) as (running, _, port),
        closing(redis.Redis(host="127.0.0.1", port=port)) as client,
    ):
        script = write_script(workload, running.suffix, setting.directory, next(setting.serials))
        client.config_resetstat()
        pid = redis_pid(port)
        before = read_cpu(pid)
        load, _ = measure_load(running, script, setting.length(4, 2))
        cpu = spent(before, read_cpu(pid)).microseconds
        figures = [
            Figure("script calls per request", script_calls(client) / load.requests, ""),
            Figure("CPU of Redis per request", cpu / load.requests, "us"),
        ]
        for title, pattern, at_most in (
            ("bytes per limiter cell", server.cell_keys, 120),
            ("bytes per identity", server.identity_keys, 200),
        ):
            if pattern and (size := mean_bytes(client, pattern)) is not None:
                figures.append(Figure(title, size, "B", at_most))
    return Findings(figures)


def script_calls(client: redis.Redis) -> int:
    rows = client.info("commandstats").items()
    return sum(int(row["calls"]) for name, row in rows if name.startswith(("cmdstat_eval", "cmdstat_fcall")))


def mean_bytes(client: redis.Redis, pattern: str) -> float | None:
    """Mean MEMORY USAGE of the first keys that match; None when none does."""
    keys = islice(client.scan_iter(match=pattern, count=1000), KEYS_LOOKED_AT)
    sizes = [int(client.memory_usage(key) or 0) for key in keys]
    return statistics.fmean(sizes) if sizes else None
