"""Redis behind sentinels: found, followed, and why not."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.resolve import Resolver
from arsenal_fast.stores.redis.sentinel import Sentinels
from arsenal_fast.stores.redis.url import Place, parse_url
from tests.support import sentinels as real
from tests.support.certificates import good_pair
from tests.support.fake_redis import HANG_UP, Command, FakeRedis, ordinary
from tests.support.loops import run, until
from tests.support.redis_backend import TIMEOUT, admit, issue

# What a sentinel says, by fakes.


def naming(port: int, host: bytes = b"127.0.0.1") -> bytes:
    return b"*2\r\n$%d\r\n%b\r\n$%d\r\n%d\r\n" % (len(host), host, len(b"%d" % port), port)


def sentinel_of(master: FakeRedis | None) -> FakeRedis:
    """A sentinel that names this master, or knows none of that name."""

    def answer(command: Command) -> bytes | None:
        if command[0] == b"SENTINEL":
            assert command[1:] == [b"GET-MASTER-ADDR-BY-NAME", b"main"]
            return b"*-1\r\n" if master is None else naming(master.port)
        if command[0] == b"SUBSCRIBE":
            return b"*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"
        return b"+OK\r\n"

    return FakeRedis(answer)


def switch(port: int, service: bytes = b"main") -> bytes:
    text = b"%b 127.0.0.1 1 127.0.0.1 %d" % (service, port)
    return b"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%d\r\n%b\r\n" % (len(text), text)


def url_of(*fakes: FakeRedis, query: str = "") -> str:
    return f"redis+sentinel://:secret@{','.join(f'127.0.0.1:{fake.port}' for fake in fakes)}/main{query}"


async def started(url: str) -> RedisBackend:
    backend = RedisBackend(url, timeout=TIMEOUT, jitter=lambda: 0.0, idle=60)
    await backend.start()
    return backend


def fault_of(answer: bytes | None, query: str = "") -> str:
    """Why the master can't be found where the only sentinel answers so."""

    async def main() -> str:
        async with FakeRedis(lambda _: answer) as fake:
            backend = await started(url_of(fake, query=query))
            await until(lambda: backend.fault != "")
            await backend.close()
            return backend.fault

    return run(main())


def test_the_master_is_found_and_each_is_given_its_own_password() -> None:
    async def main() -> None:
        async with FakeRedis() as redis, sentinel_of(redis) as sentinel:
            backend = await started(url_of(sentinel, query="?sentinel_username=me&sentinel_password=other"))
            await until(lambda: backend.healthy)
            assert redis.commands[0] == [b"AUTH", b"secret"]
            assert sentinel.commands[0] == [b"AUTH", b"me", b"other"]
            assert await admit(backend).wait() == [0, 0]
            await backend.close()

    run(main())


def test_what_most_sentinels_say_comes_first() -> None:
    async def main() -> None:
        async with (
            FakeRedis() as old,
            FakeRedis() as new,
            sentinel_of(old) as cut_off,
            sentinel_of(new) as one,
            sentinel_of(new) as other,
        ):
            asked = Sentinels(parse_url(url_of(cut_off, one, other)), 1, lambda _: None, lambda: None, Resolver())
            places = await asked.masters()
            assert isinstance(places, list)
            assert places[0] == Place("127.0.0.1", new.port)
            await asked.close()

    run(main())


def test_a_sentinel_that_is_silent_or_gone_is_not_waited_for() -> None:
    async def main() -> None:
        async with (
            FakeRedis() as redis,
            sentinel_of(redis) as one,
            sentinel_of(redis) as other,
            FakeRedis(lambda _: None) as silent,
        ):
            asked = Sentinels(parse_url(url_of(silent, one, other)), 60, lambda _: None, lambda: None, Resolver())
            assert await asked.masters() == [Place("127.0.0.1", redis.port)]

    run(main())


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"*-1\r\n", "the sentinels know no master of this name"),
        (b"-IDONTKNOW hunter2\r\n", "a sentinel can't be asked: it answers IDONTKNOW"),
        (b"-NOAUTH hunter2\r\n", "a sentinel can't be asked: it answers NOAUTH: it wants a password"),
        (b"+hunter2\r\n", "a sentinel says what is no address"),
        (b"*2\r\n$7\r\nhunter2\r\n$7\r\nhunter2\r\n", "a sentinel says what is no address"),
        (naming(65_536), "a sentinel says what is no address"),
        (naming(0), "a sentinel says what is no address"),
        (naming(1, b"a\xff"), "no sentinel can be asked: its name is none"),
        (b"HTTP/1.1 400 hunter2\r\n\r\n", "no sentinel can be asked: it does not speak RESP"),
        (HANG_UP, "no sentinel can be asked: it ends the connection at once"),
    ],
)
def test_why_there_is_no_master_is_one_sentence(answer: bytes, fault: str) -> None:
    assert fault_of(answer) == fault


def test_a_wrong_password_of_the_sentinels_is_said_as_theirs() -> None:
    fault = fault_of(b"-WRONGPASS hunter2\r\n", "?sentinel_password=hunter2")
    assert fault == "no sentinel can be asked: it answers WRONGPASS: it refuses the user or the password"


def test_a_sentinel_that_is_silent_is_no_end() -> None:
    assert fault_of(None) == "no sentinel answers in time"


