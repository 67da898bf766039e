"""Validation of identities that the worker does not have in its memory: known to Redis only, and to nobody.

A service issues identities and ends. A new one with the same Redis and the same ledger in SQLite is asked for each of
them once; and then for identities that were never issued, which the ledger is asked for, too. Times the floor, measured
by turns with it.
"""

from dataclasses import replace

from bench import BenchError
from bench.load import Load, issue
from bench.openloop import SERIAL
from bench.results import Figure
from bench.rounds import Running, Watch, running_floor, running_redis, running_server
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.setting import Findings, Setting, by_turns, costs, crowd, noted, ratio
from bench.workloads import LONG_SERIAL, Workload, post, visits

ISSUED = 500_000
CLIENTS = 1_000
SUFFIX = "@sports.api.yourbook.com/v1:id"
KNOWN, UNKNOWN = "known", "nobody"
LOOKUPS = {"known to Redis only": KNOWN, "unknown": UNKNOWN}


def workload_of(prefix: str) -> Workload:
    """Validations of prefix-000000000000000 and so on, each once."""
    number = "#" * len(LONG_SERIAL % 0)

    def records(suffix: str) -> list[bytes]:
        body = {"identity": f"{prefix}-{number}{suffix}"}
        made = [post("/api/v1/validate", address, body) for address, _ in visits()[:CLIENTS]]
        return [record.replace(number.encode(), SERIAL) for record in made]

    return Workload(f"validate-{prefix}", "", records, LONG_SERIAL)


def measure(setting: Setting) -> Findings:
    count = setting.length(ISSUED, ISSUED // 4)
    figures = []
    with running_redis(setting.directory) as port:
        words = {"redis_port": port, "redis_db": 0}
        with running_server(setting.server, setting.directory, **words) as first:
            issue(first.port, [(KNOWN, LONG_SERIAL % number) for number in range(count)])
        with running_server(setting.server, setting.directory, **words) as running:
            server = replace(running, suffix=SUFFIX)
            for title, prefix in LOOKUPS.items():
                found, used = cost(setting, server, title, workload_of(prefix))
                if prefix == KNOWN and used > count:
                    raise BenchError(f"{used:,} identities were validated, of which only {count:,} are known")
                figures += found
    return Findings(figures)


def cost(setting: Setting, server: Running, title: str, workload: Workload) -> tuple[list[Figure], int]:
    """Both figures, and how many identities were validated: no identity comes twice, since the numbers go on."""
    used = 0
    with running_floor(server, workload, setting.directory, iter([0])) as floor:

        def load(running: Running) -> tuple[Load, Watch]:
            nonlocal used
            found, watch = measure_load(running, write_script(workload, SUFFIX, setting.directory, used), 1)
            used += found.requests if running is server else 0
            return found, watch

        load(server)
        taken = by_turns((server, floor), setting.length(3, 1), load)
    times = ratio(taken, server.server.name, floor.server.name)
    return [
        noted(Figure(f"{title}: times the floor", times, "", 3.5), crowd(taken)),
        Figure(f"{title}: CPU per request", costs(taken, server.server.name)[-1], "us"),
    ], used
