"""Revocations over Redis: one command on the shared keys, and malformed replies."""

from typing import Any

import pytest

from arsenal_fast.identity.revocation import UNKNOWN, Changes, Revoked
from arsenal_fast.identity.validity import Life
from arsenal_fast.stores.redis.backend import RedisBackend
from tests.support.fake_redis import HANG_UP, Command, FakeRedis, ordinary
from tests.support.loops import Answer, run
from tests.support.redis_backend import ID, admit, connected


def revocations(backend: RedisBackend) -> list[Answer[Any]]:
    """One call of each kind."""
    answers: list[Answer[Any]] = [Answer() for _ in range(4)]
    store = backend.revocations
    store.revoke(ID, Life(5, 9), answers[0])
    store.set_epoch("p", 7, answers[1])
    store.changes(3, answers[2])
    store.restore_epochs({"p": 7, "q": 0, "": 8}, 3, answers[3])
    return answers


def test_a_revocation_is_one_command_over_the_shared_keys() -> None:
    keys = [b"af:{0}:r", b"af:{0}:l", b"af:{0}:e"]

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            answers = [await answer.wait() for answer in revocations(backend)]
            assert answers == [UNKNOWN, 0, Changes(0, [], {}), 0]
            assert [command[2:] for command in fake.commands] == [
                [b"3", b"af:{0}:i:player-1@a.example/v1", *keys[:2], ID.encode(), b"5", b"4"],
                [b"3", *keys, b"0", b"p", b"7"],
                [b"3", *keys, b"3"],
                [b"3", *keys, b"4", b"p", b"7", b"", b"8"],
            ]

    run(main())


def test_without_a_connection_nothing_is_revoked_and_callers_are_told_at_once() -> None:
    async def main() -> None:
        async with FakeRedis(lambda command: HANG_UP) as fake, connected(fake) as backend:
            assert [answer.calls for answer in revocations(backend)] == [[None]] * 4

    run(main())


def test_scripts_of_revocations_that_are_lost_are_sent_again_as_text() -> None:
    def forgetful(command: Command) -> bytes | None:
        return b"-NOSCRIPT No matching script.\r\n" if command[0] == b"EVALSHA" else ordinary(command)

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = forgetful
            assert [await answer.wait() for answer in revocations(backend)] == [UNKNOWN, 0, Changes(0, [], {}), 0]
            assert backend.counters.script_loads == 4

    run(main())


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b"$-1\r\n",
        b"-ERR something else\r\n",
        b"*1\r\n:0\r\n",
        b"*5\r\n" + b":1\r\n" * 5,
        b"*3\r\n:1\r\n*1\r\n:1\r\n*0\r\n",
        b"*3\r\n:1\r\n*0\r\n$-1\r\n",
        b"*3\r\n:1\r\n*0\r\n*1\r\n$1\r\na\r\n",
        b"*3\r\n:1\r\n*0\r\n*2\r\n$1\r\na\r\n$-1\r\n",
        b"*3\r\n:1\r\n*0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"*3\r\n:1\r\n*1\r\n$1\r\n\xff\r\n*0\r\n",
        b"*3\r\n:1\r\n*1\r\n-ERR no\r\n*0\r\n",
    ],
)
def test_a_revocation_with_a_reply_of_the_wrong_shape_is_none(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: reply
            assert [await answer.wait() for answer in revocations(backend)] == [None] * 4
            fake.answer = ordinary
            assert await admit(backend).wait() == [0, 0]
            assert fake.accepted == 1

    run(main())


def test_a_revocation_is_told_as_the_script_replies_it() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            answer: Answer[Revoked | None] = Answer()
            fake.answer = lambda command: b"*6\r\n:1\r\n:5\r\n:9\r\n:7\r\n:1\r\n:3\r\n"
            backend.revocations.revoke(ID, None, answer)
            assert await answer.wait() == (True, Life(5, 9), 7, True)
            changes: Answer[Changes | None] = Answer()
            fake.answer = lambda command: b"*3\r\n:3\r\n$-1\r\n*2\r\n$0\r\n\r\n:8\r\n"
            backend.revocations.changes(1, changes)
            assert await changes.wait() == (3, None, {"": 8})

    run(main())
