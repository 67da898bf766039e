"""Cost of a request with two workers compared with one: cached, and issued with a ledger in SQLite, which they share.

`WORKERS=1` over 64 connections and `WORKERS=2` over 128, so that each worker has as many, by turns. The two workers
and their supervisor share core 0, for the other core makes the load: this shows what a second worker costs a request,
not what it brings. They take the core from each other, which a core for each would spare them.

Each worker learns of what the other has written, whatever the ledger holds. So the two are measured with few events in
it and with many.
"""

import statistics
from collections.abc import Sequence

from bench.load import CONNECTIONS, Load, issue
from bench.results import Figure
from bench.rounds import Running, Watch, seeded
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.servers import Server, varied
from bench.setting import Findings, Setting, Taken, by_turns, costs, crowd, noted, ratio
from bench.workloads import Workload

EVENTS = 200_000
ONE, TWO, FULL = "one worker", "two workers", f"two workers, {EVENTS:,} events in the ledger"


def measure(setting: Setting) -> Findings:
    """CPU per request with one worker and with two."""
    cached, issued = Workload.named("cached-proxy"), Workload.named("issuing")
    taken = measure_fleet(setting, cached, (ONE, TWO))
    figures = [
        *(figure(f"CPU per request, {name}", taken, name) for name in (ONE, TWO)),
        noted(Figure(f"{TWO}, times one", ratio(taken, TWO, ONE), "", 1.1), crowd(taken)),
    ]
    taken = measure_fleet(setting, issued, (ONE, TWO, FULL))
    figures += [figure(f"issued with SQLite, {name}", taken, name) for name in (ONE, TWO, FULL)]
    return Findings(
        [*figures, noted(Figure(f"issued, {FULL}, times few", ratio(taken, FULL, TWO), "", 1.1), crowd(taken))]
    )


def figure(title: str, taken: Taken[Load], name: str) -> Figure:
    return Figure(title, statistics.median(costs(taken, name)), "us")


def measure_fleet(setting: Setting, workload: Workload, names: Sequence[str]) -> Taken[Load]:
    """Measure servers with these numbers of workers, and events, by turns."""
    with seeded([server_of(setting, name) for name in names], setting.directory) as (fleet, _):
        for running in fleet:
            if running.server.name == FULL:
                issue(running.port, [("old", str(number)) for number in range(setting.length(EVENTS, EVENTS // 10))])
            load(setting, workload, running)
        return by_turns(fleet, setting.length(4, 1), lambda running: load(setting, workload, running))


def server_of(setting: Setting, name: str) -> Server:
    return varied(setting.server, name, WORKERS="1" if name == ONE else "2")


def load(setting: Setting, workload: Workload, running: Running) -> tuple[Load, Watch]:
    script = write_script(workload, running.suffix, setting.directory, next(setting.serials))
    connections = int(running.server.environment["WORKERS"]) * CONNECTIONS
    return measure_load(running, script, setting.length(2, 1), connections=connections)
