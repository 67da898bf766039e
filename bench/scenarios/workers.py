"""Cost of a request with two workers compared with one.

`WORKERS=1` over 64 connections and `WORKERS=2` over 128, so that each worker has as many, by turns under the workload
cached-proxy. The two workers and their supervisor share core 0, for the other core makes the load: this shows what
a second worker costs a request, not what it brings. They take the core from each other, which a core for each would
spare them.
"""

import statistics

from bench.load import CONNECTIONS, Load
from bench.results import Figure
from bench.rounds import Running, Watch, seeded, warm
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.servers import varied
from bench.setting import Findings, Setting, by_turns, costs, crowd, noted, ratio
from bench.workloads import Workload


def measure(setting: Setting) -> Findings:
    """CPU per request with one worker and with two."""
    workload, seconds = Workload.named("cached-proxy"), setting.length(2, 2)
    servers = [varied(setting.server, f"{count} workers", WORKERS=str(count)) for count in (1, 2)]
    one, two = (server.name for server in servers)
    with seeded(servers, setting.directory) as (fleet, _):
        script = write_script(workload, fleet[0].suffix, setting.directory, next(setting.serials))
        for running in fleet:
            warm(running, script, seconds)

        def load(running: Running) -> tuple[Load, Watch]:
            count = int(running.server.environment["WORKERS"])
            return measure_load(running, script, seconds, connections=count * CONNECTIONS)

        taken = by_turns(fleet, setting.length(4, 1), load)
    return Findings(
        [
            Figure("CPU per request, one worker", statistics.median(costs(taken, one)), "us"),
            Figure("CPU per request, two workers", statistics.median(costs(taken, two)), "us"),
            noted(Figure("two workers, times one", ratio(taken, two, one), "", 1.1), crowd(taken)),
        ]
    )
