"""A Redis Cluster under the service: exact limits, revocations everywhere, and what happens to its nodes under load."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

import pytest

from arsenal_fast.stores.redis.keys import name_of, slot_of
from arsenal_fast.stores.redis.url import SHARDS
from tests.integration.test_exact_limit import LIMIT, assert_exact, crowd, services
from tests.integration.test_redis_faults import ENV, load, metric, until_health, until_shared
from tests.support.certificates import good_pair
from tests.support.http_client import Client, clients
from tests.support.loops import run
from tests.support.redis_cluster import TAGS, RedisCluster, shard_of
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess, command

pytestmark = pytest.mark.integration

REVOCATIONS = int(os.environ.get("CLUSTER_REVOCATIONS", "120"))
"""Tries; CLUSTER_REVOCATIONS=10000 for a proof."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster() as started:
        yield started


@pytest.fixture
def own_cluster() -> Iterator[RedisCluster]:
    """One whose nodes the test may kill and move."""
    with RedisCluster() as started:
        yield started


def address(shard: int, salt: int = 0) -> str:
    """A client of a shard."""
    return next(
        text
        for number in range(salt * 256, 65_536)
        if shard_of((text := f"10.9.{number >> 8}.{number & 255}").encode()) == shard
    )


def run_name(shard: int, salt: str) -> str:
    """A run whose identity is in a shard."""
    return next(
        f"{salt}{number}"
        for number in range(1000)
        if shard_of(name_of(f"player-{salt}{number}@sports.api.yourbook.com/v1:id")) == shard
    )


def test_what_a_key_says_and_what_redis_says_of_its_slot_agree(cluster: RedisCluster) -> None:
    for tag in TAGS:
        assert cluster.masters[0].command("CLUSTER", "KEYSLOT", b"af:{%b}:r" % tag) == slot_of(tag)


def test_clients_and_identities_are_spread_over_all_nodes(cluster: RedisCluster) -> None:
    async def scenario(port: int) -> None:
        async with clients(port, 1) as (client,):
            for shard in range(SHARDS):
                answer = await client.get(
                    f"/api/v1/id?prefix=player&run={run_name(shard, 'spread')}", X_Forwarded_For=address(shard)
                )
                assert answer.status == 200

    with ServiceProcess(**ENV, REDIS_URL=cluster.url) as service:
        run(scenario(service.port))
    for kind in ("c", "i", "r"):
        held = [
            len(keys) for server in cluster.masters if isinstance(keys := server.command("KEYS", f"*:{kind}*"), list)
        ]
        assert min(held) >= SHARDS // len(cluster.masters), (kind, held)


def test_of_1000_at_once_exactly_100_pass_over_two_processes(cluster: RedisCluster) -> None:
    with services(2, **LIMIT, REDIS_URL=cluster.url) as started:
        begun = perf_counter()
        answers = run(crowd([service.port for service in started]), deadline=30)
        assert_exact(answers, perf_counter() - begun)


def test_a_revocation_is_seen_by_the_next_request_of_any_shard(cluster: RedisCluster) -> None:
    """Two replicas answer from memory; one revokes; the other gets one request, of a client of each shard in turn."""

    async def scenario(ports: Sequence[int], bearer: str) -> None:
        async with clients(ports, 2) as (one, other):
            for shard in range(SHARDS):  # the first answer of a shard empties the cache
                for client in (one, other):
                    await client.get("/api/v1/id?prefix=player&run=1", X_Forwarded_For=address(shard))
            for number in range(REVOCATIONS):
                shard = number % SHARDS
                target = f"/api/v1/id?prefix=player&run=gone{number % 100}"
                for client in (one, other, other):
                    living = (await client.get(target, X_Forwarded_For=address(shard))).json
                revoked = await one.post("/api/v1/revoke", {"identity": living["id"]}, Authorization=bearer)
                assert (revoked.status, revoked.json["generated"]) == (200, living["generated"]), revoked
                if number % 2:
                    again = (await other.get(target, X_Forwarded_For=address(shard))).json
                    assert again["generated"] > revoked.json["revoked"]
                else:
                    asked = {"identity": living["id"]}
                    said = await other.post("/api/v1/validate", asked, X_Forwarded_For=address(shard))
                    assert said.json["status"] == "revoked"

    env = {**ENV, **REPLICA, "REDIS_URL": cluster.url, "REDIS_TIMEOUT_MS": "5000"}
    minted = command("token", "--subject", "tests", "--scope", "revoke", "--rate-limit", "1000000", env=env)
    with services(2, **env) as started:
        run(
            scenario([service.port for service in started], f"Bearer {minted.stdout.strip()}"),
            deadline=60 + REVOCATIONS / 20,
        )


