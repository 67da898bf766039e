"""What each stage of the hot path costs a request, with the octets that the workloads send.

A whole worker without a process (``tests/support/rig.py``) takes one event-loop tick after another: TICK
requests on as many connections. Its limiter is held, so that the tick can be cut where Redis would be asked
and where it has answered:

read    octets in; recognised, or parsed and routed; up to the limiter
ask     the rows of the tick packed into one command for Redis
reply   Redis's answer read by hiredis and checked
answer  what every client is told worked out, the answer found or made, put in order and written

Each benchmark says in ``extra_info`` of which workload and stage it is and for how many requests; the scenario
``stages`` of ``python -m bench`` makes the stacked bar of PERF.md of them. The stages on their own, such as
parser and GCRA, have their micro-benchmarks in the files beside this one.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import hiredis
import pytest

from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.redis.limiter import SCRIPT, packed_rows
from arsenal_fast.redis.script import integers
from arsenal_fast.server.protocol import Connection
from arsenal_fast.service.routes import match
from bench.openloop import SERIAL
from bench.workloads import IDENTITIES, WORKLOADS, Workload, get_id, proxied
from tests.support.rig import Rig

TICK = 30  # requests; about what a worker finds under load over 64 connections
ROUNDS = 400
PIPELINED = 16
VISITS = 3_000  # different requests
PROXY = "127.0.0.1"
SUFFIX = "@sports.api.yourbook.com/v1:id"
PLENTY = Quota(100_000_000, 3600)
EVERY = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)

Done = Callable[[int, Sequence[int] | None], None]


class Sink(asyncio.Transport):
    """A fake: forgets what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": (PROXY, 50_000)})
        self.count = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.count += 1


class HeldLimiter:
    """A fake: remembers what is asked until the benchmark has it answered, with an idle cell for each client."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[Client], Sequence[int], Done]] = []

    def admit(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        self.asked.append((clients, quantities, done))

    def answer(self) -> None:
        asked, self.asked = self.asked, []
        for clients, _, done in asked:
            done(0, [0] * len(clients))


class Worker:
    """A rig with all identities of the workloads issued, and TICK connections that send a workload's requests."""

    def __init__(self, workload: Workload) -> None:
        self.limiter = HeldLimiter()
        self.rig = Rig(settings={"quota": PLENTY, "trusted_proxies": [f"{PROXY}/32"], "access_log": "off"})
        self.rig.service.admission._limiter = self.limiter
        self._requests = requests(workload)
        self.sinks = [Sink() for _ in range(TICK)]
        self.connections = [self._connect(sink) for sink in self.sinks]
        issue = [get_id(index) + proxied(b"198.18.0.1") + b"\r\n" for index in range(IDENTITIES)]
        for start in range(0, IDENTITIES, TICK):
            self.read(issue[start : start + TICK])
            self.answer()
        for _ in range(0, VISITS, TICK):  # what worker and connections remember of clients and fields
            self.read(self.next())
            self.answer()

    def _connect(self, sink: Sink) -> Connection:
        connection = Connection(self.rig.listener)
        connection.connection_made(sink)
        return connection

    def next(self) -> list[bytes]:
        return [next(self._requests) for _ in range(TICK)]

    def read(self, octets: Sequence[bytes]) -> None:
        for connection, request in zip(self.connections, octets, strict=False):
            connection.data_received(request)
        self.rig.tick()

    def answer(self) -> None:
        self.limiter.answer()
        self.rig.tick()

    @property
    def answered(self) -> int:
        return sum(sink.count for sink in self.sinks)


def requests(workload: Workload) -> Iterator[bytes]:
    """As wrk sends them, without an end; each with a number of its own where there is one."""
    for serial, record in enumerate(cycle(workload.records(SUFFIX)[:VISITS])):
        yield record.replace(SERIAL, (workload.serial_format % serial).encode())


def say(benchmark: Any, workload: Workload, stage: str) -> None:
    benchmark.extra_info.update(client=workload.name, stage=stage, requests=TICK)


@EVERY
def test_read(benchmark: Any, workload: Workload) -> None:
    say(benchmark, workload, "read")
    worker = Worker(workload)

    def prepare() -> tuple[tuple[list[bytes]], dict[str, Any]]:
        worker.answer()
        return (worker.next(),), {}

    before = worker.answered
    benchmark.pedantic(worker.read, setup=prepare, rounds=ROUNDS)
    worker.answer()
    assert worker.answered - before >= TICK, "the requests were not good"


@EVERY
def test_ask(benchmark: Any, workload: Workload) -> None:
    say(benchmark, workload, "ask")
    worker = Worker(workload)
    worker.read(worker.next())
    ((clients, quantities, _),) = worker.limiter.asked
    command = benchmark.pedantic(
        lambda: SCRIPT.command(len(clients), packed_rows(clients, quantities)), rounds=ROUNDS, warmup_rounds=10
    )
    assert command.count(b"af:{0}:c:") == len(clients)


@EVERY
def test_reply(benchmark: Any, workload: Workload) -> None:
    say(benchmark, workload, "reply")
    worker = Worker(workload)
    worker.read(worker.next())
    ((clients, _, _),) = worker.limiter.asked
    octets = b"*%d\r\n" % len(clients) + b":123456\r\n" * len(clients)
    reader = hiredis.Reader()

    def receive() -> object:
        reader.feed(octets)
        return integers(reader.gets(), len(clients))

    assert benchmark.pedantic(receive, rounds=ROUNDS, warmup_rounds=10)


@EVERY
def test_answer(benchmark: Any, workload: Workload) -> None:
    say(benchmark, workload, "answer")
    worker = Worker(workload)
    before = worker.answered
    benchmark.pedantic(worker.answer, setup=lambda: worker.read(worker.next()), rounds=ROUNDS)
    assert worker.answered - before >= TICK


def test_route(benchmark: Any) -> None:
    assert benchmark(match, b"GET", b"/api/v1/id").path == "/api/v1/id"


def test_order_sixteen_pipelined_answers(benchmark: Any) -> None:
    """One connection, so that what differs from sixteen connections is the outbox."""
    worker = Worker(Workload.named("cached-proxy"))
    (connection, *_), (sink, *_) = worker.connections, worker.sinks

    def deliver() -> None:
        connection.data_received(b"".join(worker.next()[:PIPELINED]))
        worker.rig.tick()

    before = sink.count
    benchmark.pedantic(worker.answer, setup=deliver, rounds=ROUNDS)
    assert (sink.count - before) % PIPELINED == 0
    assert sink.count > before
