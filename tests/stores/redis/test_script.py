"""A script is run by its digest, and sent again as text if Redis has lost it."""

import time

import pytest

from tests.support.fake_redis import Command, FakeRedis, ordinary
from tests.support.loops import run, until
from tests.support.redis_backend import admit, connected, find, silent


@pytest.mark.parametrize(
    "reply",
    [
        b"*2\r\n:0\r\n:0\r\n",
        b"*4\r\n:0\r\n:0\r\n:0\r\n:0\r\n",
        b":0\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*3\r\n:0\r\n:0\r\n$1\r\n0\r\n",
        b"*3\r\n$1\r\n0\r\n:0\r\n:0\r\n",
        b"*3\r\n:0\r\n:0\r\n-ERR no\r\n",
        b"*3\r\n:0\r\n:0\r\n$-1\r\n",
        b"*3\r\n:0\r\n:0\r\n*1\r\n:0\r\n",
        b"+OK\r\n",
        b"-ERR something else\r\n",
        b"-WRONGTYPE Operation against a key\r\n",
        b"-nonsense\r\n",
    ],
)
def test_a_reply_of_the_wrong_shape_is_none_and_the_connection_lives(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: reply
            assert await admit(backend).wait() is None
            assert await find(backend, *"abcdefg").wait() is None
            fake.answer = ordinary
            assert await admit(backend).wait() == [0, 0]
            assert fake.accepted == 1

    run(main())


def test_a_lost_script_is_sent_again_once_as_text() -> None:
    def forgetful(command: Command) -> bytes | None:
        return b"-NOSCRIPT No matching script.\r\n" if command[0] == b"EVALSHA" else ordinary(command)

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            fake.answer = forgetful
            assert await admit(backend).wait() == [0, 0]
            by_digest, by_text = fake.commands
            assert (by_digest[0], by_text[0]) == (b"EVALSHA", b"EVAL")
            assert by_digest[2:] == by_text[2:]
            assert backend.counters.script_loads == 1
            assert backend.counters.failures == 0
            assert backend.counters.rows == 2

    run(main())


def test_a_script_that_stays_lost_is_none() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"-NOSCRIPT No matching script.\r\n"
            fake.commands.clear()
            assert await admit(backend).wait() is None
            assert len(fake.commands) == 2

    run(main())


def test_a_repeated_command_keeps_its_deadline() -> None:
    """The repeated command waits behind commands that were sent later."""

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake, seconds=0.2) as backend:
            fake.answer = silent
            before = time.monotonic()
            first = admit(backend)
            await until(lambda: time.monotonic() - before > 0.15)
            second = admit(backend)
            fake.say(b"-NOSCRIPT No matching script.\r\n")
            assert await first.wait() is None
            assert time.monotonic() - before < 0.28
            assert second.calls == [None]

    run(main())
