"""What the dashboard shows of the last minutes: intervals of the sum, and since when something is away."""

from pathlib import Path

from arsenal_fast.api import telemetry
from arsenal_fast.api.history import INTERVAL_S, INTERVALS, History
from arsenal_fast.observability.metrics import BUCKETS, Metrics
from tests.support.ledgers import SwitchedLedger
from tests.support.operations import away
from tests.support.rig import Rig

ROOT = Path(__file__).parents[2]
ROUTE = "/api/v1/id"


def total(**counts: int) -> Metrics:
    """A sum with so many answers of ROUTE by status, ``ok``, ``refused`` and ``errors``."""
    summed = Metrics()
    for name, status in (("ok", 200), ("refused", 429), ("errors", 503)):
        if counts.get(name):
            summed.observe(ROUTE, "GET", status, 0.0004, counts[name])
    return summed


def looked(rig: Rig, seconds: float) -> None:
    """Let time pass, then look as the worker does each second."""
    rig.advance(seconds)
    telemetry.look(rig.service)


def test_an_interval_is_the_difference_of_two_sums() -> None:
    history = History()
    history.add(total(ok=10, refused=2), 100.0, 1_000)
    later = total(ok=13, refused=3, errors=1)
    later.redis_round_trip.observe(0.002, 4)
    later.ledger_waiting = 7
    history.add(later, 105.5, 6_500)
    (interval,) = history.intervals
    assert (interval.ended_ms, interval.seconds) == (6_500, 5.5)
    assert (interval.requests, interval.refused, interval.errors) == (5, 1, 1)
    assert interval.latency == (5, *[0] * len(BUCKETS))
    assert (interval.round_trips, interval.round_trip_ns, interval.waiting) == (4, 8_000_000, 7)


def test_probes_pages_and_strangers_are_no_calls() -> None:
    history = History()
    history.add(Metrics(), 0.0, 0)
    summed = total(ok=1)
    for route in ("/api/health", "/api/telemetry", "/api/docs", "/", "(unmatched)", "(malformed)"):
        summed.observe(route, "GET", 500, 0.001)
    history.add(summed, 5.0, 5_000)
    assert [(each.requests, each.errors) for each in history.intervals] == [(1, 0)]


def test_a_sum_that_went_back_makes_no_interval() -> None:
    history = History()
    for number, ok in enumerate((10, 4, 6)):
        history.add(total(ok=ok), 5.0 * number, 0)
    assert [each.requests for each in history.intervals] == [2]


def test_five_minutes_are_kept() -> None:
    history = History()
    for number in range(INTERVALS + 10):
        history.add(total(ok=number), INTERVAL_S * number, number)
    assert INTERVALS * INTERVAL_S == 300
    assert [each.ended_ms for each in history.intervals] == list(range(10, INTERVALS + 10))


def test_an_interval_ends_after_its_seconds_however_often_it_is_looked_at() -> None:
    rig = Rig()
    for _ in range(11):
        looked(rig, 1.0)
    assert [each.seconds for each in rig.service.history.intervals] == [5.0, 5.0]


def test_telemetry_has_the_calls_of_each_interval_and_not_its_own_requests() -> None:
    rig = Rig()
    looked(rig, 0.0)
    rig.get("/api/v1/id?prefix=player&run=1")
    for path in ("/api/telemetry", "/api/health", "/api/metrics"):
        rig.get(path)
    looked(rig, 5.0)
    (interval,) = rig.get("/api/telemetry").json["history"]
    assert interval["at"] == "2025-11-22T10:00:05.000Z"
    assert (interval["seconds"], interval["requests"], interval["refused"], interval["errors"]) == (5.0, 1, 0, 0)
    assert interval["p50"] is not None
    assert (interval["round_trip_ms"], interval["waiting"]) == (None, 0)


def test_an_interval_without_calls_has_no_latency() -> None:
    rig = Rig()
    for _ in range(2):
        looked(rig, 5.0)
    (interval,) = rig.get("/api/telemetry").json["history"]
    assert (interval["requests"], interval["p50"], interval["p99"]) == (0, None, None)


def since(rig: Rig) -> dict[str, str]:
    """What health says about since when."""
    found: dict[str, str] = rig.get("/api/health").json.get("since", {})
    return found


def test_health_says_since_when_each_dependency_is_away_until_it_is_back() -> None:
    ledger = SwitchedLedger()
    rig = Rig(store=away(), ledger=ledger)
    looked(rig, 0.0)
    ledger.away = True
    looked(rig, 60.0)
    looked(rig, 60.0)
    assert since(rig) == {"redis": "2025-11-22T10:00:00.000Z", "database": "2025-11-22T10:01:00.000Z"}
    ledger.away = False
    looked(rig, 1.0)
    ledger.away = True
    looked(rig, 1.0)
    assert since(rig) == {"redis": "2025-11-22T10:00:00.000Z", "database": "2025-11-22T10:02:02.000Z"}


def test_health_finds_what_was_lost_since_the_last_look() -> None:
    rig = Rig(store=away())
    assert since(rig) == {"redis": "2025-11-22T10:00:00.000Z"}


def test_health_names_the_runbook_of_what_is_away() -> None:
    ledger = SwitchedLedger()
    ledger.away = True
    runbooks = Rig(store=away(), ledger=ledger).get("/api/health").json["runbooks"]
    assert sorted(runbooks) == ["database", "redis"]
    for url in runbooks.values():
        assert url.startswith("https://github.com/")
        assert (ROOT / url.partition("/blob/main/")[2]).is_file()
