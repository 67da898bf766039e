"""The metrics of a started service, scraped over HTTP."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess

read_openmetrics: Callable[[str], Iterable[Any]] = openmetrics_parser.text_string_to_metric_families

pytestmark = pytest.mark.integration

DEADLINE = 15.0  # seconds; workers show their counts to each other every half second

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def get(service: ServiceProcess, path: str, accept: str = "*/*") -> tuple[str, bytes]:
    request = urllib.request.Request(service.url + path, headers={"Accept": accept, "Connection": "close"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read()


def scrape(service: ServiceProcess) -> Samples:
    _, body = get(service, "/api/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in read_text(body.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def telemetry(service: ServiceProcess) -> Any:
    return json.loads(get(service, "/api/telemetry")[1])


def issued(samples: Samples) -> float:
    """Answers of one route alone: probes and scrapes count too."""
    labels = {"route": "/api/v1/id", "method": "GET", "status": "200"}
    return samples.get(("http_server_request_duration_seconds_count", frozenset(labels.items())), 0.0)


def test_a_scrape_shows_the_traffic_and_the_process() -> None:
    with ServiceProcess() as service:
        for _ in range(4):
            get(service, "/api/v1/id?prefix=player&run=1")
        samples = scrape(service)
        assert issued(samples) == 4
        assert value(samples, "identity_cache_hit_ratio") == 0.75
        assert value(samples, "identity_service_up") == 1
        assert value(samples, "identity_health", status="healthy") == 1
        assert value(samples, "process_resident_memory_bytes") > 10_000_000
        assert value(samples, "process_open_fds") > 3
        assert value(samples, "process_cpu_seconds_total") > 0
        assert abs(time.time() - value(samples, "process_start_time_seconds")) < 60
        content_type, body = get(service, "/api/metrics", "application/openmetrics-text;version=1.0.0")
        assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert len(list(read_openmetrics(body.decode()))) > 30
        told = telemetry(service)
        assert (told["status"], told["workers"], told["identities"]["issued"]) == ("healthy", 1, 1)


def test_what_one_worker_has_shown_no_other_shows_less_of(own_redis: RedisServer) -> None:
    """Each scrape is a new connection, so different workers answer."""
    with ServiceProcess(WORKERS="3", REDIS_URL=own_redis.url, RATE_LIMIT_REQUESTS="0") as service:
        seen = []
        for _ in range(60):
            get(service, "/api/v1/id?prefix=player&run=1")
            seen.append(issued(scrape(service)))
        assert seen == sorted(seen)


def test_metrics_are_the_sum_over_workers_also_when_one_is_killed(own_redis: RedisServer) -> None:
    """Its successor continues its counts."""
    with ServiceProcess(WORKERS="3", REDIS_URL=own_redis.url, RATE_LIMIT_REQUESTS="0") as service:
        for _ in range(60):
            get(service, "/api/v1/id?prefix=player&run=1")
        wait_until(service, lambda samples: issued(samples) == 60 and value(samples, "identity_workers") == 3)
        victim = children(service.pid)[0]
        os.kill(victim, signal.SIGKILL)
        seen = []
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                samples = scrape(service)
            except OSError:
                continue  # accepted by the worker that was killed
            seen.append(issued(samples))
            workers = children(service.pid)
            if victim not in workers and len(workers) == 3 and value(samples, "identity_workers") == 3:
                break
        assert set(seen) == {60}
        wait_until(service, lambda samples: value(samples, "identity_worker_restarts_total") == 1)
        get(service, "/api/v1/id?prefix=player&run=1")
        wait_until(service, lambda samples: issued(samples) == 61)


def test_an_outage_of_redis_shows(own_redis: RedisServer) -> None:
    with ServiceProcess(REDIS_URL=own_redis.url) as service:
        get(service, "/api/v1/id?prefix=player&run=1")
        samples = scrape(service)
        assert value(samples, "identity_redis_up") == 1
        assert value(samples, "identity_redis_commands_total") > 0
        assert value(samples, "identity_redis_round_trip_seconds_count") > 0
        own_redis.kill()
        wait_until(service, lambda samples: value(samples, "identity_redis_up") == 0)
        samples = scrape(service)
        assert value(samples, "identity_health", status="degraded") == 1
        assert value(samples, "identity_redis_disconnects_total") == 1
        get(service, "/api/v1/id?prefix=player&run=2")
        samples = fresh(service)
        assert value(samples, "identity_limiter_fallback_total") == 1
        assert value(samples, "identity_issued_without_store_total") == 1
        assert telemetry(service)["status"] == "degraded"


def fresh(service: ServiceProcess) -> Samples:
    """A scrape that counts all that was answered before: sums are kept for a second."""
    asked = datetime.now(UTC)
    while datetime.fromisoformat(telemetry(service)["timestamp"]) <= asked:
        pass
    return scrape(service)


def wait_until(service: ServiceProcess, holds: Callable[[Samples], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds(scrape(service)):
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started (Linux)."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]