def test_a_failover_is_followed_as_soon_as_one_sentinel_announces_it() -> None:
    async def main() -> None:
        async with FakeRedis() as old, FakeRedis() as new, sentinel_of(old) as one, sentinel_of(old) as other:
            backend = await started(url_of(one, other))
            returns: list[None] = []
            backend.on_return = lambda: returns.append(None)
            await until(lambda: backend.healthy and b"SUBSCRIBE" in one.names() and b"SUBSCRIBE" in other.names())
            one.say(switch(1, b"another-service"))
            one.say(switch(new.port))
            other.say(switch(new.port))
            await until(lambda: new.accepted == 1 and backend.healthy)
            assert len(returns) == 1
            assert await admit(backend).wait() == [0, 0]
            assert (old.accepted, new.accepted) == (1, 1)
            await backend.close()

    run(main())


def test_a_failover_to_where_we_are_already_or_to_no_place_changes_nothing() -> None:
    async def main() -> None:
        async with FakeRedis() as redis, sentinel_of(redis) as sentinel:
            backend = await started(url_of(sentinel))
            await until(lambda: backend.healthy and b"SUBSCRIBE" in sentinel.names())
            sentinel.say(switch(redis.port) + switch(redis.port) + switch(65_536) + switch(0) + b"*0\r\n:1\r\n")
            sentinel.hang_up()
            await until(lambda: sentinel.names().count(b"SUBSCRIBE") == 2)
            assert (backend.healthy, redis.accepted) == (True, 1)
            await backend.close()

    run(main())


def test_a_master_that_has_become_a_replica_is_left() -> None:
    """READONLY, before any sentinel has told of it."""

    async def main() -> None:
        async with FakeRedis() as old, FakeRedis() as new, sentinel_of(old) as sentinel:
            backend = await started(url_of(sentinel))
            await until(lambda: backend.healthy)
            named = sentinel.answer
            old.answer = lambda command: b"-READONLY\r\n" if command[0] == b"EVALSHA" else ordinary(command)
            sentinel.answer = lambda command: naming(new.port) if command[0] == b"SENTINEL" else named(command)
            assert await admit(backend).wait() is None
            await until(lambda: backend.healthy)
            assert new.accepted == 1
            await backend.close()

    run(main())


def test_a_failover_announced_while_nothing_answers_is_followed_at_once() -> None:
    async def main() -> None:
        async with FakeRedis(lambda _: HANG_UP) as dead, FakeRedis() as new, sentinel_of(dead) as sentinel:
            backend = await started(url_of(sentinel))
            await until(lambda: dead.accepted >= 2 and b"SUBSCRIBE" in sentinel.names())
            sentinel.say(switch(new.port))
            await until(lambda: backend.healthy)
            assert new.accepted == 1
            await backend.close()

    run(main())


# Real ones.


@pytest.fixture
def watched() -> Iterator[real.Sentinels]:
    with real.Sentinels(password="hunter1", sentinel_password="hunter2") as started:
        yield started


@pytest.mark.integration
def test_real_sentinels_lead_to_the_master_and_from_one_to_the_next(
    watched: real.Sentinels, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = watched.servers

    async def main() -> None:
        backend = await patient(watched.url())
        await until(lambda: backend.healthy)
        assert await issue(backend).wait() is not None
        assert old.command("EXISTS", "af:{0}:i:player-1@a.example/v1", password="hunter1") == 1
        watched.kill_sentinel(2)
        await until(lambda: watched.promote(new))
        await until(lambda: f"is 127.0.0.1:{new.port}" in caplog.text and backend.healthy)
        assert await admit(backend).wait() is not None
        await backend.close()

    with caplog.at_level(logging.INFO):
        run(main(), deadline=30)
    assert f"the master {real.SERVICE} of Redis is 127.0.0.1:{old.port}" in caplog.text
    assert "hunter" not in caplog.text


async def patient(url: str) -> RedisBackend:
    backend = RedisBackend(url, timeout=0.25, jitter=lambda: 0.5)
    await backend.start()
    return backend


@pytest.mark.integration
def test_real_sentinels_say_why_they_can_not_be_asked(watched: real.Sentinels) -> None:
    async def fault_of(url: str) -> str:
        backend = await patient(url)
        await until(lambda: backend.fault != "")
        await backend.close()
        return backend.fault

    refused = "no sentinel can be asked: it answers WRONGPASS: it refuses the user or the password"
    assert run(fault_of(watched.url(service="another"))) == "the sentinels know no master of this name"
    assert run(fault_of(watched.url(sentinel_password="wrong"))) == refused
    without = "a sentinel can't be asked: it answers NOAUTH: it wants a password"
    assert run(fault_of(watched.url(sentinel_password=""))) == without


@pytest.mark.integration
def test_over_tls_sentinels_and_redis_are_both_verified(tmp_path: Path) -> None:
    pair = good_pair(tmp_path)

    async def outcome(url: str) -> str:
        backend = await patient(url)
        await until(lambda: backend.healthy or backend.fault != "")
        await backend.close()
        return backend.fault

    with real.Sentinels(pair=pair) as watched:
        assert run(outcome(f"{watched.url()}?ssl_ca_certs={pair.certificate}"), deadline=30) == ""
        untrusted = run(outcome(watched.url()))
        assert untrusted.startswith("no sentinel can be asked: its certificate is not trusted: self")