def follow(own: RedisCluster, happens: Callable[[], object], *, away: bool) -> None:
    """Two replicas of the service under load, until both share all shards again after what ``happens``."""

    async def scenario(ports: Sequence[int]) -> None:
        async with load(ports[0]) as under, clients(ports, 2) as (one, other):
            for client in (one, other):
                await until_health(client, "healthy")
            await under.more(300)
            await asyncio.to_thread(happens)
            if away:
                await until_health(one, "degraded")
            await under.more(300)
            begun = perf_counter()
            for client in (one, other):
                await until_health(client, "healthy")
            await until_shared(one, other)
            print(f"shared again {perf_counter() - begun:.2f} s after that")
            assert await counts_are_shared(one, other) == set(range(SHARDS))
            await under.more(300)
        print(f"{under.answered} answers, the slowest after {under.worst * 1000:.0f} ms")
        assert set(under.statuses) == {200}, under.statuses

    with services(2, **ENV, **REPLICA, REDIS_URL=own.url) as started:
        run(scenario([service.port for service in started]), deadline=60)


async def counts_are_shared(one: Client, other: Client) -> set[int]:
    """The shards of which the second replica has the counts of the first."""
    shared = set()
    for shard in range(SHARDS):
        remaining = [
            int((await client.get("/api/v1/id", X_Forwarded_For=address(shard, 77))).headers["x-ratelimit-remaining"])
            for client in (one, other)
        ]
        if remaining[1] == remaining[0] - 1:
            shared.add(shard)
    return shared


def test_a_master_that_dies_is_replaced_by_its_replica_without_a_failed_request(own_cluster: RedisCluster) -> None:
    follow(own_cluster, own_cluster.masters[1].kill, away=True)


def test_a_failover_by_hand_is_followed(own_cluster: RedisCluster) -> None:
    def hand_over() -> None:
        assert own_cluster.replicas[2].command("CLUSTER", "FAILOVER") == b"OK"

    follow(own_cluster, hand_over, away=False)


def test_slots_that_move_to_a_node_that_was_added_take_their_shards_along(own_cluster: RedisCluster) -> None:
    def move() -> None:
        target = own_cluster.add()
        for tag in TAGS[:2]:
            source = own_cluster.begin_to_move(slot_of(tag), target)
            own_cluster.end_move(slot_of(tag), source, target)
        assert own_cluster.shards_of(target) == [0, 1]

    follow(own_cluster, move, away=False)


