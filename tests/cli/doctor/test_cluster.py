"""Clusters in good and bad order, all of them real."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from arsenal_fast.cli.doctor.examination import examine
from arsenal_fast.cli.doctor.finding import Finding, Level
from arsenal_fast.stores.redis.url import SHARDS
from tests.cli.doctor.conftest import Configured
from tests.cli.doctor.test_store import LFU
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

OPTIONS = (*LFU, "--maxmemory", "256mb")


def findings(configured: Configured, url: str) -> dict[str, Finding]:
    config = configured(REDIS_URL=url, DATABASE_URL="none")
    return {finding.check: finding for finding in examine(config, time.time, 2)}


@pytest.fixture(scope="module")
def lonely() -> Iterator[RedisCluster]:
    with RedisCluster(replicas=False, options=OPTIONS) as started:
        yield started


def test_a_cluster_in_good_order_is_ok(configured: Configured) -> None:
    with RedisCluster(options=(*OPTIONS, "--appendonly", "yes")) as cluster:
        found = findings(configured, cluster.url)
        levels = {
            check: found[check].level for check in ("redis", "cluster", "redis-version", "persistence", "eviction")
        }
        assert levels == dict.fromkeys(levels, Level.OK), found
        assert "3 masters that answer, and our script may write to all shards" in found["redis"].text
        assert found["cluster"].text == f"the masters have 1, 1, 1 of {SHARDS} shards"
        for server in cluster.masters:
            server.command("CONFIG", "SET", "cluster-require-full-coverage", "yes")
        assert findings(configured, cluster.url)["cluster"].level is Level.WARN


def test_masters_without_replicas_and_bad_settings_are_named(configured: Configured, lonely: RedisCluster) -> None:
    lonely.masters[1].command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    found = findings(configured, lonely.url)
    assert found["cluster"].level is Level.WARN
    assert f"127.0.0.1:{lonely.masters[0].port}" in found["cluster"].text
    assert found["eviction"].level is Level.WARN
    assert found["eviction"].text.startswith(f"127.0.0.1:{lonely.masters[1].port}: allkeys-lru")


def test_a_shard_that_can_not_be_written_is_named(configured: Configured) -> None:
    with RedisCluster(replicas=False, options=OPTIONS) as cluster:
        cluster.masters[2].kill()
        found = findings(configured, cluster.url)
        assert found["redis"].level is Level.FAIL
        assert "shard 2 of 3: " in found["redis"].text
        assert found["traffic"].level is Level.SKIP


def test_one_redis_and_no_redis_are_no_cluster(configured: Configured, own_redis: RedisServer) -> None:
    found = findings(configured, f"redis+cluster://127.0.0.1:{own_redis.port}")
    assert (found["redis"].level, found["redis"].mend) == (Level.FAIL, "Write redis:// in REDIS_URL.")
    with ExitStack():
        found = findings(configured, "redis+cluster://127.0.0.1:1")
    assert "it refuses connections" in found["redis"].text
