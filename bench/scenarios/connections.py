"""5,000 connections in a closed loop: latency when saturated, and memory.

`wrk -t1 -c5000` over the workload cached-proxy, floor and service by turns; medians of the turns. In a closed loop
all connections without a response wait, so the mean latency of *any* server is connections / throughput
(Little's law), and the slower of generator and server sets it: the floor's own figure stands beside it. Memory is
the peak of the process (`VmHWM`).
"""

import statistics
from functools import partial

from bench.processes import read_peak_rss
from bench.results import Figure
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.setting import MEBIBYTE, Findings, Setting, by_turns, crowd, distribution, middle_ms, noted, stand
from bench.workloads import Workload

CONNECTIONS = 5_000


def measure(setting: Setting) -> Findings:
    """Throughput, latency and memory."""
    workload = Workload.named("cached-proxy")
    with stand(setting, setting.server, workload) as (server, floor, _):
        script = write_script(workload, server.suffix, setting.directory, next(setting.serials))
        load = partial(measure_load, script=script, seconds=setting.length(4, 2), connections=CONNECTIONS)
        taken = by_turns((server, floor), setting.length(2, 1), load)
        resident = read_peak_rss(server.pid) / MEBIBYTE
    rates, latencies = {}, {}
    for name, turns in taken.items():
        rates[name] = statistics.median(load.requests * 1e6 / load.duration_us for load, _ in turns)
        latencies[name] = [load.quantiles_us for load, _ in turns]
    rate, own, floors = rates[server.server.name], latencies[server.server.name], latencies[floor.server.name]
    little = f"{CONNECTIONS:,} connections at {rate:,.0f} req/s wait {CONNECTIONS / rate * 1e3:.0f} ms in the mean"
    beside = f"the floor under the same load: {middle_ms(floors, 99):.0f} ms"
    return Findings(
        [
            Figure("throughput", rate, "req/s"),
            Figure("throughput of the floor", rates[floor.server.name], "req/s"),
            Figure("latency p50", middle_ms(own, 50), "ms"),
            noted(Figure("latency p99", middle_ms(own, 99), "ms"), little, beside, crowd(taken)),
            Figure("resident memory, at most", resident, "MB", 96),
        ],
        [distribution("service, saturated", own), distribution("floor, saturated", floors)],
    )
