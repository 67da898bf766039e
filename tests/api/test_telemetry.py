"""Telemetry: the counts of store, ledger and process, over all workers."""

import pytest

from arsenal_fast.api import telemetry
from arsenal_fast.api.telemetry import quantile
from arsenal_fast.observability.metrics import BUCKETS, ProcessFigures
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server.supervisor import SNAPSHOT_SIZE
from arsenal_fast.stores.counters import Counters
from tests.support.ledgers import SwitchedLedger
from tests.support.operations import SharedStore, away, exposed
from tests.support.rig import Rig


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
            "policies": [{"policy": "default", "limit": 100, "window": 3600, "shadow": False}],
            "shadow_refused": {},
            "allowed": 4,
            "denied": 0,
            "denied_locally": 0,
            "fallback": 0,
            "batches": 4,
        },
        "callers": None,
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
        "history": [],
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


def test_only_a_token_of_scope_metrics_sees_who_calls_whoever_may_read_the_rest() -> None:
    rig = Rig(settings={"quota": Quota(2, 3600)})
    for _ in range(4):
        rig.get("/api/v1/id?run=1")
    bot = {"Authorization": rig.bearer("behalf", subject="bot", per_subject=1), "Arsenal-Subject": "tg-1"}
    for _ in range(2):
        rig.get("/api/v1/id?run=1", **bot)
    for fields in ({}, bot, {"Authorization": "Bearer x"}, {"Authorization": rig.bearer("issue", "audit")}):
        assert rig.get("/api/telemetry", **fields).json["callers"] is None
    assert rig.get("/api/telemetry", Authorization=rig.bearer("metrics")).json["callers"] == {
        "seconds": 0.0,
        "heaviest": [
            {"client": "203.0.113.9", "requests": 4},
            {"client": "sub:bot", "requests": 2},
            {"client": "sub:bot>tg-1", "requests": 2},
        ],
        "heaviest_error": 0,
        "most_refused": [{"client": "203.0.113.9", "requests": 2}, {"client": "sub:bot>tg-1", "requests": 1}],
        "most_refused_error": 0,
    }


def test_callers_of_all_workers_are_added_up() -> None:
    here, there = Rig(), Rig()
    for rig in (here, there, there):
        rig.get("/api/v1/id?run=1")
    here.service.snapshots = lambda: [telemetry.snapshot(there.service)]
    callers = here.get("/api/telemetry", Authorization=here.bearer("metrics")).json["callers"]
    assert callers["heaviest"] == [{"client": "203.0.113.9", "requests": 3}]


def test_looking_at_a_limit_counts_as_no_request() -> None:
    rig = Rig()
    for _ in range(3):
        rig.get("/api/v1/limits")
    assert telemetry.total(rig.service).rankings["heaviest"].counts == {}


def test_a_snapshot_of_the_longest_keys_fits_into_its_slot() -> None:
    rig = Rig()
    for number in range(2000):
        key = b"sub:%b>%0128d" % (b"s" * 128, number)
        rig.service.metrics.heaviest.add([key], [2 + number])
        rig.service.metrics.most_refused.add([key], [2 + number])
    assert len(telemetry.snapshot(rig.service)) < SNAPSHOT_SIZE // 2
