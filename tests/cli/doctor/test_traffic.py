"""The charged clients, read from the cells that the real limiter has written to a real Redis."""

import json
import urllib.error
import urllib.request
from contextlib import suppress

import pytest
import redis

from arsenal_fast.cli.doctor import store, traffic
from arsenal_fast.cli.doctor.finding import Finding, Level
from arsenal_fast.cli.doctor.traffic import BUSY, SCAN_KEYS, SCANS, Charged, judge
from arsenal_fast.ratelimit.quota import Quota
from tests.cli.doctor.conftest import Configured
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess

HOUR = Quota(100, 3600)


def ask(service: ServiceProcess, count: int, forwarded_for: str = "") -> None:
    request = urllib.request.Request(
        f"{service.url}/api/v1/id?prefix=a&run=1", headers={"X-Forwarded-For": forwarded_for, "Connection": "close"}
    )
    for _ in range(count):
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=5) as answer:
            json.load(answer)


def found(configured: Configured, redis: RedisServer, **variables: str) -> Finding:
    config = configured(REDIS_URL=redis.url, API_BASE_URL="http://identity", **variables)
    client = store.connect(config, 2)
    try:
        return traffic.examine(client, config)
    finally:
        client.close()


@pytest.mark.integration
def test_traffic_of_many_clients_through_an_untrusted_proxy_is_warned_of(
    configured: Configured, own_redis: RedisServer
) -> None:
    with ServiceProcess(REDIS_URL=own_redis.url) as service:
        for number in range(BUSY):
            ask(service, 1, f"203.0.113.{number}")
        finding = found(configured, own_redis, TRUSTED_PROXIES="")
    assert finding == Finding(
        "traffic",
        Level.WARN,
        "All traffic comes from one address, 127.0.0.1: TRUSTED_PROXIES is unset.",
        "If that is a proxy, set TRUSTED_PROXIES to your proxy's address or network, so that each client behind it "
        "has its own limit.",
    )


@pytest.mark.integration
def test_traffic_of_many_clients_through_a_trusted_proxy_is_ok(configured: Configured, own_redis: RedisServer) -> None:
    with ServiceProcess(REDIS_URL=own_redis.url, TRUSTED_PROXIES="127.0.0.1") as service:
        for number in range(BUSY):
            ask(service, 1, f"203.0.113.{number}")
        finding = found(configured, own_redis, TRUSTED_PROXIES="127.0.0.1")
    assert (finding.level, finding.text) == (Level.OK, "clients of several addresses are limited apart")


@pytest.mark.integration
def test_a_balancer_that_appends_its_own_address_is_warned_of(configured: Configured, own_redis: RedisServer) -> None:
    """Google's: "client, balancer". A client that comes by another way does not hide it."""
    with ServiceProcess(REDIS_URL=own_redis.url, TRUSTED_PROXIES="127.0.0.1") as service:
        for number in range(BUSY):
            ask(service, 1, f"203.0.113.{number}, 34.110.1.2")
        ask(service, 1, "203.0.113.77")
        finding = found(configured, own_redis, TRUSTED_PROXIES="127.0.0.1")
        assert finding == Finding(
            "traffic",
            Level.WARN,
            "Most traffic comes from one address, 34.110.1.2 (10 of 11 requests, 2 addresses), which is in none of "
            "TRUSTED_PROXIES.",
            "If that is your balancer's own address, which it appends to X-Forwarded-For, add it: set TRUSTED_PROXIES "
            "to your proxy's address or network, so that each client behind it has its own limit.",
        )
    with ServiceProcess(REDIS_URL=own_redis.url, TRUSTED_PROXIES="127.0.0.1,34.110.1.2") as service:
        for number in range(BUSY):
            ask(service, 2, f"203.0.113.{number}, 34.110.1.2")
        finding = found(configured, own_redis, TRUSTED_PROXIES="127.0.0.1,34.110.1.2")
    assert finding.level is Level.OK


@pytest.mark.integration
def test_a_proxy_that_is_not_among_the_trusted_is_warned_of(configured: Configured, own_redis: RedisServer) -> None:
    with ServiceProcess(REDIS_URL=own_redis.url, TRUSTED_PROXIES="10.0.0.0/8") as service:
        ask(service, BUSY, "203.0.113.1")
        finding = found(configured, own_redis, TRUSTED_PROXIES="10.0.0.0/8")
        silent = found(configured, own_redis, TRUSTED_PROXIES="127.0.0.0/8")
    assert "127.0.0.1, which is in none of TRUSTED_PROXIES" in finding.text
    assert "a trusted proxy that names no client" in silent.text
    assert (finding.level, silent.level) == (Level.WARN, Level.WARN)


