"""The members of the telemetry, and how each is read."""

import pytest

from arsenal_fast.api.telemetry_table import quantile
from arsenal_fast.observability.metrics import BUCKETS, ProcessFigures
from arsenal_fast.ratelimit.quota import Quota
from tests.support.operations import SharedStore
from tests.support.rig import Rig


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
