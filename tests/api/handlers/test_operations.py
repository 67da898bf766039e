"""Health, metrics and telemetry for operators."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest

from arsenal_fast.api import telemetry
from arsenal_fast.api.routes import ROUTER, ROUTES
from arsenal_fast.observability.metrics import BUCKETS, STALE_AFTER, Metrics, Series, merge
from arsenal_fast.server.supervisor import SNAPSHOT_SIZE
from tests.support.ledgers import SwitchedLedger
from tests.support.operations import SharedStore, away, exposed
from tests.support.rig import Rig

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

UNLISTED = [ROUTER.match(*each) for each in ((b"GET", b"/nothing"), (b"PUT", b"/api/v1/id"), (b"OPTIONS", b"*"))]


def test_health_is_what_the_guide_says() -> None:
    rig = Rig(store=SharedStore())
    rig.advance(3600.9)
    answer = rig.get("/api/health")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "status": "healthy",
        "services": {"database": "disabled", "redis": "healthy", "api": "healthy"},
        "uptime": 3600,
        "version": "v4.2.0",
    }
    assert list(answer.json) == ["status", "services", "uptime", "version"]


def test_health_says_why_redis_and_the_ledger_can_not_be_used() -> None:
    ledger = SwitchedLedger()
    rig = Rig(store=away(), ledger=ledger)
    assert rig.get("/api/health").json["reasons"] == {"redis": "it refuses connections"}
    ledger.away = True
    assert rig.get("/api/health").json["reasons"] == {
        "redis": "it refuses connections",
        "database": "it is switched off",
    }


def test_the_embedded_store_is_healthy_and_called_embedded() -> None:
    answer = Rig().get("/api/health")
    assert (answer.status, answer.json["status"], answer.json["services"]["redis"]) == (200, "healthy", "embedded")


# Store, ready, draining -> (health status, word, redis, api), ready, startup.
PHASES: list[tuple[Callable[[], SharedStore], bool, bool, tuple[int, str, str, str], tuple[int, str], Any]] = [
    (SharedStore, True, False, (200, "healthy", "healthy", "healthy"), (200, "ready"), (200, "started")),
    (away, True, False, (200, "degraded", "unavailable", "healthy"), (200, "ready"), (200, "started")),
    (SharedStore, False, False, (503, "unhealthy", "healthy", "starting"), (503, "starting"), (503, "starting")),
    (away, False, False, (503, "unhealthy", "unavailable", "starting"), (503, "starting"), (503, "starting")),
    (SharedStore, True, True, (503, "unhealthy", "healthy", "draining"), (503, "draining"), (200, "started")),
    (away, True, True, (503, "unhealthy", "unavailable", "draining"), (503, "draining"), (200, "started")),
]


@pytest.mark.parametrize(("store", "is_ready", "is_draining", "health", "ready", "startup"), PHASES)
def test_probes_follow_the_life_of_the_service_and_not_redis(
    store: Callable[[], SharedStore],
    is_ready: bool,
    is_draining: bool,
    health: tuple[int, str, str, str],
    ready: tuple[int, str],
    startup: tuple[int, str],
) -> None:
    rig = Rig(store=store())
    rig.service.ready, rig.service.draining = is_ready, is_draining
    answer = rig.get("/api/health")
    services = answer.json["services"]
    assert (answer.status, answer.json["status"], services["redis"], services["api"]) == health
    for path, expected in (("ready", ready), ("startup", startup), ("live", (200, "alive"))):
        answer = rig.get(f"/api/health/{path}")
        assert (answer.status, answer.json) == (expected[0], {"status": expected[1]}), path


OPERATIONS = ["/api/health", "/api/health/live", "/api/health/ready", "/api/health/startup", "/api/metrics"]


@pytest.mark.parametrize("path", [*OPERATIONS, "/api/telemetry"])
def test_operations_are_free_and_never_stored(path: str) -> None:
    rig = Rig()
    answer = rig.get(path)
    assert answer.headers["cache-control"] == "no-store"
    assert "x-ratelimit-limit" not in answer.headers
    head = rig.connect().get(path, method="HEAD")
    assert (head.status, head.body) == (answer.status, b"")
    assert rig.service.metrics.limiter_allowed == rig.service.metrics.limiter_denied == 0


def test_a_browser_gets_the_dashboard_with_the_same_status() -> None:
    rig = Rig()
    answer = rig.get("/api/health", Accept=BROWSER)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    rig.service.draining = True
    assert rig.get("/api/health", Accept=BROWSER).status == 503


def test_caches_are_told_that_health_and_metrics_depend_on_accept() -> None:
    rig = Rig()
    for accept in (BROWSER, "*/*"):
        vary = rig.get("/api/health", Accept=accept).headers["vary"]
        assert "Accept" in vary.split(", ")
    assert rig.get("/api/metrics").headers["vary"] == "Accept"


def test_uptime_does_not_go_below_0_when_the_clock_is_set_back() -> None:
    rig = Rig()
    rig.wall -= 5000
    assert rig.get("/api/health").json["uptime"] == 0


def test_metrics_count_what_the_service_did() -> None:
    rig = Rig()
    for _ in range(3):
        assert rig.get("/api/v1/id?prefix=player&run=1").status == 200
    rig.post("/api/v1/validate", {"identity": "nonsense"})
    rig.get("/nowhere")
    answer = rig.get("/api/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert exposed(answer, "identity_requests_total", method="GET", status="200") == 3
    assert exposed(answer, "identity_requests_total", method="POST", status="200") == 1
    assert exposed(answer, "identity_requests_total", method="GET", status="404") == 1
    assert exposed(answer, "identity_cache_hit_ratio") == pytest.approx(2 / 3)
    assert exposed(answer, "identity_cache_entries") == 1
    assert exposed(answer, "identity_limiter_allowed_total") == 4
    assert exposed(answer, "identity_connections_accepted_total") == 6
    assert exposed(answer, "identity_workers") == 1


def test_metrics_are_openmetrics_for_who_asks() -> None:
    answer = Rig().get("/api/metrics", Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.body.endswith(b"# EOF\n")


def test_a_scrape_answers_for_all_workers() -> None:
    here, there = Rig(), Rig()
    here.get("/api/v1/id")
    for _ in range(4):
        there.get("/api/v1/id")
    here.service.snapshots = lambda: [telemetry.snapshot(there.service), b""]
    answer = here.get("/api/metrics")
    assert exposed(answer, "identity_requests_total", method="GET", status="200") == 5
    assert exposed(answer, "identity_workers") == 2
    assert here.get("/api/telemetry").json["workers"] == 2


def test_counters_never_go_back_whichever_worker_is_scraped() -> None:
    """Each worker publishes its own snapshot before it reads the others', so that the sums only grow."""
    rigs = [Rig(), Rig()]
    shown = [b"", b""]

    def others(slot: int) -> list[bytes]:
        shown[slot] = telemetry.snapshot(rigs[slot].service)
        return [shown[1 - slot]]

    for slot in (0, 1):
        rigs[slot].service.snapshots = lambda slot=slot: others(slot)  # type: ignore[misc]
    seen = []
    for step in range(20):
        rig = rigs[step * 7 % 3 % 2]
        rig.get("/nowhere")
        total = telemetry.total(rigs[step % 2].service)
        seen.append((total.answered, total.connections_accepted))
    assert seen == sorted(seen)
    assert seen[-1][0] == 20


