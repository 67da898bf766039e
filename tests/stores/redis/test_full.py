"""A full Redis with our settings: which keys it evicts, and which it keeps."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from arsenal_fast.identity.validity import IssueRow
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.limiter import KEY_PREFIX, REVISION_KEY
from arsenal_fast.stores.redis.revocations import EPOCHS_KEY, LOG_KEY
from tests.support.loops import run
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

CONF: Final = Path(__file__).parents[3] / "deploy/redis/redis.conf"
QUOTA: Final = Quota(100, 3600)
MONTH: Final = 2_592_000_000  # ms
FLOOD: Final = 80_000  # identities: more than twice what 8 MB hold
PIECE: Final = 500
CLIENTS: Final = 100


def shipped() -> list[str]:
    """The settings of our redis.conf that say how it evicts, as options of the server."""
    lines = [line.split() for line in CONF.read_text(encoding="utf-8").splitlines()]
    return [
        text
        for line in lines
        if line and line[0].startswith(("maxmemory-", "lfu-"))
        for text in (f"--{line[0]}", line[1])
    ]


async def settled(call: Callable[[Callable[..., None]], None]) -> Sequence[object]:
    """What a port's ``done`` is called with."""
    answer: asyncio.Future[Sequence[object]] = asyncio.get_running_loop().create_future()
    call(lambda *values: answer.set_result(values))
    return await answer


class Full:
    """A service's backend before a small Redis."""

    def __init__(self, backend: RedisBackend) -> None:
        self.backend = backend

    async def admit(self, clients: list[Client], quantity: int) -> list[int]:
        """The backlogs before the hits."""
        _, backlogs = await settled(lambda done: self.backend.limiter.admit(clients, [quantity] * len(clients), done))
        assert isinstance(backlogs, list)
        return backlogs

    async def issue(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), PIECE):
            rows = [IssueRow(identity, MONTH) for identity in ids[start : start + PIECE]]
            assert (await settled(lambda done: self.backend.identities.issue(rows, done)))[0] is not None  # noqa: B023

    async def flood(self) -> None:
        """New identities with a life of a month each."""
        for start in range(0, FLOOD, PIECE):
            await self.issue([f"evil-{number}@sports.api.yourbook.com/v1:id" for number in range(start, start + PIECE)])
            if start % 10_000 == 0:
                self.backend.info.poll()


def clients(net: int) -> list[Client]:
    return [Client(b"10.0.%d.%d" % (net, host), QUOTA) for host in range(CLIENTS)]


def left(redis: RedisServer, keys: Sequence[bytes]) -> int:
    count = redis.command("EXISTS", *keys)
    assert isinstance(count, int)
    return count


async def spend_and_flood(redis: RedisServer) -> tuple[int, int, int]:
    """How many are left of 100 limits spent one by one, of 100 spent in one packet, of 12 keys about revocations."""
    backend = RedisBackend(redis.url, timeout=5.0, jitter=lambda: 0.5)
    await backend.start()
    full = Full(backend)
    try:
        one_by_one, at_once = clients(1), clients(2)
        for _ in range(QUOTA.limit):
            await full.admit(one_by_one, 1)
        await full.admit(at_once, QUOTA.limit)
        revoked = [f"revoked-{number}@sports.api.yourbook.com/v1:id" for number in range(9)]
        await full.issue(revoked)
        await settled(lambda done: backend.revocations.set_epoch("shop", 0, done))
        for identity in revoked:
            await settled(lambda done: backend.revocations.revoke(identity, None, done))  # noqa: B023
        await full.flood()
        keys = [REVISION_KEY, LOG_KEY, EPOCHS_KEY] + [
            b"af:{0}:i:%b" % identity.removesuffix(":id").encode() for identity in revoked
        ]
        cells = [[KEY_PREFIX + client.key_bytes for client in group] for group in (one_by_one, at_once)]
        return left(redis, cells[0]), left(redis, cells[1]), left(redis, keys)
    finally:
        await backend.close()


def test_a_flood_of_identities_resets_no_limit_and_forgets_no_revocation() -> None:
    with RedisServer("--maxmemory", "8mb", *shipped()) as redis:
        assert run(spend_and_flood(redis)) == (CLIENTS, CLIENTS, 12)
        evicted = redis.command("INFO", "stats")
        assert isinstance(evicted, bytes)
        assert b"evicted_keys:0" not in evicted
        count = evicted.partition(b"evicted_keys:")[2].split()[0].decode()
        print(f"{count} keys evicted, {2 * CLIENTS} of {2 * CLIENTS} limits and 12 of 12 keys of revocations kept")


def frequency(redis: RedisServer, key: bytes) -> int:
    """How often LFU says that a key was used."""
    counted = redis.command("OBJECT", "FREQ", key)
    assert isinstance(counted, int)
    return counted


async def look_at_revocations(redis: RedisServer) -> None:
    backend = RedisBackend(redis.url, timeout=5.0, jitter=lambda: 0.5)
    await backend.start()
    identity = "revoked@sports.api.yourbook.com/v1"
    await settled(lambda done: backend.identities.issue([IssueRow(f"{identity}:id", MONTH)], done))
    await settled(lambda done: backend.revocations.set_epoch("shop", 0, done))
    await settled(lambda done: backend.revocations.revoke(f"{identity}:id", None, done))
    assert frequency(redis, b"af:{0}:i:" + identity.encode()) == 255, "days of decay"
    shared = (REVISION_KEY, LOG_KEY, EPOCHS_KEY)
    before = [frequency(redis, key) for key in shared]
    for _ in range(3):
        backend.info.poll()
    await settled(lambda done: backend.identities.find([identity], done))
    assert [frequency(redis, key) for key in shared] == [count + 3 for count in before], "none fades while we look"
    await backend.close()


def test_what_revocations_rest_on_counts_as_used() -> None:
    with RedisServer("--maxmemory", "8mb", *shipped()) as redis:
        run(look_at_revocations(redis))


@pytest.mark.parametrize("policy", ["volatile-ttl", "volatile-lru", "allkeys-lru"])
def test_other_policies_give_everybody_a_fresh_limit(policy: str) -> None:
    """Why the policy matters; and that the test above can fail."""
    with RedisServer("--maxmemory", "8mb", "--maxmemory-policy", policy) as redis:
        one_by_one, at_once, _ = run(spend_and_flood(redis))
        assert one_by_one + at_once < CLIENTS
