"""The guarantees of the connection, with a fake Redis for faults that a real one can't show."""

import asyncio
import logging
import time
from itertools import pairwise

import pytest

from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.connection import MAX_DELAY
from tests.support.fake_redis import HANG_UP, Command, FakeRedis, ordinary
from tests.support.loops import run, until
from tests.support.redis_backend import ID, TIMEOUT, admit, connected, find, issue, silent


def test_the_opening_ends_with_a_write_and_then_redis_is_healthy() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            url = fake.url.replace("redis://", "redis://me:hunter2@") + "/3"
            async with connected(fake, url) as backend:
                assert (backend.healthy, backend.status) == (True, "healthy")
                assert fake.names() == [b"AUTH", b"SELECT", *[b"SCRIPT"] * 7, b"EVALSHA"]
                assert fake.commands[0] == [b"AUTH", b"me", b"hunter2"]
                assert fake.commands[1] == [b"SELECT", b"3"]
                assert fake.commands[-1][3:] == [b"af:{0}:r", b"af:{0}:probe", b"1", b"1000000", b""]

    run(main())


def test_without_a_connection_callers_get_none_at_once() -> None:
    async def main() -> None:
        async with FakeRedis(lambda command: HANG_UP) as fake, connected(fake) as backend:
            assert (backend.healthy, backend.status) == (False, "unavailable")
            assert admit(backend).calls == [None]
            assert issue(backend).calls == [None]
            assert find(backend, ID).calls == [None]
            assert backend.counters.commands == 0

    run(main())


def test_start_does_not_wait_for_a_redis_that_is_silent() -> None:
    async def main() -> None:
        async with FakeRedis(silent) as fake:
            before = time.monotonic()
            async with connected(fake) as backend:
                assert time.monotonic() - before < TIMEOUT + 0.2
                assert not backend.healthy

    run(main())


def test_a_redis_that_is_loading_is_not_declared_back_until_it_takes_a_write() -> None:
    returns = []

    def loading(command: Command) -> bytes | None:
        return b"-LOADING Redis is loading\r\n" if command[0] == b"EVALSHA" else ordinary(command)

    async def main() -> None:
        async with FakeRedis(loading) as fake, connected(fake) as backend:
            backend.on_return = lambda: returns.append(backend.healthy)
            await until(lambda: fake.accepted >= 3)
            assert not backend.healthy
            assert "LOADING" in backend.fault
            fake.answer = ordinary
            await until(lambda: backend.healthy)
            assert returns == [True]
            assert backend.fault == ""
            assert await admit(backend).wait() == [0, 0]

    run(main())


def test_the_first_connect_is_no_return() -> None:
    returns: list[None] = []

    async def main() -> None:
        async with FakeRedis() as fake:
            backend = RedisBackend(fake.url, timeout=TIMEOUT, jitter=lambda: 0.0)
            backend.on_return = lambda: returns.append(None)
            await backend.start()
            assert backend.healthy
            assert returns == []
            fake.hang_up()
            await until(lambda: len(returns) == 1)
            assert backend.healthy
            await backend.close()

    run(main())


@pytest.mark.parametrize("code", ["LOADING", "READONLY", "MASTERDOWN", "OOM", "CLUSTERDOWN", "NOAUTH", "BUSY"])
def test_an_outage_gives_none_and_ends_the_connection(code: str) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"-%b sorry\r\n" % code.encode()
            answers = [admit(backend), admit(backend)]
            assert [await answer.wait() for answer in answers] == [None, None]
            assert not backend.healthy
            assert backend.fault.startswith(f"it answers {code}")
            fake.answer = ordinary
            await until(lambda: backend.healthy)
            assert fake.accepted >= 2

    run(main())


def test_a_command_without_reply_ends_the_connection_for_all_within_the_timeout() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = silent
            before = time.monotonic()
            answers = [admit(backend), admit(backend)]
            one, other = issue(backend), find(backend, ID)
            assert [await answer.wait() for answer in answers] == [None, None]
            assert (await one.wait(), await other.wait()) == (None, None)
            assert TIMEOUT * 0.9 < time.monotonic() - before < TIMEOUT + 0.2
            assert backend.counters.timeouts == 1
            assert admit(backend).calls == [None]

    run(main())


def test_a_reply_that_nothing_asked_for_is_given_to_nobody() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"*3\r\n:0\r\n:1\r\n:2\r\n*3\r\n:0\r\n:3\r\n:4\r\n"
            assert await admit(backend).wait() == [1, 2]
            fake.answer = ordinary
            await until(lambda: fake.accepted == 2 and backend.healthy)
            assert await admit(backend).wait() == [0, 0]

    run(main())


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0", HANG_UP, b"*2\r\n:0\r\n" + HANG_UP])
def test_garbage_or_a_cut_connection_is_none_and_soon_over(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake, seconds=5) as backend:
            fake.answer = lambda command: reply
            assert await admit(backend).wait() is None
            fake.answer = ordinary
            await until(lambda: backend.healthy)
            assert await admit(backend).wait() == [0, 0]

    run(main())


def test_replies_in_single_octets_are_understood() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            fake.bytewise = True
            async with connected(fake, seconds=5) as backend:
                assert await admit(backend).wait() == [0, 0]
                assert await find(backend, "a", "b").wait() == [None, None]

    run(main())


