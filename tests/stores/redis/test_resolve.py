"""Look-ups of names, with a resolver that a test holds up."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.resolve import Resolver, in_turn
from tests.support.loops import run, until
from tests.support.redis_backend import TIMEOUT

PATIENCE = 10.0  # seconds that the silent resolver takes when a test does not release it


class SilentResolver:
    """The C library's resolver while its servers are silent: answers no name before ``release`` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()
        self.answer: list[Any] | OSError = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    def __call__(self, host: str, _port: None, *, type: int, flags: int) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not numeric")
        self.asked.append(host)
        self.release.wait(PATIENCE)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentResolver]:
    resolver = SilentResolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.release.set()


def test_a_look_up_does_not_hold_up_the_end(silent: SilentResolver) -> None:
    async def main() -> None:
        backend = RedisBackend("redis://name.example", timeout=TIMEOUT, jitter=lambda: 0.0)
        await backend.start()
        await until(lambda: silent.asked == ["name.example"])
        await backend.close()

    run(main())
    assert not silent.release.is_set()
    assert [thread for thread in threading.enumerate() if thread.name == "resolver"], "the look-up has ended"


def test_a_look_up_of_a_sentinel_does_not_hold_up_the_end_and_runs_once(silent: SilentResolver) -> None:
    async def main() -> None:
        backend = RedisBackend("redis+sentinel://one.example,two.example/main", timeout=TIMEOUT, jitter=lambda: 0.0)
        await backend.start()
        await until(lambda: backend.fault != "")
        assert backend.fault == "no sentinel answers in time"
        await backend.close()

    run(main())
    assert sorted(silent.asked) == ["one.example", "two.example"]  # each listened to, and asked for the master
    assert not silent.release.is_set()


def test_all_that_wait_for_a_name_get_its_addresses(silent: SilentResolver) -> None:
    async def main() -> None:
        resolver = Resolver()
        first, given_up, last = (asyncio.ensure_future(resolver.addresses("a.example")) for _ in range(3))
        await until(lambda: len(silent.asked) == 1)
        given_up.cancel()
        silent.release.set()
        assert await first == await last == ["192.0.2.1"]
        assert given_up.cancelled()
        silent.answer = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        assert await resolver.addresses("a.example") == "its name is not known"
        assert silent.asked == ["a.example"] * 2

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_needs_no_thread(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread"))
    assert run(Resolver().addresses(host)) == [host]


def test_a_name_has_its_addresses_or_a_reason() -> None:
    found = run(Resolver().addresses("localhost"))
    assert set(found) <= {"127.0.0.1", "::1"}
    assert found
    assert run(Resolver().addresses("a" * 64 + ".example")) == "its name is none"


def test_addresses_of_both_families_are_tried_in_turn() -> None:
    """RFC 8305 section 4: one broken family does not use up the deadline."""
    six, four = [(socket.AF_INET6, each) for each in ("::1", "::2", "::3")], [(socket.AF_INET, "127.0.0.1")]
    assert in_turn([*six, *four]) == ["::1", "127.0.0.1", "::2", "::3"]
    assert in_turn([*four, *six]) == ["127.0.0.1", "::1", "::2", "::3"]
    assert in_turn(four) == ["127.0.0.1"]
