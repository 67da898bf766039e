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

from arsenal_fast.stores.redis.limiter import SCRIPT, packed_rows
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
