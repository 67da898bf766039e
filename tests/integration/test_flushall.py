"""Redis loses its data under load, repeatedly: the ledger restores the identities.

Two processes share a Redis and a ledger, and remember little themselves, so that most questions go to Redis and
from there to the ledger. All clients record the life of each identity; a client that gets another life
of a living one has found a fault. Many request the same new identities at once, over both processes: whichever
side of a FLUSHALL their requests fall on, there is one life. (Unless the ledger does not answer within its time-out:
then the ledger can't decide. The service logs that, and such a run is repeated.)
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.support.http_client import Client, clients
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess
from tests.support.stalls import StalledError, on_a_machine_that_moves

pytestmark = pytest.mark.integration

FLUSHES: Final = 40
BETWEEN: Final = 60  # answers between two of them
CONNECTIONS: Final = 24
FRONT: Final = 12  # of the newest identities, each of which many clients request at once
ENV: Final = {
    "RATE_LIMIT_REQUESTS": "1000000",
    "JWT_SECRET": "a secret of forty octets that nobody has",
    "API_BASE_URL": "http://127.0.0.1",
    "IDENTITY_CACHE_SIZE": "20",
}

Told = tuple[str, str]


@dataclass
class Watch:
    """The lives that clients got of the identities of this prefix."""

    prefix: str
    first: dict[str, Told] = field(default_factory=dict)
    """``generated`` and ``expires`` of each identity, as they were first heard of."""
    faults: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    front: int = FRONT
    stopped: bool = False

    @property
    def answered(self) -> int:
        return self.kinds.total()

    async def more(self, answers: int) -> None:
        wanted = self.answered + answers
        await until(lambda: self.answered >= wanted)

    def hear(self, kind: str, rows: Sequence[Any]) -> None:
        for row in rows:
            identity = row["id"] if "id" in row else row["identity"]
            told = row["generated"], row["expires"]
            first = self.first.setdefault(identity, told)
            if first != told or row.get("status", "active") != "active":
                self.faults.append(f"{kind} {identity}: {row.get('status')} {told} after {first}")
        self.kinds[kind] += 1

    async def use(self, client: Client, chance: random.Random) -> None:
        """Request new and old identities, and validate issued ones."""
        while not self.stopped:
            match chance.randrange(5):
                case 0:
                    self.front += 1
                    answer = await client.get(
                        f"/api/v1/id?prefix={self.prefix}&run={self.front - chance.randrange(FRONT)}"
                    )
                    self.hear("GET new", [answer.json])
                case 1:
                    answer = await client.get(f"/api/v1/id?prefix={self.prefix}&run={chance.randrange(self.front)}")
                    self.hear("GET", [answer.json])
                case 2:
                    runs = [str(self.front - offset) for offset in range(FRONT)]
                    rows = [{"name": run_, "prefix": self.prefix, "run": run_} for run_ in runs]
                    answer = await client.post("/api/v1/identities", {"environments": rows})
                    self.hear("batch", answer.json["identities"])
                case 3 if self.first:
                    answer = await client.post("/api/v1/validate", {"identity": chance.choice(list(self.first))})
                    self.hear("validate", [answer.json])
                case _:
                    some = list(self.first)[-FRONT:]
                    if some:
                        answer = await client.post("/api/v1/validate", {"identities": some})
                        self.hear("validate many", answer.json["results"])


def test_flushall_under_load_changes_no_living_identity(own_redis: RedisServer, sqlite_url: str) -> None:
    prefixes = iter("abcdefgh")
    on_a_machine_that_moves(lambda: flush_again_and_again(own_redis, sqlite_url, Watch(next(prefixes))))


def flush_again_and_again(own_redis: RedisServer, sqlite_url: str, watch: Watch) -> None:

    async def scenario(ports: Sequence[int]) -> None:
        async with clients(ports, CONNECTIONS) as opened, asyncio.TaskGroup() as tasks:
            for number, client in enumerate(opened):
                tasks.create_task(watch.use(client, random.Random(number)))
            for number in range(FLUSHES):
                wanted = watch.answered + BETWEEN
                await until(lambda wanted=wanted: watch.answered >= wanted)  # type: ignore[misc]
                if number % 4:
                    own_redis.command("FLUSHALL")
                else:
                    own_redis.flush()  # and the scripts
            watch.stopped = True
        # Every one of them, after all that.
        async with clients(ports, 2) as opened:
            for client in opened:
                ids = list(watch.first)
                for start in range(0, len(ids), 1000):
                    answer = await client.post("/api/v1/validate", {"identities": ids[start : start + 1000]})
                    watch.hear("validate all", answer.json["results"])

    env = {**ENV, "REDIS_URL": own_redis.url, "DATABASE_URL": sqlite_url}
    with ExitStack() as stack:
        services = [stack.enter_context(ServiceProcess(**env)) for _ in range(2)]
        run(scenario([service.port for service in services]), deadline=60)
    print(f"\n{FLUSHES} times FLUSHALL, {len(watch.first)} identities, {dict(watch.kinds)}, {len(watch.faults)} faults")
    for service in services:
        if "the ledger is degraded: The ledger does not answer in time." in service.stderr:
            raise StalledError(service.last_words)
    assert watch.faults == []
    assert watch.answered > FLUSHES * BETWEEN
