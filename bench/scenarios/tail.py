"""What garbage collection, ledger commits and scrapes add to p99.9.

8,000 req/s offered over 100 connections by the open-loop generator: 15 of 16 ask for cached identities, whose
latency is measured; the sixteenth issues a new one. Each effect is measured by turns with and without it, and the
median of the differences of p99.9 is what it adds. Without: garbage collection turned off, no
ledger, no scrapes. With: as the service is; the SQLite ledger; five scrapes of `/api/metrics` and five of
`/api/health` a second, fifty times what a Prometheus and a probe ask.
"""

import http.client
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from bench.load import EXCHANGE_SECONDS, OpenLoad, run_open_loop
from bench.openloop import Plan
from bench.results import Figure, Series
from bench.rounds import Running, Watch, seeded, watched
from bench.scripts import write_stream
from bench.servers import Server, varied, without_gc
from bench.setting import Findings, Setting, by_turns, crowd, distribution, middle_ms, noted
from bench.workloads import LONG_SERIAL, Workload

CONNECTIONS = 100
RATE = 8_000  # requests a second; well below saturation, where a pause shows and no queue hides it
CACHED, ISSUING = "cached", "issuing"
WITH, WITHOUT = "with", "without"
CACHED_FOR_EACH_ISSUED = 15  # about the guide's hit ratio of 94 %
STREAMS = (
    (CACHED, Workload.named("cached-proxy"), CACHED_FOR_EACH_ISSUED, "%d"),
    (ISSUING, Workload.named("issuing"), 1, LONG_SERIAL),
)
POKES_PER_SECOND = 5  # a Prometheus and a probe come once in ten seconds
POKED = ("/api/metrics", "/api/health")


@dataclass(frozen=True)
class Effect:
    """How to start a server with and without the effect; ``poked``: with scrapes and health checks meanwhile."""

    name: str
    having: Callable[[Server], Server]
    lacking: Callable[[Server], Server]
    poked: bool = False


def unchanged(server: Server) -> Server:
    return server


def without_ledger(server: Server) -> Server:
    return varied(server, DATABASE_URL="none")


EFFECTS: Sequence[Effect] = (
    Effect("garbage collection", unchanged, without_gc),
    Effect("the ledger's commits", unchanged, without_ledger),
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
    makers = {WITH: effect.having, WITHOUT: effect.lacking}
    servers = [replace(make(setting.server), name=kind) for kind, make in makers.items()]
    with seeded(servers, setting.directory) as (fleet, _):
        streams = [
            write_stream(name, workload.records(fleet[0].suffix), setting.directory, weight=weight, serial_format=form)
            for name, workload, weight, form in STREAMS
        ]

        def offer(running: Running) -> tuple[OpenLoad, Watch]:
            seconds, serial = setting.length(3.0, 2.0), next(setting.serials)
            plan = Plan(running.port, CONNECTIONS, RATE, seconds, streams, serial=serial)
            with poked(running.port) if effect.poked and running.server.name == WITH else nullcontext():
                return watched(running, lambda: run_open_loop(plan))

        taken = by_turns(fleet, setting.length(3, 1), offer)
    latencies = {kind: [load.streams[CACHED] for load, _ in turns] for kind, turns in taken.items()}
    differences = [w[99.9] - wo[99.9] for w, wo in zip(latencies[WITH], latencies[WITHOUT], strict=True)]
    median = {kind: middle_ms(found, 99.9) for kind, found in latencies.items()}
    note = f"p99.9 with {median[WITH]:.1f} ms, without {median[WITHOUT]:.1f} ms"
    figure = Figure(f"{effect.name}: added to p99.9", statistics.median(differences) / 1000, "ms", 5, note)
    lines = [distribution(f"{kind} {effect.name}", found) for kind, found in latencies.items()]
    return noted(figure, crowd(taken)), lines


@contextmanager
def poked(port: int) -> Iterator[None]:
    """Scrape and check the server for the length of the block."""
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
