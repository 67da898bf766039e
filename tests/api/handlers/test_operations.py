"""What the people who run the service are told."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from arsenal_fast.api import telemetry
from arsenal_fast.api.routes import ROUTER, ROUTES
from arsenal_fast.api.telemetry import quantile
from arsenal_fast.observability.metrics import BUCKETS, STALE_AFTER, Metrics, ProcessFigures, Series, merge
from arsenal_fast.server.supervisor import SNAPSHOT_SIZE
from arsenal_fast.stores.ports import IdentityStore, Limiter, Revocations
from arsenal_fast.stores.redis.counters import Counters
from tests.support.ledgers import SwitchedLedger
from tests.support.rig import Answer, Rig

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class SharedStore:
    """A stub of a Redis backend as the operator sees it: its health and its counts are the test's to set."""

    def __init__(self) -> None:
        own = Rig().spare
        self.on_return: Callable[[], None] | None = None
        self.limiter: Limiter = own.limiter
        self.identities: IdentityStore = own.identities
        self.revocations: Revocations = own.revocations
        self.counters = Counters()
        self.healthy = True

    @property
    def fault(self) -> str:
        return "" if self.healthy else "it refuses connections"

    @property
    def status(self) -> str:
        return "healthy" if self.healthy else "unavailable"


UNLISTED = [ROUTER.match(*each) for each in ((b"GET", b"/nothing"), (b"PUT", b"/api/v1/id"), (b"OPTIONS", b"*"))]


def away() -> SharedStore:
    store = SharedStore()
    store.healthy = False
    return store


def exposed(answer: Answer, name: str, **labels: str) -> float:
    assert answer.status == 200
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    raise AssertionError(f"{name} {labels} is not there")


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
    """A composition that shows its own snapshot when it is asked for the others' keeps the sums growing."""
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


def test_what_the_store_counted_flows_into_every_snapshot() -> None:
    store = SharedStore()
    rig = Rig(store=store)
    counters = store.counters
    counters.commands, counters.rows, counters.timeouts, counters.script_loads = 7, 70, 2, 1
    counters.round_trip(0.0004)
    counters.round_trip(0.02)
    for _ in range(2):  # looking does not add
        total = telemetry.total(rig.service)
        assert (total.redis_commands, total.redis_rows, total.redis_timeouts) == (7, 70, 2)
        assert (total.redis_round_trip.count, total.redis_round_trip.nanoseconds) == (2, 20_400_000)
    answer = rig.get("/api/metrics")
    assert exposed(answer, "identity_redis_commands_total") == 7
    assert exposed(answer, "identity_redis_round_trip_seconds_bucket", le="0.0005") == 1
    assert exposed(answer, "identity_redis_up") == 1


def test_every_count_of_the_store_is_taken_once() -> None:
    store = SharedStore()
    names = [name for name in Counters.__slots__ if name not in ("round_trip_buckets", "round_trip_seconds_sum")]
    for index, name in enumerate(names):
        setattr(store.counters, name, 2**index)
    taken = telemetry.present(Rig(store=store).service)
    for index, name in enumerate(names):
        if name == "evictions":
            assert taken.store_evictions == 2**index
        elif name.startswith("memory_"):
            assert getattr(taken, f"redis_{name}_bytes") == 2**index
        elif name != "round_trips":  # the sum of the buckets
            assert getattr(taken, f"redis_{name}") == 2**index


def test_the_embedded_stores_rows_are_not_called_redis() -> None:
    rig = Rig()
    rig.get("/api/v1/id")
    assert rig.spare.counters.commands > 0
    answer = rig.get("/api/metrics")
    assert exposed(answer, "identity_redis_commands_total") == 0
    assert b"identity_redis_up" not in answer.body


def test_one_worker_without_redis_makes_the_metrics_degraded() -> None:
    here, there = Rig(store=SharedStore()), Rig(store=away())
    here.service.snapshots = lambda: [telemetry.snapshot(there.service)]
    answer = here.get("/api/metrics")
    assert exposed(answer, "identity_redis_up") == 0
    assert exposed(answer, "identity_health", status="degraded") == 1
    assert here.get("/api/telemetry").json["status"] == "degraded"


def test_one_worker_without_its_ledger_makes_the_metrics_degraded() -> None:
    lost = SwitchedLedger()
    lost.away = True
    here, there = Rig(ledger=SwitchedLedger()), Rig(ledger=lost)
    assert exposed(here.get("/api/metrics"), "identity_ledger_up") == 1
    here.advance(1)
    here.service.snapshots = lambda: [telemetry.snapshot(there.service)]
    answer = here.get("/api/metrics")
    assert exposed(answer, "identity_ledger_up") == 0
    assert exposed(answer, "identity_health", status="degraded") == 1


def test_without_a_ledger_nothing_is_said_of_one() -> None:
    answer = Rig().get("/api/metrics")
    assert b"identity_ledger_up" not in answer.body
    assert exposed(answer, "identity_health", status="healthy") == 1


