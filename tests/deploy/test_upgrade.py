"""Upgrades without a failed request, with two releases behind HAProxy, as docs/operations.md describes them.

Clients keep their connections, ask again and again for identities of theirs, validate what they were handed, and check
every answer (tests/support/users.py). The balancer counts for itself.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import ledger_rows
from tests.support.haproxy import HAProxy
from tests.support.http_client import clients
from tests.support.loops import run
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer
from tests.support.releases import Release, two_releases
from tests.support.service import REPLICA, ServiceProcess
from tests.support.users import Users

CONNECTIONS: Final = 8
REPLICAS: Final = 3
SERVED: Final = 300  # answers of a release before the next step is taken
ENV: Final = {
    **REPLICA,
    "RATE_LIMIT_REQUESTS": "0",
    "ACCESS_LOG": "off",
    "DRAIN_DELAY": "0.5",  # several probes of the balancer
}


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    """The old one and the new one."""
    old, new = two_releases(tmp_path_factory.mktemp("releases"))
    assert old.version != new.version
    assert old.schema <= new.schema
    return old, new


@asynccontextmanager
async def load(balancer: HAProxy) -> AsyncIterator[Users]:
    """Users who work all the while; at the end no request of theirs may have failed."""
    users = Users(balancer.port)
    async with asyncio.TaskGroup() as tasks:
        for number in range(CONNECTIONS):
            tasks.create_task(users.use(number))
        try:
            yield users
        finally:
            users.stopped = True
    assert not users.verdict, users.verdict
    assert set(balancer.failures().values()) == {0}, balancer.failures()


async def seen(condition: Callable[[], bool]) -> None:
    """Wait for what the balancer's probes find out."""
    while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.01)


async def roll(balancer: HAProxy, users: Users, old: ServiceProcess, new: ServiceProcess) -> None:
    """One step of a rolling update with maxSurge 1 and maxUnavailable 0: the new one first, then the old one leaves."""
    await asyncio.to_thread(new.start)
    await seen(lambda: new.port in balancer.up())
    await users.served_by(new, count=SERVED)
    old.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(old.wait) == 0
    assert "Traceback" not in old.stderr, old.last_words


async def health(port: int) -> Any:
    async with clients(port, 1) as (client,):
        return (await client.get("/api/health")).json


async def verdicts(port: int, identities: list[str]) -> Counter[str]:
    """How many are in which state, by 1,000 at a time."""
    found: Counter[str] = Counter()
    async with clients(port, 1) as (client,):
        for begin in range(0, len(identities), 1000):
            answer = await client.post("/api/v1/validate", {"identities": identities[begin : begin + 1000]})
            found.update(result["status"] for result in answer.json["results"])
    return found


def replicas(release: Release, count: int, stack: ExitStack, **env: str) -> list[ServiceProcess]:
    """Not started; those that run at the end are stopped."""
    services = [release.process(**ENV, **env) for _ in range(count)]
    for service in services:
        stack.callback(service.stop)
    return services


@pytest.mark.deploy("a rolling upgrade with a migration loses no request", tool="haproxy, PostgreSQL, Redis")
def test_a_rolling_upgrade_loses_no_request_and_no_identity(
    releases: tuple[Release, Release], own_redis: RedisServer, own_postgres: PostgresServer
) -> None:
    old, new = releases
    url = own_postgres.url

    async def scenario(balancer: HAProxy, before: list[ServiceProcess], after: list[ServiceProcess]) -> None:
        for service in before:
            await asyncio.to_thread(service.start)
        await seen(lambda: balancer.up() == {service.port for service in before})
        assert ledger_rows.schema_version(url) == old.schema
        async with load(balancer) as users:
            await users.served_by(*before, count=SERVED)
            assert (await health(balancer.port))["version"] == old.version
            for leaving, coming in zip(before, after, strict=True):
                await roll(balancer, users, leaving, coming)
                assert ledger_rows.schema_version(url) == new.schema, "migrated by the first, while the old ones write"
            await users.served_by(*after, count=SERVED)
        told = await health(balancer.port)
        assert (told["version"], told["status"]) == (new.version, "healthy")
        # Redis has lost everything: what is known now was migrated.
        own_redis.flush()
        assert await verdicts(after[0].port, list(users.known)) == {"active": len(users.known)}

    with ExitStack() as stack:
        env = {"REDIS_URL": own_redis.url, "DATABASE_URL": url}
        before, after = replicas(old, REPLICAS, stack, **env), replicas(new, REPLICAS, stack, **env)
        balancer = stack.enter_context(HAProxy({"service": [service.port for service in (*before, *after)]}))
        run(scenario(balancer, before, after), deadline=60)
    new.command("ledger", "verify", env={"DATABASE_URL": url})


