"""Whether a request costs more when there are two workers.

`WORKERS=1` over 64 connections and `WORKERS=2` over 128, so that each worker has as many, by turns under the workload
cached-proxy. The two workers and their supervisor share core 0, for the other core makes the load: this shows what
a second worker costs a request, not what it brings. They take the core from each other, which a core for each would
spare them.
"""

import statistics
from contextlib import ExitStack
from dataclasses import replace

from bench.load import CONNECTIONS, seed
from bench.results import Figure
from bench.rounds import Running, running_redis, running_server, warm
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.servers import Server
from bench.setting import Findings, Setting, company, noted
from bench.workloads import Workload


def with_workers(server: Server, count: int) -> Server:
    name = f"{server.name} with {count} workers"
    return replace(server, name=name, environment={**server.environment, "WORKERS": str(count)})


def measure(setting: Setting) -> Findings:
    workload = Workload.named("cached-proxy")
    seconds, turns = setting.length(2, 2), setting.length(4, 1)
    costs: dict[int, list[float]] = {1: [], 2: []}
    others = 0.0
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_redis(setting.directory))
        fleet: dict[int, Running] = {}
        for count in costs:
            server = with_workers(setting.server, count)
            running = stack.enter_context(
                running_server(server, setting.directory, redis_port=redis_port, redis_db=count)
            )
            fleet[count] = replace(running, suffix=seed(running.port))
        script = write_script(workload, fleet[1].suffix, setting.directory, next(setting.serials))
        for running in fleet.values():
            warm(running, script, seconds)
        for turn in range(turns):
            for count in (1, 2) if turn % 2 == 0 else (2, 1):
                load, watch = measure_load(fleet[count], script, seconds, connections=count * CONNECTIONS)
                costs[count].append(watch.cpu.microseconds / load.requests)
                others = max(others, watch.others)
    ratio = statistics.median(two / one for one, two in zip(costs[1], costs[2], strict=True))
    return Findings(
        [
            Figure("CPU per request, one worker", statistics.median(costs[1]), "us"),
            Figure("CPU per request, two workers", statistics.median(costs[2]), "us"),
            noted(Figure("two workers, times one", ratio, "", 1.1), company(others)),
        ],
    )
