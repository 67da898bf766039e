"""Latency below saturation: a fixed offered rate, with 5,000 connections open.

Our own open-loop generator (`bench/openloop.py`) over the workload cached-proxy, floor and service by turns;
medians of the turns. A request's latency counts from the moment at which it was due, whether or not it could be
sent then, so that nothing is omitted when the server stalls. The generator shares its core with Redis and wakes
once a millisecond; how late it sent is a figure of its own and part of all latencies, also of the floor's.
"""

import statistics

from bench.load import OpenLoad, run_open_loop
from bench.openloop import Plan
from bench.processes import read_peak_rss
from bench.results import Figure
from bench.rounds import Running, Watch, watched
from bench.scripts import write_stream
from bench.setting import MEBIBYTE, Findings, Setting, by_turns, crowd, distribution, middle_ms, noted, stand
from bench.workloads import Workload

CONNECTIONS = 5_000
RATE = 20_000  # requests a second
STREAM = "cached"


def measure(setting: Setting) -> Findings:
    """Latency, what server and generator took of their cores, and memory."""
    workload = Workload.named("cached-proxy")
    with stand(setting, setting.server, workload) as (server, floor, _):
        streams = [write_stream(STREAM, workload.records(server.suffix), setting.directory)]

        def offer(running: Running) -> tuple[OpenLoad, Watch]:
            plan = Plan(running.port, CONNECTIONS, RATE, setting.length(5.0, 2.0), streams)
            return watched(running, lambda: run_open_loop(plan))

        taken = by_turns((server, floor), setting.length(2, 1), offer)
        resident = read_peak_rss(server.pid) / MEBIBYTE
    turns = taken[server.server.name]
    own, floors = ([load.streams[STREAM] for load, _ in taken[one.server.name]] for one in (server, floor))
    busy = statistics.median(watch.cpu.microseconds / watch.duration_us for _, watch in turns)
    beside = f"the floor: {middle_ms(floors, 99):.1f} ms"
    late = max(load.lag_us[99.0] for load, _ in turns) / 1000
    lag = f"the generator itself was up to {late:.1f} ms late for one in a hundred"
    generator = max(load.generator_cpu for load, _ in turns)
    tail = f"the floor: {middle_ms(floors, 99.9):.1f} ms"
    return Findings(
        [
            Figure("answered", statistics.median(load.rate for load, _ in turns), "req/s"),
            Figure("latency p50", middle_ms(own, 50), "ms"),
            noted(Figure("latency p99", middle_ms(own, 99), "ms", 10), beside, lag, crowd(taken)),
            Figure("latency p99.9", middle_ms(own, 99.9), "ms", note=tail),
            Figure("the server's core in use", busy * 100, "%", note="connecting and waiting included"),
            Figure("the generator's core in use by it", generator * 100, "%", note="Redis comes on top"),
            Figure("resident memory, at most", resident, "MB", 96),
        ],
        [distribution("service, 20,000 req/s offered", own), distribution("floor, 20,000 req/s offered", floors)],
    )
