"""What garbage collection, ledger commits and scrapes add to the slowest request in a thousand.

8,000 req/s offered over 100 connections by the open-loop generator: 15 of 16 ask for cached identities, whose
latency is measured; the sixteenth issues a new one. Each effect is measured by turns with and without it, and the
median of the differences of p99.9 is what it adds. Without: garbage collection turned off (`bench/altered.py`), no
ledger, no scrapes. With: as the service is; the SQLite ledger; five scrapes of `/api/metrics` and five of
`/api/health` a second, fifty times what a Prometheus and a probe ask.
"""

import http.client
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace

from bench.load import EXCHANGE_SECONDS, run_open_loop, seed
from bench.openloop import Plan, Stream
from bench.results import Figure, Series
from bench.rounds import Running, running_redis, running_server, watched
from bench.scripts import write_records
from bench.servers import Server, altered
from bench.setting import Findings, Setting, company, noted
from bench.workloads import Workload

CONNECTIONS = 100
RATE = 8_000  # requests a second; well below saturation, where a pause shows and no queue hides it
CACHED, ISSUING = "cached", "issuing"
CACHED_FOR_EACH_ISSUED = 15  # about the guide's hit ratio of 94 %
POKES_PER_SECOND = 5  # a Prometheus and a probe come once in ten seconds
POKED = ("/api/metrics", "/api/health")


@dataclass(frozen=True)
class Effect:
    """How a server is made to have it and to lack it; ``poked`` has it asked by others meanwhile."""

    name: str
    having: Callable[[Server], Server]
    lacking: Callable[[Server], Server]
    poked: bool = False


def unchanged(server: Server) -> Server:
    return server


def with_ledger(server: Server) -> Server:
    return replace(server, environment={**server.environment, "DATABASE_URL": "sqlite:///{scratch}.db"})


EFFECTS: Sequence[Effect] = (
    Effect("garbage collection", unchanged, lambda server: altered(server, "--no-gc")),
    Effect("the ledger's commits", with_ledger, unchanged),
    Effect("scrapes and health checks", unchanged, unchanged, poked=True),
)


def measure(setting: Setting) -> Findings:
    figures, series = [], []
    for effect in EFFECTS:
        figure, lines = added(setting, effect)
        figures.append(figure)
        series.extend(lines)
    return Findings(figures, series)


def added(setting: Setting, effect: Effect) -> tuple[Figure, list[Series]]:
    """Milliseconds that the effect adds to p99.9, and both distributions."""
    kinds = ("with", "without")
    latencies: dict[str, list[dict[float, int]]] = {kind: [] for kind in kinds}
    others = 0.0
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_redis(setting.directory))
        fleet = {}
        for database, (kind, make) in enumerate(zip(kinds, (effect.having, effect.lacking), strict=True)):
            server = replace(make(setting.server), name=kind)
            running = stack.enter_context(
                running_server(server, setting.directory, redis_port=redis_port, redis_db=database)
            )
            fleet[kind] = replace(running, suffix=seed(running.port))
        streams = write_streams(setting, fleet["with"].suffix)
        for turn in range(setting.length(3, 1)):
            for kind in kinds if turn % 2 == 0 else reversed(kinds):
                poking = poked(fleet[kind].port) if effect.poked and kind == "with" else nullcontext()
                with poking:
                    found, crowd = offer(setting, fleet[kind], streams)
                latencies[kind].append(found)
                others = max(others, crowd)
    differences = [w[99.9] - wo[99.9] for w, wo in zip(latencies["with"], latencies["without"], strict=True)]
    median = {kind: statistics.median(found[99.9] for found in taken) / 1000 for kind, taken in latencies.items()}
    note = f"p99.9 with {median['with']:.1f} ms, without {median['without']:.1f} ms"
    figure = Figure(f"{effect.name}: added to p99.9", statistics.median(differences) / 1000, "ms", 5, note)
    lines = [
        Series(
            f"{kind} {effect.name}",
            [(percent, statistics.median(found[percent] for found in taken) / 1000) for percent in taken[0]],
        )
        for kind, taken in latencies.items()
    ]
    return noted(figure, company(others)), lines


def write_streams(setting: Setting, suffix: str) -> list[Stream]:
    streams = []
    for name, workload_name, weight in ((CACHED, "cached-proxy", CACHED_FOR_EACH_ISSUED), (ISSUING, "issuing", 1)):
        workload = Workload.named(workload_name)
        path = setting.directory / f"{name}.records"
        write_records(workload.records(suffix), path)
        streams.append(Stream(name, str(path), weight, workload.serial_format))
    return streams


def offer(setting: Setting, running: Running, streams: list[Stream]) -> tuple[dict[float, int], float]:
    plan = Plan(running.port, CONNECTIONS, RATE, setting.length(3.0, 2.0), streams, serial=next(setting.serials))
    load, watch = watched(running, lambda: run_open_loop(plan))
    return dict(load.streams[CACHED]), watch.others


@contextmanager
def poked(port: int) -> Iterator[None]:
    """Somebody scrapes and checks the server for the length of the block."""
    over = threading.Event()

    def poke() -> None:
        while not over.wait(1 / POKES_PER_SECOND):
            for path in POKED:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=EXCHANGE_SECONDS)
                connection.request("GET", path)
                connection.getresponse().read()
                connection.close()

    thread = threading.Thread(target=poke)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
