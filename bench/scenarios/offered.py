"""A rate that is offered whatever the server does: latency below saturation, with 5,000 connections open.

Our own open-loop generator (`bench/openloop.py`) over the workload cached-proxy, floor and service by turns;
medians of the turns. A request's latency counts from the moment at which it was due, whether or not it could be
sent then, so that nothing is omitted when the server stalls. The generator shares its core with Redis and wakes
once a millisecond; how late it sent is a figure of its own and part of all latencies, also of the floor's.
"""

import statistics

from bench.load import OpenLoad, run_open_loop
from bench.openloop import Plan, Stream
from bench.processes import read_peak_rss
from bench.results import Figure, Series
from bench.rounds import Running, Watch, watched
from bench.scripts import write_records
from bench.setting import MEBIBYTE, Findings, Setting, company, noted, stand
from bench.workloads import Workload

CONNECTIONS = 5_000
RATE = 20_000  # requests a second
STREAM = "cached"


def measure(setting: Setting) -> Findings:
    workload = Workload.named("cached-proxy")
    turns = setting.length(2, 1)
    taken: dict[str, list[tuple[OpenLoad, Watch]]] = {}
    with stand(setting, setting.server, workload) as (server, floor, _):
        records = setting.directory / "open.records"
        write_records(workload.records(server.suffix), records)
        for running in (server, floor) * turns:
            taken.setdefault(running.server.name, []).append(offer(setting, running, str(records)))
        resident = read_peak_rss(server.pid) / MEBIBYTE
        own, floors = taken[server.server.name], taken[floor.server.name]
    loads, floor_loads = [load for load, _ in own], [load for load, _ in floors]
    busy = statistics.median(watch.cpu.microseconds / watch.duration_us for _, watch in own)
    generator = max(load.generator_cpu for load in loads)
    beside = f"the floor: {quantile_ms(floor_loads, 99):.1f} ms"
    lag = f"the generator itself was up to {lag_ms(loads):.1f} ms late for one in a hundred"
    others = company(max(watch.others for _, watch in (*own, *floors)))
    return Findings(
        [
            Figure("answered", statistics.median(load.rate for load in loads), "req/s"),
            Figure("latency p50", quantile_ms(loads, 50), "ms"),
            noted(Figure("latency p99", quantile_ms(loads, 99), "ms", 10), beside, lag, others),
            Figure(
                "latency p99.9",
                quantile_ms(loads, 99.9),
                "ms",
                note=f"the floor: {quantile_ms(floor_loads, 99.9):.1f} ms",
            ),
            Figure("the server's core in use", busy * 100, "%", note="connecting and waiting included"),
            Figure("the generator's core in use by it", generator * 100, "%", note="Redis comes on top"),
            Figure("resident memory, at most", resident, "MB", 96),
        ],
        [
            Series(name, [(percent, quantile_ms(found, percent)) for percent in found[0].lag_us])
            for name, found in (("service, 20,000 req/s offered", loads), ("floor, 20,000 req/s offered", floor_loads))
        ],
    )


def offer(setting: Setting, running: Running, records: str) -> tuple[OpenLoad, Watch]:
    seconds = setting.length(5.0, 2.0)
    plan = Plan(running.port, CONNECTIONS, RATE, seconds, [Stream(STREAM, records)])
    return watched(running, lambda: run_open_loop(plan))


def quantile_ms(loads: list[OpenLoad], percent: float) -> float:
    return statistics.median(load.streams[STREAM][percent] for load in loads) / 1000


def lag_ms(loads: list[OpenLoad]) -> float:
    return max(load.lag_us[99.0] for load in loads) / 1000