@pytest.mark.integration
def test_a_look_tells_how_many_requests_stand_against_the_busiest_address(own_redis: RedisServer) -> None:
    client = redis.Redis(port=own_redis.port)
    assert traffic.look(client, HOUR) == Charged()
    with ServiceProcess(REDIS_URL=own_redis.url) as service:
        ask(service, 3)
        assert traffic.look(client, HOUR) == Charged("127.0.0.1", 3, 3, 1)
        own_redis.command("SET", "af:{0}:c:sub:sports-book", "1", "EX", "9")  # a token's cell is no address
        assert traffic.look(client, HOUR) == Charged("127.0.0.1", 3, 3, 1)
        own_redis.command("SET", "af:{0}:c:2001:db8::/64", "1", "EX", "9")
        assert traffic.look(client, HOUR) == Charged("127.0.0.1", 3, 3, 2)
    client.close()


@pytest.mark.integration
def test_a_look_ends_however_many_keys_there_are() -> None:
    with RedisServer("--enable-debug-command", "yes") as server:
        server.command("DEBUG", "POPULATE", str(SCANS * SCAN_KEYS * 3), "key", "8")
        server.command("CONFIG", "RESETSTAT")
        client = redis.Redis(port=server.port)
        traffic.look(client, HOUR)
        client.close()
        calls = server.command("INFO", "commandstats")
    assert isinstance(calls, bytes)
    assert b"cmdstat_scan:calls=%d," % SCANS in calls


PROXIES = "10.0.0.0/8,2001:db8::/32"

# The charged clients, TRUSTED_PROXIES, level, a part of the text.
JUDGED = [
    # Google's balancer appends its own public address to X-Forwarded-For; a probe and a neighbour are charged as well.
    (
        Charged("34.110.1.2", 90, 96, 3),
        "35.191.0.0/16,130.211.0.0/22",
        Level.WARN,
        "Most traffic comes from one address",
    ),
    (Charged("34.110.1.2", 90, 96, 3), "35.191.0.0/16,130.211.0.0/22", Level.WARN, "(90 of 96 requests, 3 addresses)"),
    (Charged("34.110.1.2", BUSY, BUSY, 1), "35.191.0.0/16", Level.WARN, "in none of"),
    # Istio's sidecar calls from 127.0.0.6.
    (Charged("127.0.0.6", 100, 120, 5), "", Level.WARN, "TRUSTED_PROXIES is unset"),
    (Charged("127.0.0.6", 100, 120, 5), "127.0.0.6", Level.WARN, "names no client"),
    (Charged("8.8.8.8", 50, 100, 9), PROXIES, Level.OK, "limited apart"),
    (Charged("8.8.8.8", BUSY - 1, BUSY, 2), PROXIES, Level.OK, "limited apart"),
    (Charged("8.8.8.8", 100, 120, 5), "", Level.OK, "limited apart"),
    (Charged("10.1.2.3", BUSY, BUSY, 1), "", Level.WARN, "TRUSTED_PROXIES is unset"),
    (Charged("203.0.113.1", BUSY, BUSY, 1), "", Level.WARN, "TRUSTED_PROXIES is unset"),
    (Charged("10.1.2.3", BUSY - 1, BUSY - 1, 1), "", Level.OK, "too few"),
    (Charged("10.1.2.3", BUSY, BUSY, 1), PROXIES, Level.WARN, "names no client"),
    (Charged("2001:db8:1:2::/64", BUSY, BUSY, 1), PROXIES, Level.WARN, "names no client"),
    (Charged("192.168.0.1", BUSY, BUSY, 1), PROXIES, Level.WARN, "in none of"),
    (Charged("fd00::/64", BUSY, BUSY, 1), PROXIES, Level.WARN, "in none of"),
    (Charged("local", BUSY, BUSY, 1), PROXIES, Level.WARN, "in none of"),
    (Charged("8.8.8.8", BUSY, BUSY, 1), PROXIES, Level.WARN, "in none of"),
    (Charged(), PROXIES, Level.OK, "nobody"),
    (None, PROXIES, Level.SKIP, "can't be seen"),
]


@pytest.mark.parametrize(("charged", "proxies", "level", "text"), JUDGED)
def test_one_busy_address_is_judged_by_whose_it_is(
    configured: Configured, charged: Charged | None, proxies: str, level: Level, text: str
) -> None:
    finding = judge(charged, configured(TRUSTED_PROXIES=proxies, API_BASE_URL="http://identity"))
    assert finding.level is level
    assert text in finding.text


@pytest.mark.parametrize("charged", [None, Charged(), Charged("10.1.2.3", 1, 1, 1)])
def test_https_without_tls_of_our_own_is_a_proxy_before_any_traffic(
    configured: Configured, charged: Charged | None
) -> None:
    finding = judge(charged, configured(TRUSTED_PROXIES=""))
    assert finding.level is Level.WARN
    assert "a proxy does" in finding.text


def test_without_a_limit_nobody_shares_one(configured: Configured) -> None:
    assert traffic.examine(None, configured(RATE_LIMIT_REQUESTS="0")).level is Level.SKIP


def test_a_redis_that_fails_meanwhile_is_no_error(configured: Configured) -> None:
    client = store.connect(configured(REDIS_URL="redis://127.0.0.1:1"), 1)
    assert traffic.examine(client, configured()).level is Level.SKIP