@pytest.mark.deploy("a blue-green upgrade and both ways back lose no request", tool="haproxy, SQLite, Redis")
def test_a_blue_green_upgrade_and_both_ways_back_lose_no_request_and_no_identity(
    releases: tuple[Release, Release], own_redis: RedisServer, tmp_path: Path
) -> None:
    old, new = releases
    url, restored = f"sqlite:///{tmp_path}/identity.db", f"sqlite:///{tmp_path}/restored.db"
    backup = f"{tmp_path}/backup.db"
    env = {"REDIS_URL": own_redis.url, "DATABASE_URL": url}

    async def leave(services: list[ServiceProcess]) -> None:
        for service in services:
            service.send_signal(signal.SIGTERM)
        for service in services:
            assert await asyncio.to_thread(service.wait) == 0
            assert "Traceback" not in service.stderr, service.last_words

    async def scenario(
        balancer: HAProxy, blue: list[ServiceProcess], green: list[ServiceProcess], again: list[ServiceProcess]
    ) -> None:
        async def start(services: list[ServiceProcess]) -> None:
            for service in services:
                await asyncio.to_thread(service.start)
            await seen(lambda: {service.port for service in services} <= balancer.up())

        async def switch(users: Users, pool: str, services: list[ServiceProcess]) -> None:
            balancer.switch(pool)
            await users.served_by(*services, count=SERVED)
            assert (await health(balancer.port))["version"] == (new if services is green else old).version

        await start(blue)
        async with load(balancer) as users:
            await users.served_by(*blue, count=SERVED)
            await asyncio.to_thread(old.command, "ledger", "backup", backup, env={"DATABASE_URL": url})
            await start(green)
            assert [(await health(service.port))["version"] for service in green] == [new.version] * len(green)
            assert ledger_rows.schema_version(url) == new.schema, "migrated while blue writes"
            await users.served_by(*blue, count=SERVED)
            await switch(users, "green", green)
            await switch(users, "blue", blue)  # the way back while blue is still there
            await switch(users, "green", green)
            await leave(blue)
            await users.served_by(*green, count=SERVED)
            # The way back when blue has gone: not with the migrated ledger, but with the backup beside it.
            if old.schema < new.schema:  # always, but for a real older release that brought no migration
                refused = await asyncio.to_thread(old.refusal, env={**ENV, **env})
                assert f"schema version {new.schema}" in refused
            await asyncio.to_thread(old.command, "ledger", "restore", backup, env={"DATABASE_URL": restored})
            await start(again)
            await switch(users, "again", again)
            await leave(green)
            await users.served_by(*again, count=SERVED)
        assert await verdicts(again[0].port, list(users.known)) == {"active": len(users.known)}
        assert ledger_rows.schema_version(restored) == old.schema

    with ExitStack() as stack:
        blue, green = replicas(old, 2, stack, **env), replicas(new, 2, stack, **env)
        again = replicas(old, 2, stack, **env | {"DATABASE_URL": restored})
        pools = {"blue": blue, "green": green, "again": again}
        balancer = stack.enter_context(
            HAProxy({pool: [service.port for service in services] for pool, services in pools.items()})
        )
        run(scenario(balancer, blue, green, again), deadline=60)
    old.command("ledger", "verify", env={"DATABASE_URL": restored})
    new.command("ledger", "verify", env={"DATABASE_URL": url})