def test_a_dead_worker_leaves_its_counters_and_its_successor_goes_on_from_there() -> None:
    here, dead = Rig(), Rig()
    dead.get("/nowhere")
    left = telemetry.snapshot(dead.service)
    here.service.snapshots = lambda: [left]
    here.advance(STALE_AFTER + 1)
    total = telemetry.total(here.service)
    assert (total.answered, total.workers, total.connections_open) == (1, 1, 0)
    successor = Rig()
    successor.advance(STALE_AFTER + 1)
    successor.service.metrics.add(left, gauges=False)
    successor.get("/nowhere")
    here.service.snapshots = lambda: [telemetry.snapshot(successor.service)]
    total = telemetry.total(here.service)
    assert (total.answered, total.workers, total.connections_open) == (2, 2, 1)


def test_all_that_clients_can_cause_fits_into_a_workers_slot() -> None:
    """More than can really happen: every route with every status that we send, and numbers of years."""
    statuses = [200, 302, 304, 400, 404, 405, 406, 413, 415, 417, 429, 500, 501, 503]
    known = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "OTHER")
    metrics = Metrics(written=1e9, identity_lookups=10**15, limiter_allowed=10**15)
    for route in (*ROUTES, *UNLISTED):
        methods = {"GET": ("GET", "HEAD"), "": known}.get(route.method, (route.method,))
        for method in methods:
            for status in statuses:
                series = Series([10**9] * (len(BUCKETS) + 1), 10**18)
                metrics.series[route.label or route.path, method, status] = series
    snapshot = metrics.snapshot()
    assert merge([snapshot], 1e9) == metrics
    assert len(snapshot) < SNAPSHOT_SIZE


