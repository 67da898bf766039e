"""An admission that fetches identities: one command, what it says, and replies of a wrong shape."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from arsenal_fast.identity.validity import LOOK_UP, Fetched, Issued, Life, LookedUp, Outcome, StoreRecord, Terms
from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.fetching import read_fetched
from tests.support.fake_redis import FakeRedis
from tests.support.loops import Answer, run
from tests.support.redis_backend import CLIENTS, connected

Fetch = tuple[int, Sequence[int] | None, Sequence[Fetched | None]]


@dataclass
class Wanted:
    id: str
    terms: Terms = LOOK_UP


NEW = Wanted("p-1@a.example/v1:id", Terms(60_000, 5, True))
KNOWN = Wanted("p-2@a.example/v1:id")


async def fetch(backend: RedisBackend, rows: Sequence[int], wanted: Sequence[Wanted]) -> Fetch:
    answer: Answer[Fetch] = Answer()
    backend.limiter.admit_and_fetch(CLIENTS, [1, 1], rows, wanted, lambda *values: answer(values))
    return await answer.wait()


def test_one_command_charges_and_fetches() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            fake.answer = lambda _: (
                b"*11\r\n" + b"".join(b":%d\r\n" % each for each in (9, 7, 8, 1, 2, 3, 0, 4, 5, 6, 7))
            )
            life = Life(2, 3)
            assert await fetch(backend, [1, -1], [NEW, KNOWN]) == (
                9,
                [7, 8],
                [Issued(Outcome.ISSUED, life), LookedUp(StoreRecord(Life(5, 6), 7, True))],
            )
            (command,) = fake.commands
            keys = [b"af:{0}:r", b"af:{0}:c:203.0.113.9", b"af:{0}:c:203.0.113.10"]
            assert command[2:8] == [b"5", *keys, b"af:{0}:i:p-1@a.example/v1", b"af:{0}:i:p-2@a.example/v1"]
            assert command[8:] == [b"1000000", b"10000000", b"", b"2", b"3 60000 5 1 1 0 0 0 "]
            counted = backend.counters.rows
            await fetch(backend, [0], [NEW])
            assert backend.counters.rows == counted + 3
            await fetch(backend, [1, 0], [NEW, NEW])
            assert fake.commands[-1][-1] == b"3 60000 5 1 2 60000 5 1 "

    run(main())


def test_without_anything_wanted_it_is_a_plain_admission() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            assert await fetch(backend, [], []) == (0, [0, 0], [])
            assert fake.commands[-1][2] == b"3"

    run(main())


@pytest.mark.parametrize(
    "reply",
    [
        b"*3\r\n:9\r\n:7\r\n:8\r\n",
        b"*6\r\n" + b":1\r\n" * 6,
        b"*7\r\n" + b":1\r\n" * 6 + b"$1\r\n1\r\n",
        b":1\r\n",
        b"-ERR no\r\n",
    ],
)
def test_a_reply_of_the_wrong_shape_is_none_and_the_connection_lives(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda _: reply
            assert await fetch(backend, [0], [NEW]) == (0, None, ())
            assert fake.accepted == 1

    run(main())


def test_without_a_connection_there_is_no_answer() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            backend.healthy = False
            assert await fetch(backend, [0, 1], [NEW, KNOWN]) == (0, None, [None, None])

    run(main())


def test_equal_lives_are_said_once_and_an_unknown_outcome_is_none() -> None:
    assert read_fetched([1, 5, 9, 0], [NEW, NEW]) == [Issued(Outcome.ISSUED, Life(5, 9))] * 2
    assert read_fetched([7, 0, 0, 0, 6, 0, 0, 0], [NEW, KNOWN]) == [None, LookedUp(None)]
    assert read_fetched([0, 5, 9], [NEW]) is None
