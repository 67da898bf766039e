"""Cost of an issued identity with a ledger, and how many a closed loop of 64 connections gets.

The workload issuing on the service without a ledger, with SQLite and, where PostgreSQL is installed, with PostgreSQL,
by turns; CPU is that of the service's whole process tree. PostgreSQL and Redis run beside the load, and what PostgreSQL
takes itself is a figure of its own. Names that count up are neighbours in the ledger's indexes, names in no order are
not.
"""

import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec

from bench.load import Load
from bench.openloop import SERIAL
from bench.processes import read_cpu, spent
from bench.results import Figure
from bench.rounds import Running, Watch, seeded, warm
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.servers import with_ledger
from bench.setting import Findings, Setting, by_turns, costs, crowd, noted, ratio
from bench.workloads import Workload, proxied, visits
from tests.support.postgres_server import PostgresServer

OFF, SQLITE, POSTGRESQL = "off", "SQLite", "PostgreSQL"

TIMES_OFF = 1.6
"""The most that an identity may cost with a ledger, in times of one without."""
P99_MS = 25.0


def in_no_order(_suffix: str) -> list[bytes]:
    """As the workload issuing, but each name begins with six random digits."""
    chance = random.Random(1)
    return [
        b"GET /api/v1/id?prefix=player&run=%06x%b HTTP/1.1\r\n%b\r\n"
        % (chance.getrandbits(24), SERIAL, proxied(address))
        for address, _ in visits()
    ]


ISSUING = Workload.named("issuing")
WORKLOADS = (
    replace(ISSUING, title="names that count up"),
    replace(ISSUING, name="issuing-in-no-order", title="names in no order", records=in_no_order),
)


@contextmanager
def postgresql() -> Iterator[PostgresServer | None]:
    """A server that flushes its log; None where PostgreSQL or its driver is not installed."""
    try:
        server = PostgresServer(fsync=True) if find_spec("psycopg") else None
    except RuntimeError:
        server = None
    with server or nullcontext():
        yield server


def measure(setting: Setting) -> Findings:
    """All figures, workload by workload."""
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        servers = [replace(setting.server, name=OFF), replace(with_ledger(setting.server), name=SQLITE)]
        if database is not None:
            url = {"DATABASE_URL": database.new_database("bench")}
            servers.append(replace(setting.server, name=POSTGRESQL, environment={**setting.server.environment, **url}))
        fleet, _ = stack.enter_context(seeded(servers, setting.directory))
        return Findings([each for load in WORKLOADS for each in figures_of(setting, fleet, load, database)])


def figures_of(
    setting: Setting, fleet: Sequence[Running], workload: Workload, database: PostgresServer | None
) -> Iterator[Figure]:
    """The figures of one workload."""
    seconds = setting.length(3, 1)
    own_us: list[float] = []

    def load(running: Running) -> tuple[Load, Watch]:
        script = write_script(workload, running.suffix, setting.directory, next(setting.serials))
        warm(running, script, seconds)
        script = write_script(workload, running.suffix, setting.directory, next(setting.serials))
        pid = database.pid if database is not None and running.server.name == POSTGRESQL else None
        before = read_cpu(pid) if pid else None
        found = measure_load(running, script, seconds)
        if pid and before:
            own_us.append(spent(before, read_cpu(pid)).microseconds / found[0].requests)
        return found

    taken = by_turns(fleet, setting.length(4, 1), load)
    yield Figure(f"{workload.title}: without a ledger", statistics.median(costs(taken, OFF)), "us")
    for running in fleet[1:]:
        name = running.server.name
        what = f"{workload.title}, {name}"
        loads = [load for load, _ in taken[name]]
        yield Figure(f"{what}: CPU per identity", statistics.median(costs(taken, name)), "us")
        yield noted(Figure(f"{what}: times without a ledger", ratio(taken, name, OFF), "", TIMES_OFF), crowd(taken))
        rate = statistics.median(each.requests / each.duration_us * 1e6 for each in loads)
        yield Figure(f"{what}: identities per second, 64 connections", rate, "/s")
        p99_ms = statistics.median(each.quantiles_us[99.0] for each in loads) / 1000
        yield Figure(f"{what}: latency p99", p99_ms, "ms", P99_MS)
    if own_us:
        yield Figure(f"{workload.title}, {POSTGRESQL}: its own CPU per identity", statistics.median(own_us), "us")