ROOTS = pytest.mark.parametrize("path", ["/", "/api"])


@pytest.mark.parametrize("prefix", ["https://a.example", "https://a.example/identity"])
def test_api_leads_a_browser_to_the_docs_also_below_a_prefix(prefix: str) -> None:
    """RFC 9110 10.2.2: a location is resolved against the URL that was asked for, prefix of the proxy included."""
    answer = Rig().get("/api", Accept=BROWSER)
    assert (answer.status, answer.body, answer.headers["vary"]) == (302, b"", "Accept")
    assert urljoin(prefix + "/api", answer.headers["location"]) == prefix + "/api/docs"


def test_api_leads_to_the_docs_below_the_prefix_of_the_base_url() -> None:
    answer = Rig({"base_url": "https://a.example/identity"}).get("/api", Accept=BROWSER)
    assert (
        urljoin("https://a.example/identity/api", answer.headers["location"]) == "https://a.example/identity/api/docs"
    )


def test_a_browser_gets_the_start_page_also_while_the_service_starts() -> None:
    rig = Rig()
    for ready in (True, False):
        rig.service.ready = ready
        answer = rig.get("/", Accept=BROWSER)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [
        ("https://a.example", "https://a.example/"),
        ("http://localhost:3655", "https://a.example/identity/"),
        ("https://a.example/identity", "https://a.example/identity"),
        ("https://a.example/identity", "https://a.example/identity/"),
    ],
)
def test_the_start_page_refers_to_what_is_below_the_prefix(base_url: str, asked: str) -> None:
    """Some proxies strip ``/identity`` without a slash behind it: what is relative would lead out of it."""
    page = Rig({"base_url": base_url}).get("/", Accept=BROWSER).body.decode()
    references = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(references) > 5
    for reference in references:
        assert urljoin(asked, reference).startswith(asked.rstrip("/") + "/api/"), reference


@ROOTS
@pytest.mark.parametrize("lines", [{}, {"Accept": "*/*"}, {"User_Agent": "GoogleHC/1.0"}, {"Accept": "text/html;q=0"}])
def test_the_roots_answer_the_health_check_of_a_balancer_as_readiness_does(path: str, lines: dict[str, str]) -> None:
    rig = Rig()
    for ready, draining in ((True, False), (False, False), (True, True)):
        rig.service.ready, rig.service.draining = ready, draining
        answer, told = rig.get(path, **lines), rig.get("/api/health/ready")
        assert (answer.status, answer.json) == (told.status, told.json)
        assert answer.status == (200 if ready and not draining else 503)
        assert answer.headers["vary"] == "Accept"
        assert answer.headers["cache-control"] == "no-store"
