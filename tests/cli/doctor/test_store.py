"""Redis with good and bad settings: a real one where possible."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from arsenal_fast.cli.doctor import store
from arsenal_fast.cli.doctor.finding import Finding, Level
from tests.cli.doctor.conftest import Configured
from tests.support.certificates import good_pair
from tests.support.redis_server import RedisServer
from tests.support.sentinels import Sentinels
from tests.support.service import free_port

pytestmark = pytest.mark.integration

PASSWORD = "p@ss:w/rd%+"
LFU = ("--maxmemory-policy", "volatile-lfu", "--lfu-log-factor", "0", "--lfu-decay-time", "10")


def findings(
    configured: Configured, url: str, now: Callable[[], float] = time.time, timeout: float = 2, **variables: str
) -> dict[str, Finding]:
    config = configured(REDIS_URL=url, **variables)
    client = store.connect(config, timeout)
    try:
        return {finding.check: finding for finding in store.examine(client, config, now)}
    finally:
        client.close()


def test_a_redis_in_good_order_is_ok(configured: Configured) -> None:
    options = ("--maxmemory", "256mb", *LFU, "--save", "60 1")
    with RedisServer(*options, "--requirepass", PASSWORD) as server:
        found = findings(configured, f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/1")
        assert {check: finding.level for check, finding in found.items()} == dict.fromkeys(
            ("redis", "redis-version", "persistence", "eviction", "clock"), Level.OK
        )
        assert PASSWORD not in str(found)
        assert server.command("DBSIZE", password=PASSWORD) == 0
    assert found["persistence"].text == "snapshots"
    assert found["eviction"].text.startswith("volatile-lfu, ")


def test_it_is_found_by_its_socket_too(configured: Configured, own_redis: RedisServer) -> None:
    assert findings(configured, f"unix://{own_redis.unix_path}?db=2")["redis"].level is Level.OK


def fails(found: dict[str, Finding], text: str, mend: str) -> None:
    """That Redis can't be used is the only finding."""
    assert found.keys() == {"redis"}
    assert found["redis"].level is Level.FAIL
    assert text in found["redis"].text
    assert mend in found["redis"].mend


def test_a_redis_that_is_not_there_fails(configured: Configured) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # and does not listen
        port = holder.getsockname()[1]
        fails(
            findings(configured, f"redis://127.0.0.1:{port}"),
            f"127.0.0.1:{port}: it refuses connections",
            "Start Redis",
        )
    fails(findings(configured, "redis://no-such-host.invalid"), "its name ", "is the name known here?")
    fails(findings(configured, "unix:///no/such/socket"), "its socket is not there", "Start Redis")


