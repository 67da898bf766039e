"""Times each stage of the hot path, with the bytes that the workloads send: ``make micro``.

A worker inside this process (``bench/stages.py``) handles one tick after another.

read    bytes in; matched, or parsed and routed; up to the limiter
ask     the rows of the tick packed into one command for Redis
reply   Redis's answer read by hiredis and checked
answer  the clients' limits, the response found or made, put in order and written

Times are CPU time of the thread, for a whole tick; ``extra_info`` says how many requests that is.
"""

from collections.abc import Callable
from functools import partial
from time import thread_time
from typing import Any

import hiredis
import pytest

from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.redis.connection import OnReply
from arsenal_fast.stores.redis.fetching import RedisFetchingLimiter, read_fetched
from arsenal_fast.stores.redis.script import integers
from bench.stages import TICK, Worker
from bench.workloads import WORKLOADS

ROUNDS = 400
REPEATS = 20  # in a round, of what takes a microsecond or two

pytestmark = pytest.mark.benchmark(timer=thread_time)


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


class Link:
    """A connection to Redis that keeps the last command."""

    healthy = True

    def __init__(self) -> None:
        self.counters = Counters()
        self.last = b""

    def send(self, command: bytes, on_reply: OnReply, deadline: float | None = None) -> float:
        self.last = command
        return 0.0


def test_ask(timed: Callable[..., Any], worker: Worker) -> None:
    worker.read(worker.next())
    ((clients, quantities, rows, wanted, _),) = worker.asked
    worker.answer()
    link = Link()
    ask = partial(RedisFetchingLimiter(link).admit_and_fetch, clients, quantities, rows, wanted, lambda *_: None)
    timed(ask, iterations=REPEATS)
    assert link.last.count(b"af:{0}:c:") == len(clients)
    assert link.last.count(b"af:{0}:i:") == len(wanted)


def test_reply(timed: Callable[..., Any], worker: Worker) -> None:
    worker.read(worker.next())
    ((clients, _, _, wanted, _),) = worker.asked
    worker.answer()
    cells, lives = len(clients), 4 if wanted else 0  # nearly always the identities of a tick have one life
    replies = b"*%d\r\n" % (cells + lives) + b":123456\r\n" * cells + b":1\r\n:2\r\n:3\r\n:0\r\n" * (lives // 4)
    reader = hiredis.Reader()

    def receive() -> object:
        reader.feed(replies)
        values = integers(reader.gets(), cells + lives) or []
        return read_fetched(values[cells:], wanted) if wanted else values

    assert timed(receive, iterations=REPEATS)


def test_answer(timed: Callable[..., Any], worker: Worker) -> None:
    timed(worker.answer, setup=lambda: worker.read(worker.next()))
    assert worker.succeeded()
