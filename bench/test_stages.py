"""Times each stage of the hot path, with the bytes that the workloads send: ``make micro``.

A whole worker without a process (``tests/support/rig.py``) handles one event-loop tick after another: TICK requests on
as many connections. Its limiter is held, so that a tick can be split at the command to Redis and at its reply.

read    bytes in; matched, or parsed and routed; up to the limiter
ask     the rows of the tick packed into one command for Redis
reply   Redis's answer read by hiredis and checked
answer  the clients' limits, the response found or made, put in order and written

Times are CPU time of the thread, for a whole tick; ``extra_info`` says how many requests that is.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from time import thread_time
from typing import Any

import hiredis
import pytest

from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server.connection import Connection
from arsenal_fast.stores.redis.limiter import SCRIPT, packed_rows
from arsenal_fast.stores.redis.script import integers
from bench.workloads import IDENTITIES, WORKLOADS, Workload, get_id, proxied
from tests.support.rig import Rig

TICK = 30  # requests; about what a worker finds under load over 64 connections
ROUNDS = 400
REPEATS = 20  # in a round, of what takes a microsecond or two
VISITS = 3_000  # different requests
PROXY = "127.0.0.1"
SUFFIX = "@sports.api.yourbook.com/v1:id"
PLENTY = Quota(100_000_000, 3600)

Done = Callable[[int, Sequence[int] | None], None]
pytestmark = pytest.mark.benchmark(timer=thread_time)


class Sink(asyncio.Transport):
    """A fake: keeps the last response."""

    def __init__(self) -> None:
        super().__init__({"peername": (PROXY, 50_000)})
        self.last: bytes | bytearray | memoryview = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One response, because a connection has one request in a tick."""
        self.last = data


class Worker:
    """A rig with all identities of the workloads issued, and TICK connections that send a workload's requests.

    It is its own limiter, which holds the questions until ``answer`` finds an idle cell for each client.
    """

    def __init__(self, workload: Workload) -> None:
        self._rig = Rig(settings={"quota": PLENTY, "trusted_proxies": [f"{PROXY}/32"], "access_log": "off"})
        self._rig.service.admission._limiter = self
        self.asked: list[tuple[Sequence[Client], Sequence[int], Done]] = []
        self._workload = workload
        self._records = enumerate(cycle(workload.records(SUFFIX)[:VISITS]))
        self._sinks = [Sink() for _ in range(TICK)]
        self._connections = [Connection(self._rig.listener) for _ in self._sinks]
        for connection, sink in zip(self._connections, self._sinks, strict=True):
            connection.connection_made(sink)
        issue = [get_id(index) + proxied(b"198.18.0.1") + b"\r\n" for index in range(IDENTITIES)]
        for start in range(0, IDENTITIES, TICK):
            self.read(issue[start : start + TICK])
            self.answer()
        for _ in range(0, 2 * VISITS, TICK):  # some things are cached from the second time on
            self.read(self.next())
            self.answer()

    def admit(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        """As the limiter in Redis does, but for the answer."""
        self.asked.append((clients, quantities, done))

    def next(self) -> list[bytes]:
        """The requests of a tick, as wrk sends them; no connection has a response yet."""
        for sink in self._sinks:
            sink.last = b""
        return [self._workload.numbered(record, serial) for serial, record in islice(self._records, TICK)]

    def read(self, requests: Sequence[bytes]) -> None:
        """A tick up to the limiter: one request on each connection."""
        for connection, request in zip(self._connections, requests, strict=False):
            connection.data_received(request)
        self._rig.tick()

    def answer(self) -> None:
        """The rest of the tick."""
        asked, self.asked = self.asked, []
        for clients, _, done in asked:
            done(0, [0] * len(clients))
        self._rig.tick()

    def succeeded(self) -> bool:
        """Whether each request of the last tick got a 200."""
        return all(bytes(sink.last).startswith(b"HTTP/1.1 200 ") for sink in self._sinks)


@pytest.fixture(scope="module", params=WORKLOADS, ids=lambda workload: workload.name)
def worker(request: pytest.FixtureRequest) -> Worker:
    """Shared by the stages of a workload: each leaves it with nothing to answer."""
    return Worker(request.param)


@pytest.fixture
def timed(benchmark: Any) -> Callable[..., Any]:
    """Times ticks."""
    benchmark.extra_info["requests"] = TICK
    return partial(benchmark.pedantic, rounds=ROUNDS)


def test_read(timed: Callable[..., Any], worker: Worker) -> None:
    timed(worker.read, setup=lambda: ((worker.next(),), {}), teardown=lambda _: worker.answer())
    assert worker.succeeded()


def test_ask(timed: Callable[..., Any], worker: Worker) -> None:
    worker.read(worker.next())
    ((clients, quantities, _),) = worker.asked
    worker.answer()
    command = timed(lambda: SCRIPT.command(len(clients), packed_rows(clients, quantities)), iterations=REPEATS)
    assert command.count(b"af:{0}:c:") == len(clients)


def test_reply(timed: Callable[..., Any], worker: Worker) -> None:
    worker.read(worker.next())
    ((clients, _, _),) = worker.asked
    worker.answer()
    replies = b"*%d\r\n" % len(clients) + b":123456\r\n" * len(clients)
    reader = hiredis.Reader()

    def receive() -> object:
        reader.feed(replies)
        return integers(reader.gets(), len(clients))

    assert timed(receive, iterations=REPEATS)


def test_answer(timed: Callable[..., Any], worker: Worker) -> None:
    timed(worker.answer, setup=lambda: worker.read(worker.next()))
    assert worker.succeeded()
