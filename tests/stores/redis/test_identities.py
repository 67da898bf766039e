"""Identities in Redis: what is sent, and what a record or a reply is read as."""

import pytest

from tests.support.fake_redis import FakeRedis, ordinary
from tests.support.loops import run
from tests.support.redis_backend import connected, find, issue


def test_what_is_asked_in_one_call_and_what_is_looked_up_in_one_tick_leave_as_one_command() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            issues = [issue(backend)]
            finds = [find(backend, "p-1@a/v1:id"), find(backend, "p-2@a/v1:id", "p-3@a/v1:id")]
            assert [await answer.wait() for answer in issues] == [[(0, (0, 0))]]
            assert [await answer.wait() for answer in finds] == [[None], [None, None]]
            assert fake.names() == [b"EVALSHA", b"MGET"]
            assert fake.commands[1][1:] == [b"af:{0}:i:p-%d@a/v1" % number for number in (1, 2, 3)]

    run(main())


@pytest.mark.parametrize(
    "reply",
    [
        b"*3\r\n:-1\r\n:1\r\n:2\r\n",  # no such outcome
        b"*3\r\n:6\r\n:1\r\n:2\r\n",
        b"*1\r\n:1\r\n",
        b"*6\r\n" + b":1\r\n" * 6,
        b"*3\r\n:1\r\n:1\r\n$1\r\n2\r\n",
    ],
)
def test_an_issue_with_a_reply_of_the_wrong_shape_is_none(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: reply
            assert await issue(backend).wait() is None
            fake.answer = ordinary
            assert await issue(backend).wait() == [(0, (0, 0))]
            assert fake.accepted == 1

    run(main())
