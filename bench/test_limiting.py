"""What a rate-limit check costs the worker: the arithmetic, and the packing of one tick's rows."""

from typing import Any

from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.gcra import allowed, remaining, reset_after, strike
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.memory import MemoryBackend
from arsenal_fast.redis.limiter import SCRIPT, packed_rows
from arsenal_fast.redis.script import integers

ROWS = 30  # a tick under load
QUOTA = Quota(100, 3600)
CLIENTS = [Client(f"203.0.113.{number}".encode(), QUOTA) for number in range(ROWS)]
ONES = [1] * ROWS


def test_strike(benchmark: Any) -> None:
    now = 1_795_341_600_000_000
    assert benchmark(strike, now + 5, now, 1, QUOTA) == (5, now + 5 + QUOTA.interval)


def test_what_headers_need(benchmark: Any) -> None:
    """From a backlog: whether it passes, what remains, when it is whole again."""

    def figures(backlog: int) -> tuple[int, int, int]:
        after = backlog + QUOTA.interval
        return allowed(backlog, 1, QUOTA), remaining(after, QUOTA), reset_after(after)

    assert benchmark(figures, 72_000_000) == (1, 97, 108)


def test_pack_an_admission_of_30_known_clients(benchmark: Any) -> None:
    """A thirtieth of it is the cost of a row."""
    command = benchmark(lambda: SCRIPT.command(ROWS, packed_rows(CLIENTS, ONES)))
    assert command.count(b"af:{0}:c:") == ROWS


def test_pack_an_admission_of_30_new_clients(benchmark: Any) -> None:
    def pack() -> bytes:
        return SCRIPT.command(ROWS, packed_rows([Client(client.octets, QUOTA) for client in CLIENTS], ONES))

    assert benchmark(pack).count(b"af:{0}:c:") == ROWS


def test_check_a_reply_of_30_rows(benchmark: Any) -> None:
    assert benchmark(integers, list(range(1000, 1000 + ROWS)), ROWS)


def test_admit_30_rows_in_memory(benchmark: Any) -> None:
    memory = MemoryBackend(lambda: 0, lambda: 0)
    answers: list[Any] = []
    benchmark(lambda: memory.limiter.admit(CLIENTS, ONES, lambda _, backlogs: answers.append(backlogs)))
    assert len(answers[0]) == ROWS