def test_the_figures_of_the_processes_add_up_and_the_start_is_the_earliest() -> None:
    here, there = Rig(), Rig()
    here.service.metrics.process = lambda: ProcessFigures(1.5, 1000, 10, 2000.0, (5, 2, 1))
    there.service.metrics.process = lambda: ProcessFigures(0.25, 500, 4, 1000.0, (1, 1, 1))
    here.service.snapshots = lambda: [telemetry.snapshot(there.service)]
    answer = here.get("/api/metrics")
    assert exposed(answer, "process_cpu_seconds_total") == 1.75
    assert exposed(answer, "process_resident_memory_bytes") == 1500
    assert exposed(answer, "process_open_fds") == 14
    assert exposed(answer, "process_start_time_seconds") == 1000
    assert exposed(answer, "python_gc_collections_total", generation="0") == 6


def test_telemetry_tells_everything_in_one_document() -> None:
    store = SharedStore()
    rig = Rig(store=store)
    rig.service.metrics.process = lambda: ProcessFigures(1.5, 1000, 10, 1_763_805_600.0, (5, 2, 1))
    for _ in range(4):
        rig.get("/api/v1/id?prefix=player&run=1")
    rig.get("/nowhere")
    store.counters.commands, store.counters.rows = 4, 10
    store.counters.round_trip(0.001)
    rig.advance(60)
    answer = rig.get("/api/telemetry")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "timestamp": "2025-11-22T10:01:00.000Z",
        "status": "healthy",
        "services": {"database": "disabled", "redis": "healthy", "api": "healthy"},
        "uptime": 60,
        "version": "v4.2.0",
        "workers": 1,
        "requests": {"total": 5, "by_status": {"200": 4, "404": 1}, "errors": 0, "rate": None},
        "latency": {"p50": 0.25, "p90": 0.45, "p99": 0.495},
        "cache": {"lookups": 4, "hits": 3, "ratio": 0.75, "entries": 1},
        "identities": {"issued": 1, "renewed": 0, "issued_without_store": 0, "revoked": 0},
        "ledger": {"status": "disabled", "waiting": 0, "dropped": 0, "rows": 0, "commits": 0, "failures": 0},
        "limiter": {
            "policy": "default",
            "limit": 100,
            "window": 3600,
            "allowed": 4,
            "denied": 0,
            "denied_locally": 0,
            "fallback": 0,
            "batches": 4,
        },
        "redis": {
            "status": "healthy",
            "commands": 4,
            "rows_per_command": 2.5,
            "timeouts": 0,
            "round_trip_ms_mean": 1.0,
        },
        "connections": {"open": 6, "accepted": 6, "shed": 0, "timed_out": 0},
        "process": {
            "cpu_seconds": 1.5,
            "resident_memory_bytes": 1000,
            "open_fds": 10,
            "started": "2025-11-22T10:00:00.000Z",
            "gc_collections": 8,
        },
    }


def test_telemetry_says_null_where_nothing_is_known() -> None:
    rig = Rig({"quota": None})
    told = rig.get("/api/telemetry").json
    assert told["latency"] == {"p50": None, "p90": None, "p99": None}
    assert told["cache"]["ratio"] is None
    assert told["redis"]["round_trip_ms_mean"] is None
    assert told["redis"]["rows_per_command"] is None
    assert told["process"]["started"] is None
    assert (told["limiter"]["policy"], told["limiter"]["limit"], told["limiter"]["window"]) == (None, None, None)


def test_telemetry_tells_the_rate_since_the_look_before() -> None:
    rig = Rig()
    assert rig.get("/api/telemetry").json["requests"]["rate"] is None
    for _ in range(9):
        rig.get("/nowhere")
    rig.advance(4)
    assert rig.get("/api/telemetry").json["requests"]["rate"] == 2.5  # nine, and the look before


def test_errors_are_the_answers_from_500_on() -> None:
    rig = Rig()
    rig.service.metrics.observe("/api/v1/id", "GET", 500, 0.1)
    rig.service.metrics.observe("/api/v1/id", "POST", 503, 0.1, 2)
    requests = rig.get("/api/telemetry").json["requests"]
    assert (requests["errors"], requests["by_status"]) == (3, {"5xx": 3})


def test_answers_to_what_was_no_request_say_nothing_of_latency() -> None:
    rig = Rig()
    rig.connect().send(b"nonsense\r\n\r\n")
    assert rig.service.metrics.answered == 1
    assert rig.get("/api/telemetry").json["latency"]["p50"] is None


# Counts of the first buckets, rank, seconds.
QUANTILES = [
    ([], 0.5, None),
    ([10], 0.5, 0.00025),
    ([10], 1.0, 0.0005),
    ([0, 10], 0.5, 0.00075),
    ([5, 5], 0.5, 0.0005),
    ([5, 5], 0.9, 0.0009),
    ([1, 0, 0, 1], 0.99, 0.0025 + 0.0025 * 0.98),
    ([0] * 14 + [3], 0.5, 10.0),  # beyond the last bound nothing more is known
    ([1] + [0] * 13 + [1], 0.99, 10.0),
]


@pytest.mark.parametrize(("counts", "rank", "seconds"), QUANTILES)
def test_quantiles_are_estimated_as_prometheus_does(counts: list[int], rank: float, seconds: float | None) -> None:
    padded = counts + [0] * (len(BUCKETS) + 1 - len(counts))
    assert quantile(padded, rank) == (None if seconds is None else pytest.approx(seconds))


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
                metrics.series[route.path, method, status] = series
    snapshot = metrics.snapshot()
    assert merge([snapshot], 1e9) == metrics
    assert len(snapshot) < SNAPSHOT_SIZE
