"""5,000 connections in a closed loop: latency when saturated, and memory.

`wrk -t1 -c5000` over the workload cached-proxy, floor and service by turns; medians of the turns. In a closed loop
everybody who is not being answered waits, so the mean latency of *any* server is connections / throughput
(Little's law), and the slower of generator and server sets it: the floor's own figure stands beside it. Memory is
the peak of the process (`VmHWM`).
"""

import statistics

from bench.load import Load
from bench.processes import read_peak_rss
from bench.results import Figure, Series
from bench.rounds import Running
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.setting import MEBIBYTE, Findings, Setting, company, noted, stand
from bench.workloads import Workload

CONNECTIONS = 5_000


def measure(setting: Setting) -> Findings:
    workload = Workload.named("cached-proxy")
    seconds, turns = setting.length(4, 2), setting.length(2, 1)
    loads: dict[str, list[Load]] = {}
    others = 0.0
    with stand(setting, setting.server, workload) as (server, floor, _):
        script = write_script(workload, server.suffix, setting.directory, next(setting.serials))

        def take(running: Running) -> None:
            nonlocal others
            load, watch = measure_load(running, script, seconds, connections=CONNECTIONS)
            loads.setdefault(running.server.name, []).append(load)
            others = max(others, watch.others)

        for running in (server, floor) * turns:
            take(running)
        resident = read_peak_rss(server.pid) / MEBIBYTE
        own, floors = loads[server.server.name], loads[floor.server.name]
    rate = median_rate(own)
    little = f"{CONNECTIONS:,} connections at {rate:,.0f} req/s wait {CONNECTIONS / rate * 1e3:.0f} ms in the mean"
    beside = f"the floor under the same load: {quantile_ms(floors, 99):.0f} ms"
    return Findings(
        [
            Figure("throughput", rate, "req/s"),
            Figure("throughput of the floor", median_rate(floors), "req/s"),
            Figure("latency p50", quantile_ms(own, 50), "ms"),
            noted(Figure("latency p99", quantile_ms(own, 99), "ms", 50), little, beside, company(others)),
            Figure("resident memory, at most", resident, "MB", 96),
        ],
        [distribution("service, saturated", own), distribution("floor, saturated", floors)],
    )


def median_rate(loads: list[Load]) -> float:
    return statistics.median(load.requests * 1e6 / load.duration_us for load in loads)


def quantile_ms(loads: list[Load], percent: float) -> float:
    return statistics.median(load.quantiles_us[percent] for load in loads) / 1000


def distribution(name: str, loads: list[Load]) -> Series:
    """Percent -> ms."""
    return Series(name, [(percent, quantile_ms(loads, percent)) for percent in loads[0].quantiles_us])
