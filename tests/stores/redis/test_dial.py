"""A name with several addresses: one that is dead does not keep the service from the others."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.dial import Dialer
from arsenal_fast.stores.redis.url import Place
from tests.support.fake_redis import HANG_UP, Answer, Command, FakeRedis, ordinary
from tests.support.loops import run, until
from tests.support.redis_backend import TIMEOUT, admit, silent

SILENT = "127.0.0.2"
"""The address whose packets are dropped, or where the test puts something else."""

ALIVE = "127.0.0.1"


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """The name of every URL has these addresses from now on."""

    async def resolve(_dialer: Dialer, _place: Place) -> list[str]:
        return list(addresses)

    monkeypatch.setattr(Dialer, "_resolve", resolve)


def backend_of(fake: FakeRedis) -> RedisBackend:
    return RedisBackend(fake.url, timeout=TIMEOUT, jitter=lambda: 0.0, idle=60)


@contextmanager
def dropping(port: int) -> Iterator[None]:
    """A socket with a full backlog: the kernel drops each SYN to it."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((SILENT, port))
        listening.listen(0)
        for _ in range(3):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex((SILENT, port))
        yield


def test_an_address_that_drops_packets_is_no_dead_end(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, SILENT, ALIVE)

    async def main() -> None:
        async with FakeRedis() as fake:
            with dropping(fake.port):
                backend = backend_of(fake)
                await backend.start()
                await until(lambda: backend.healthy)
                assert backend.counters.connects == 1
                assert fake.accepted == 1
                await backend.close()

    run(main())


def test_an_address_that_refuses_is_passed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, SILENT, ALIVE)

    async def main() -> None:
        async with FakeRedis() as fake:
            backend = backend_of(fake)
            await backend.start()
            await until(lambda: backend.healthy)
            assert fake.accepted == 1
            await backend.close()

    run(main())


def replica(command: Command) -> bytes | None:
    return b"-READONLY\r\n" if command[0] == b"EVALSHA" else ordinary(command)


@pytest.mark.parametrize(
    "answer",
    [replica, silent, lambda command: b"-LOADING no\r\n", lambda command: b"-ERR no\r\n", lambda command: HANG_UP],
    ids=["replica", "silent", "loading", "error", "hangs up"],
)
def test_an_address_without_a_usable_redis_is_left_for_the_next_one(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It connects, and is no use: so the next attempt begins with another address."""
    resolving(monkeypatch, SILENT, ALIVE)

    async def main() -> None:
        async with FakeRedis() as fake, FakeRedis(answer, host=SILENT, port=fake.port) as other:
            backend = backend_of(fake)
            await backend.start()
            await until(lambda: backend.healthy)
            assert (other.accepted, fake.accepted) == (1, 1)
            assert await admit(backend).wait() == [0, 0]
            await backend.close()

    run(main())


def test_the_name_is_looked_up_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ALIVE)

    async def main() -> None:
        async with FakeRedis() as fake, FakeRedis(host=SILENT, port=fake.port) as other:
            backend = backend_of(fake)
            await backend.start()
            await until(lambda: backend.healthy)
            resolving(monkeypatch, SILENT)
            fake.hang_up()
            await until(lambda: other.accepted == 1 and backend.healthy)
            await backend.close()

    run(main())


def test_without_any_that_answers_the_reason_is_that_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, SILENT, "127.0.0.3")

    async def main() -> None:
        async with FakeRedis() as fake:
            backend = backend_of(fake)
            await backend.start()
            await until(lambda: backend.fault != "")
            assert backend.fault == "it refuses connections: nothing listens there"
            await backend.close()

    run(main())