def test_while_a_slot_moves_its_limits_are_exact_and_revocations_are_seen(own_cluster: RedisCluster) -> None:
    """The keys are at both nodes, and new ones come to be: one by one they go where they belong."""
    shard = 2
    slot = slot_of(TAGS[shard])
    target = own_cluster.masters[1]
    clients_ = [address(shard, salt) for salt in range(6)]

    async def scenario(ports: Sequence[int], bearer: str) -> None:
        async with clients(ports, 2) as (one, other):
            target_ = f"/api/v1/id?prefix=player&run={run_name(shard, 'move')}"

            async def charge(each: str, left: int) -> None:
                for client in (one, other):
                    left -= 1
                    answer = await client.get(target_, X_Forwarded_For=each)
                    assert (answer.status, int(answer.headers["x-ratelimit-remaining"])) == (200, left)

            for each in clients_[:4]:
                await charge(each, 100)
            living = (await one.get(target_, X_Forwarded_For=address(0))).json
            source = await asyncio.to_thread(own_cluster.begin_to_move, slot, target)
            for each in clients_[:4]:
                await charge(each, 98)
            for moved in range(1, 5):
                await asyncio.to_thread(own_cluster.move_keys, slot, source, target, 1)
                for each in clients_[:4]:
                    await charge(each, 98 - 2 * moved)
            await charge(clients_[4], 100)
            revoked = await one.post("/api/v1/revoke", {"identity": living["id"]}, Authorization=bearer)
            assert revoked.status == 200, revoked
            for each in (clients_[0], address(0)):
                said = await other.post("/api/v1/validate", {"identity": living["id"]}, X_Forwarded_For=each)
                assert said.json["status"] == "revoked"
            await asyncio.to_thread(own_cluster.end_move, slot, source, target)
            await charge(clients_[4], 98)
            await charge(clients_[5], 100)
            for client in (one, other):
                assert (await metric(client, "identity_limiter_fallback_total")) == 0
                await until_health(client, "healthy")

    env = {**LIMIT, "TRUSTED_PROXIES": "127.0.0.0/8", **REPLICA, "REDIS_URL": own_cluster.url}
    minted = command("token", "--subject", "tests", "--scope", "revoke", "--rate-limit", "1000000", env=env)
    with services(2, **env) as started:
        run(scenario([service.port for service in started], f"Bearer {minted.stdout.strip()}"), deadline=40)


def test_a_shard_without_a_node_degrades_alone_and_is_named() -> None:
    """Without replicas a lost master stays lost: the clients of the others stay shared and exact."""

    async def scenario(own: RedisCluster, started: Sequence[ServiceProcess]) -> None:
        async with clients([service.port for service in started], 2) as (one, other):
            for client in (one, other):
                await until_health(client, "healthy")
            lost = own.shards_of(own.masters[2])
            assert len(lost) == 1
            await asyncio.to_thread(own.masters[2].kill)
            for client in (one, other):
                await until_health(client, "degraded")
            assert await counts_are_shared(one, other) == set(range(SHARDS)) - set(lost)
            for service in started:
                service.wait_for_log(f"shard {lost[0]} of {SHARDS} of Redis can't be used")

    with RedisCluster(replicas=False) as own, services(2, **ENV, **REPLICA, REDIS_URL=own.url) as started:
        run(scenario(own, started), deadline=30)


def test_from_one_redis_to_a_cluster_under_load_every_identity_keeps_its_life(
    own_redis: RedisServer, cluster: RedisCluster, sqlite_url: str
) -> None:
    """A replica of the old store and one of the new, one ledger: what the cluster does not know the ledger does."""

    async def scenario(old: ServiceProcess, new: ServiceProcess) -> None:
        targets = [f"/api/v1/id?prefix=player&run=keep{number}" for number in range(200)]
        async with clients(old.port, 1) as (at_old,):
            lives = [(await at_old.get(target)).json["generated"] for target in targets]
        async with load(old.port) as under, load(new.port) as over, clients([old.port, new.port], 2) as (_, at_new):
            await under.more(300)
            await over.more(300)
            await until_health(at_new, "healthy")
            assert [(await at_new.get(target)).json["generated"] for target in targets] == lives
            await under.more(300)
        assert set(under.statuses) == set(over.statuses) == {200}

    env = {**ENV, **REPLICA, "DATABASE_URL": sqlite_url}
    with ServiceProcess(**env, REDIS_URL=own_redis.url) as old, ServiceProcess(**env, REDIS_URL=cluster.url) as new:
        run(scenario(old, new), deadline=60)


def test_over_tls_every_node_is_reached_and_verified(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        async with clients(port, 1) as (client,):
            await until_health(client, "healthy")
            for shard in range(SHARDS):
                answer = await client.get("/api/v1/id", X_Forwarded_For=address(shard))
                assert answer.status == 200
            assert await metric(client, "identity_limiter_fallback_total") == 0

    with RedisCluster(replicas=False, pair=good_pair(tmp_path)) as own:
        with ServiceProcess(**ENV, REDIS_URL=own.url) as service:
            run(scenario(service.port))
        with ServiceProcess(**ENV, REDIS_URL=own.url.partition("?")[0]) as service:
            service.wait_for_log("shards 0, 1, 2 of 3 of Redis can't be used: its certificate is not trusted")