def test_a_reply_that_waited_while_we_stood_still_is_taken() -> None:
    """Blocks the loop on purpose, while it reads sockets: it then runs overdue timers before it reads again."""

    def slow(command: Command) -> bytes | None:
        time.sleep(2 * TIMEOUT)
        return b"*3\r\n:0\r\n:7\r\n:8\r\n"

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = slow
            assert await admit(backend).wait() == [7, 8]
            assert backend.healthy

    run(main())


def test_a_silent_redis_is_noticed_without_traffic() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            backend = RedisBackend(fake.url, timeout=TIMEOUT, jitter=lambda: 0.0, idle=0.02)
            await backend.start()
            await until(lambda: fake.names().count(b"PING") >= 2)
            assert backend.healthy
            fake.answer = silent
            await until(lambda: not backend.healthy)
            assert backend.counters.timeouts == 1
            await backend.close()

    run(main())


def test_while_redis_is_heard_there_is_no_ping() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            backend = RedisBackend(fake.url, timeout=5, jitter=lambda: 0.0, idle=0.2)
            await backend.start()
            begin = time.monotonic()
            while time.monotonic() - begin < 0.5:
                await admit(backend).wait()
            assert b"PING" not in fake.names()
            await backend.close()

    run(main())


def test_attempts_go_on_at_most_half_a_second_apart() -> None:
    """The first at once, the next ones later and later; with the greatest jitter there is."""
    moments: list[float] = []

    def refusing(command: Command) -> bytes | None:
        if command[0] == b"EVALSHA":
            moments.append(time.monotonic())
            return b"-LOADING\r\n"
        return ordinary(command)

    async def main() -> None:
        async with FakeRedis(refusing) as fake:
            backend = RedisBackend(fake.url, timeout=TIMEOUT, jitter=lambda: 0.999, idle=60)
            await backend.start()
            await until(lambda: len(moments) == 7)
            await backend.close()

    run(main())
    gaps = [after - before for before, after in pairwise(moments)]
    assert gaps[0] < 0.04
    assert gaps[1] >= 0.04
    assert max(gaps) < MAX_DELAY + 0.1
    assert gaps[-1] > gaps[1]


def test_a_connection_that_fails_over_and_over_is_not_renewed_without_pause() -> None:
    """Each opening succeeds, each command is an outage: that must not become a busy loop."""

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"-OOM\r\n" if b"af:{0}:c:203.0.113.9" in command else ordinary(command)
            begin = time.monotonic()
            while time.monotonic() - begin < 0.3:
                await admit(backend).wait()
                await asyncio.sleep(0)
            assert 2 <= fake.accepted <= 8

    run(main())


def test_closing_tells_none_to_who_waits_and_to_who_comes_later() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            backend = RedisBackend(fake.url, timeout=5, jitter=lambda: 0.0)
            await backend.start()
            fake.answer = silent
            waiting, batched = admit(backend), find(backend, ID)
            await backend.close()
            assert await waiting.wait() is None
            assert await batched.wait() is None
            assert admit(backend).calls == [None]
            assert not backend.healthy

    run(main())


def test_a_backend_that_was_never_started_says_none_and_closes() -> None:
    async def main() -> None:
        backend = RedisBackend("redis://127.0.0.1:1", jitter=lambda: 0.0)
        assert admit(backend).calls == [None]
        await backend.close()

    run(main())


@pytest.mark.parametrize("url", ["redis://no-such-host.invalid:1", "redis://127.0.0.1:1", "unix:///no/such/socket"])
def test_an_address_where_nobody_is_means_away_and_not_an_error(url: str) -> None:
    async def main() -> None:
        backend = RedisBackend(url, timeout=TIMEOUT, jitter=lambda: 0.0)
        await backend.start()
        assert not backend.healthy
        await until(lambda: backend.fault != "")
        await backend.close()

    run(main())


def test_a_password_is_shown_nowhere_even_if_the_server_quotes_it(caplog: pytest.LogCaptureFixture) -> None:
    def unkind(command: Command) -> bytes | None:
        return b"-ERR unknown command 'AUTH', with args beginning with: '%b'\r\n" % command[-1]

    async def main() -> str:
        async with FakeRedis(unkind) as fake:
            url = fake.url.replace("redis://", "redis://somebody:hunter2@")
            async with connected(fake, url) as backend:
                assert not backend.healthy
                return repr(backend) + backend.fault

    with caplog.at_level(logging.DEBUG):
        shown = run(main()) + caplog.text
    assert "it answers ERR" in shown
    assert "hunter2" not in shown
    assert "somebody" not in shown


def test_an_outage_is_one_line_in_the_log_and_its_end_another(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            for _ in range(2):
                accepted = fake.accepted
                fake.answer = lambda command: HANG_UP
                fake.hang_up()
                await until(lambda accepted=accepted: fake.accepted >= accepted + 3)  # type: ignore[misc]
                fake.answer = ordinary
                await until(lambda: backend.healthy)

    with caplog.at_level(logging.INFO, logger="arsenal_fast.stores.redis.connection"):
        run(main())
    assert [record.message for record in caplog.records] == [
        "Redis is unavailable: the connection is lost",
        "Redis is back",
    ] * 2
