"""A backend over a fake Redis, and one of each command."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from arsenal_fast.identity.validity import Issued, IssueRow, StoreRecord
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.redis.backend import RedisBackend
from tests.support.fake_redis import Command, FakeRedis
from tests.support.loops import Answer

TIMEOUT = 0.05  # seconds

QUOTA = Quota(10, 10)

CLIENTS = [Client(b"203.0.113.9", QUOTA), Client(b"203.0.113.10", QUOTA)]

ID = "player-1@a.example/v1:id"


@asynccontextmanager
async def connected(fake: FakeRedis, url: str = "", seconds: float = TIMEOUT) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(url or fake.url, timeout=seconds, jitter=lambda: 0.0, idle=60)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


def admit(backend: RedisBackend) -> Answer[Sequence[int] | None]:
    answer: Answer[Sequence[int] | None] = Answer()
    backend.limiter.admit(CLIENTS, [1, 1], lambda _, backlogs: answer(backlogs))
    return answer


def issue(backend: RedisBackend) -> Answer[Sequence[Issued] | None]:
    answer: Answer[Sequence[Issued] | None] = Answer()
    backend.identities.issue([IssueRow(ID, 1000)], answer)
    return answer


def find(backend: RedisBackend, *ids: str) -> Answer[Sequence[StoreRecord | None] | None]:
    answer: Answer[Sequence[StoreRecord | None] | None] = Answer()
    backend.identities.find(ids, answer)
    return answer


def silent(command: Command) -> None:
    """Hears, and says nothing."""
