"""INFO of a real Redis: evictions, memory, and missing permissions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from arsenal_fast.stores.redis.backend import RedisBackend
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

KIB = 1024
SLACK = 4  # keys that may go between two looks of ours, for buffers of connections take room too


async def poll(backend: RedisBackend) -> None:
    replies = backend.counters.replies
    backend.info.poll()
    await until(lambda: backend.counters.replies > replies)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(url, timeout=2.0, jitter=lambda: 0.5)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


def evict(redis: RedisServer) -> int:
    """Write more than there is room for, some 30 keys more; how many Redis has evicted so far."""
    for number in range(64):
        redis.command("SET", f"filler-{number}", b"x" * 64 * KIB, "EX", 3600)
    info = redis.command("INFO", "stats")
    assert isinstance(info, bytes)
    (line,) = [line for line in info.splitlines() if line.startswith(b"evicted_keys:")]
    return int(line.partition(b":")[2])


def test_evictions_count_from_the_first_look_on() -> None:
    with RedisServer("--maxmemory", "4mb", "--maxmemory-policy", "volatile-ttl") as redis:
        before = evict(redis)
        assert before > 0

        async def main() -> None:
            async with connected(redis.url) as backend:
                counters = backend.counters
                await poll(backend)
                assert counters.evictions == 0
                assert counters.memory_limit == 4 * KIB * KIB
                assert 0 < counters.memory_used < 5 * KIB * KIB
                after = evict(redis)
                await poll(backend)
                assert counters.evictions == pytest.approx(after - before, abs=SLACK)
                redis.command("CONFIG", "RESETSTAT")
                again = evict(redis)
                await poll(backend)
                assert counters.evictions == pytest.approx(after - before + again, abs=SLACK)

        run(main())


def test_the_counts_of_another_redis_are_not_taken_for_news(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with connected(own_redis.url) as backend:
            await poll(backend)
            own_redis.kill()
            await until(lambda: not backend.healthy)
            backend.info.poll()
            assert (backend.counters.memory_used, backend.counters.memory_limit) == (0, 0)
            own_redis.start()
            own_redis.configure({"maxmemory": "4mb", "maxmemory-policy": "volatile-ttl"})
            assert evict(own_redis) > 0
            await until(lambda: backend.healthy)
            await poll(backend)
            assert backend.counters.evictions == 0
            assert backend.counters.memory_used > 0

    run(main())


def test_a_user_without_the_right_to_info_gets_nothing_and_keeps_the_connection(own_redis: RedisServer) -> None:
    own_redis.command("ACL", "SETUSER", "service", "on", ">secret", "~af:*", "+@all", "-info")

    async def main() -> None:
        async with connected(own_redis.url.replace("//", "//service:secret@")) as backend:
            await poll(backend)
            counters = backend.counters
            assert backend.healthy, backend.fault
            assert (counters.memory_used, counters.failures, counters.outages, counters.disconnects) == (0, 0, 0, 0)

    run(main())