def test_a_server_of_another_protocol_fails(configured: Configured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        found = findings(configured, f"redis://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    fails(found, "what answers there is no Redis", "Correct host and port")


def test_a_redis_that_does_not_answer_fails_within_the_time(configured: Configured, own_redis: RedisServer) -> None:
    own_redis.pause()
    before = time.monotonic()
    found = findings(configured, own_redis.url, timeout=0.2)
    assert time.monotonic() - before < 2
    own_redis.resume()
    fails(found, "it does not answer in time", "NetworkPolicy")


def test_a_wrong_and_a_missing_password_fail_and_are_not_shown(configured: Configured) -> None:
    with RedisServer("--requirepass", PASSWORD) as server:
        fails(findings(configured, f"redis://127.0.0.1:{server.port}"), "it wants a password", ":PASSWORD@")
        found = findings(configured, f"redis://:wr0ng-w0rd@127.0.0.1:{server.port}")
        fails(found, "it refuses the user or the password", "percent-encoded")
        assert "wr0ng-w0rd" not in str(found)


def test_a_replica_fails(configured: Configured, own_redis: RedisServer) -> None:
    with RedisServer("--replicaof", "127.0.0.1", str(own_redis.port)) as replica:
        fails(findings(configured, replica.url), "it is a replica", "Name the primary")


def test_a_full_redis_fails(configured: Configured, own_redis: RedisServer) -> None:
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    fails(findings(configured, own_redis.url), "its memory is full", "maxmemory")


def test_a_redis_that_can_not_save_fails(configured: Configured, tmp_path: Path) -> None:
    # It refuses writes after a snapshot has failed: here, because its directory is gone.
    directory = tmp_path / "redis"
    directory.mkdir()
    with RedisServer("--dir", str(directory), "--save", "60 1") as server:
        directory.rmdir()
        server.command("SET", "a", "b")
        server.command("BGSAVE")
        deadline = time.monotonic() + 10
        while b"rdb_last_bgsave_status:err" not in said(server, "persistence"):
            assert time.monotonic() < deadline
        fails(findings(configured, server.url), "it can't write to its disk", "Make room")


def said(server: RedisServer, section: str) -> bytes:
    text = server.command("INFO", section)
    assert isinstance(text, bytes)
    return text


def test_a_database_that_is_not_there_fails(configured: Configured, own_redis: RedisServer) -> None:
    url = own_redis.url.removesuffix("/0")
    fails(findings(configured, f"{url}/99"), "no database of that number", "/0")


def test_a_user_without_the_right_to_write_fails(configured: Configured, own_redis: RedisServer) -> None:
    own_redis.command("ACL", "SETUSER", "arsenal", "on", ">w0rd", "~af:*", "+@read", "+ping")
    fails(findings(configured, f"redis://arsenal:w0rd@127.0.0.1:{own_redis.port}"), "may not do what we need", "~af:*")


def test_what_the_mend_of_a_user_names_is_enough(configured: Configured, own_redis: RedisServer) -> None:
    rights = ("~af:*", "+@all", "-@dangerous", "+info")
    own_redis.command("ACL", "SETUSER", "arsenal", "on", ">w0rd", *rights)
    found = findings(configured, f"redis://arsenal:w0rd@127.0.0.1:{own_redis.port}", DATABASE_URL="none")
    assert found["redis"].level is Level.OK
    assert found["redis-version"].level is Level.OK
    assert found["persistence"].level is Level.SKIP  # CONFIG is dangerous


def test_tls_where_none_is_spoken_fails(configured: Configured, own_redis: RedisServer) -> None:
    found = findings(configured, f"rediss://127.0.0.1:{own_redis.port}", timeout=0.2)
    fails(found, "it does not answer in time", "rediss://")


def test_a_certificate_is_trusted_as_far_as_the_system_trusts_it(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, port = good_pair(tmp_path), free_port()
    options = ("--tls-port", str(port), "--tls-auth-clients", "no")
    files = ("--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key))
    with RedisServer(*options, *files):
        url = f"rediss://127.0.0.1:{port}"
        fails(findings(configured, url), "its certificate is not trusted: self", "SSL_CERT_FILE")
        monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
        assert findings(configured, url)["redis"].level is Level.OK


def test_a_policy_that_resets_limits_is_warned_of(configured: Configured, own_redis: RedisServer) -> None:
    for policy in ("allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-ttl", "noeviction"):
        own_redis.command("CONFIG", "SET", "maxmemory-policy", policy)
        finding = findings(configured, own_redis.url)["eviction"]
        assert finding.level is Level.WARN
        assert "`maxmemory-policy volatile-lfu`" in finding.mend


def test_uses_that_are_not_counted_as_ours_are_warned_of(configured: Configured, own_redis: RedisServer) -> None:
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "volatile-lfu", "maxmemory", "256mb")
    finding = findings(configured, own_redis.url)["eviction"]
    assert (finding.level, finding.mend) == (Level.WARN, "Set `lfu-log-factor 0` in Redis.")
    own_redis.command("CONFIG", "SET", "lfu-log-factor", "0")
    assert findings(configured, own_redis.url)["eviction"].level is Level.OK
    finding = findings(configured, own_redis.url, RATE_LIMIT_REQUESTS="10")["eviction"]
    assert (finding.level, finding.mend) == (Level.WARN, "Set `lfu-decay-time 6` in Redis.")
    own_redis.command("CONFIG", "SET", "lfu-decay-time", "0")  # never
    assert findings(configured, own_redis.url, RATE_LIMIT_REQUESTS="10")["eviction"].level is Level.OK
    assert findings(configured, own_redis.url, RATE_LIMIT_REQUESTS="0")["eviction"].level is Level.OK


def test_a_redis_without_a_bound_is_warned_of_in_production_alone(
    configured: Configured, own_redis: RedisServer
) -> None:
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "volatile-lfu", "lfu-log-factor", "0")
    finding = findings(configured, own_redis.url)["eviction"]
    assert finding.level is Level.WARN
    assert "no maxmemory" in finding.text
    assert findings(configured, own_redis.url, NODE_ENV="development")["eviction"].level is Level.OK


def test_persistence_is_needed_where_there_is_no_ledger(configured: Configured, own_redis: RedisServer) -> None:
    assert findings(configured, own_redis.url)["persistence"].level is Level.WARN
    with_ledger = findings(configured, own_redis.url, DATABASE_URL="sqlite:///x.db")["persistence"]
    assert with_ledger.level is Level.OK
    assert "come back from the ledger" in with_ledger.text
    own_redis.command("CONFIG", "SET", "appendonly", "yes")
    assert findings(configured, own_redis.url)["persistence"].text == "append-only file"


@pytest.mark.parametrize(
    ("ahead", "level"), [(0, Level.OK), (-3, Level.WARN), (3, Level.WARN), (-90, Level.FAIL), (90, Level.FAIL)]
)
def test_clocks_that_differ_are_told_apart(
    configured: Configured, own_redis: RedisServer, ahead: int, level: Level
) -> None:
    finding = findings(configured, own_redis.url, lambda: time.time() - ahead)["clock"]
    assert finding.level is level
    assert bool(finding.mend) is (level is not Level.OK)
    if ahead:
        assert ("ahead of" if ahead > 0 else "behind") in finding.text


def test_a_slow_answer_is_no_skew() -> None:
    assert store.judge_clock(4.0, 3.5).level is Level.OK
    assert store.judge_clock(4.0, 2.5).level is Level.WARN


# What no Redis of this machine is.
VERSIONS = [
    ({"redis_version": "5.0.14"}, Level.FAIL, "Redis 5.0.14: at least 6.0 is needed"),
    ({"redis_version": "6.0.0"}, Level.OK, "Redis 6.0.0"),
    ({"redis_version": "7.2.4", "valkey_version": "8.1.0"}, Level.OK, "Valkey 8.1.0"),
    ({"redis_version": "7.0.15", "redis_mode": "cluster"}, Level.WARN, "cluster mode"),
]


@pytest.mark.parametrize(("info", "level", "text"), VERSIONS)
def test_a_version_is_judged(info: dict[str, str], level: Level, text: str) -> None:
    finding = store.judge_version(info)
    assert finding.level is level
    assert text in finding.text


MEMORY = [
    ("volatile-lfu", 100, 71, 0, Level.WARN, "drops identities soon, which no ledger knows"),
    ("volatile-lfu", 100, 70, 0, Level.OK, "volatile-lfu"),
    ("volatile-lfu", 100, 50, 3, Level.WARN, "3 keys were evicted"),
    ("volatile-ttl", 100, 10, 0, Level.WARN, "gives everybody a fresh limit"),
    ("noeviction", 100, 10, 0, Level.WARN, "refuses all writes"),
]


@pytest.mark.parametrize(("policy", "limit", "used", "evicted", "level", "text"), MEMORY)
def test_memory_is_judged(
    configured: Configured, policy: str, limit: int, used: int, evicted: int, level: Level, text: str
) -> None:
    info = {"maxmemory_policy": policy, "maxmemory": limit, "used_memory": used, "evicted_keys": evicted}
    finding = store.judge_eviction(info, None, configured(), has_ledger=False)
    assert finding.level is level
    assert text in finding.text


@pytest.mark.parametrize(
    "info", [{"rdb_last_bgsave_status": "err"}, {"aof_enabled": 1, "aof_last_write_status": "err"}]
)
def test_a_failed_write_to_the_disk_is_warned_of(info: dict[str, object]) -> None:
    assert store.judge_persistence(info, snapshots=True, has_ledger=True).level is Level.WARN


FAULTS = [
    (redis.BusyLoadingError("Redis is loading the dataset in memory"), "it is loading its data"),
    (redis.ResponseError("MASTERDOWN Link with MASTER is down"), "lost its primary"),
    (redis.ResponseError("something new with a s3cret"), "it refuses what we ask"),
]


@pytest.mark.parametrize(("error", "text"), FAULTS)
def test_what_redis_says_becomes_a_sentence_of_ours(error: Exception, text: str) -> None:
    sentence, mend = store.fault(error)
    assert text in sentence
    assert mend
    assert "s3cret" not in sentence + mend


def test_the_master_is_found_through_sentinels(configured: Configured) -> None:
    with Sentinels(password="hunter1", sentinel_password="hunter2") as watched:
        found = findings(configured, watched.url())
        assert found["redis"].level is Level.OK
        assert found["redis"].text.startswith("127.0.0.1:")
        assert "hunter" not in str(found)
        for url in (watched.url(service="another"), watched.url(sentinel_password="wrong")):
            fails(findings(configured, url), "no sentinel names a master", "the service and sentinel_password")


def test_the_parameters_of_tls_are_those_of_the_service(configured: Configured, tmp_path: Path) -> None:
    pair, port = good_pair(tmp_path), free_port()
    files = ("--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key))
    with RedisServer("--tls-port", str(port), "--tls-ca-cert-file", str(pair.certificate), *files):
        own = f"ssl_certfile={pair.certificate}&ssl_keyfile={pair.key}"
        for host, query in (
            ("127.0.0.1", f"ssl_ca_certs={pair.certificate}"),
            ("127.0.0.1", "ssl_cert_reqs=none"),
            ("127.1", f"ssl_ca_certs={pair.certificate}&ssl_check_hostname=false"),
        ):
            found = findings(configured, f"rediss://{host}:{port}?{own}&{query}")
            assert found["redis"].level is Level.OK, (query, found["redis"].text)
        fails(findings(configured, f"rediss://127.0.0.1:{port}?{own}"), "is not trusted", "ssl_ca_certs")
