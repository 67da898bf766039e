"""Rows and exit codes from figures."""

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from bench.load import OpenLoad
from loadtest.exposition import Interval, Reading, Series
from loadtest.plan import ROUTES, Plan
from loadtest.verdict import Measured, Outcome, Row, as_text, overall, rows

SECONDS = 10.0
PLAN = Plan(users=5000)
METHODS = {"id": "GET", "batch": "POST", "validate": "POST"}


def reading(
    at: float,
    rates: dict[str, float],
    slow: int = 0,
    open_now: int = 5002,
    denied: int = 0,
    hits: float = 0.95,
    errors: int = 0,
) -> Reading:
    """Of a service that has served for ``at`` seconds; ``slow`` requests of each kind took over 50 ms."""
    counts = {kind: round(rate * at) for kind, rate in rates.items()}
    buckets = {
        Series(ROUTES[kind], METHODS[kind], "200"): {0.01: count - slow, 0.05: count - slow, 0.1: count, inf: count}
        for kind, count in counts.items()
    }
    if errors:
        buckets[Series("/api/v1/id", "GET", "503")] = {0.01: errors, 0.05: errors, 0.1: errors, inf: errors}
    plain = {
        "identity_connections_open": open_now,
        "identity_limiter_allowed_total": sum(counts.values()),
        "identity_limiter_denied_total": denied,
        "identity_lookups_total": 1000 * at,
        "identity_lookup_hits_total": 1000 * hits * at,
    }
    return Reading(at, plain, buckets)


def probed(p99_ms: float) -> OpenLoad:
    """What the prober saw, where the slowest request took twice its p99."""
    return OpenLoad(30.0, 0.01, {}, {"probes": {99.0: round(p99_ms * 1000), 100.0: round(p99_ms * 2000)}})


def measured(rates: tuple[float, float, float] = (1500, 200, 2000), after: Any = None, **changed: Any) -> Measured:
    by_kind = dict(zip(ROUTES, rates, strict=True))
    run = Measured(
        interval=Interval(reading(0.0, by_kind), reading(SECONDS, by_kind, **(after or {}))),
        locust=by_kind,
        locust_failures=0,
        locust_latencies={0.02: 100},
        probe=probed(1.0),
        cores={"service": 0.3, "locust": 0.6},
        server_bytes=100 << 20,
        redis_bytes=20 << 20,
    )
    return replace(run, **changed)


def broken(run: Measured, plan: Plan = PLAN) -> dict[str, Outcome]:
    return {row.what: row.outcome for row in rows(plan, run) if row.outcome is not Outcome.PASSED}


def test_a_run_that_reaches_everything_has_passed() -> None:
    run = measured()
    assert broken(run) == {}
    assert overall(rows(PLAN, run)) is Outcome.PASSED


CASES: list[tuple[Measured, list[str]]] = [
    (measured(rates=(1499, 200, 2000)), ["id per second"]),
    (measured(rates=(1500, 199, 1999)), ["batch per second", "validate per second"]),
    (measured(after={"open_now": 5001}), ["users connected"]),
    (measured(after={"denied": 1}), ["failures"]),
    (measured(after={"errors": 1}), ["failures"]),
    (measured(locust_failures=1), ["failures"]),
    (measured(after={"hits": 0.939}), ["cache hit ratio"]),
    (measured(after={"hits": 0.94}), []),
    (measured(after={"slow": 200}), ["p99, the service's histogram"]),
    (measured(after={"slow": 120}), []),
    (measured(probe=probed(50.0)), ["p99, the prober"]),
    (measured(probe=probed(49.9)), []),
    (measured(probe=None), ["failures", "p99, the prober"]),
    (measured(cores={"service": 0.51, "locust": 0.6}), ["service, cores"]),
    (measured(server_bytes=257 << 20), ["service, memory"]),
    (measured(redis_bytes=51 << 20), ["redis, memory"]),
]


@pytest.mark.parametrize(("run", "names"), CASES)
def test_each_threshold_fails_by_itself(run: Measured, names: list[str]) -> None:
    assert broken(run) == dict.fromkeys(names, Outcome.FAILED)


def test_a_limiter_that_charges_no_client_is_detected() -> None:
    run = measured()
    uncharged = replace(run.interval.after, plain={**run.interval.after.plain, "identity_limiter_allowed_total": 0})
    run = replace(run, interval=Interval(run.interval.before, uncharged))
    assert list(broken(run)) == ["charged by the limiter"]


def test_a_missing_rate_is_the_load_s_fault_where_locust_was_saturated() -> None:
    run = measured(rates=(1400, 200, 2000), cores={"service": 0.3, "locust": 0.97})
    assert broken(run) == {"id per second": Outcome.LOAD_BOUND}
    assert overall(rows(PLAN, run)) is Outcome.LOAD_BOUND


def test_a_saturated_generator_excuses_nothing_but_the_rates() -> None:
    run = measured(rates=(1400, 200, 2000), cores={"service": 0.6, "locust": 0.97})
    assert overall(rows(PLAN, run)) is Outcome.FAILED


def test_the_table_says_what_the_users_saw_and_what_the_load_cost() -> None:
    run = measured(cores={"service": 0.3, "locust": 0.6}, others=0.2)
    text = as_text(rows(PLAN, run), run)
    assert "Locust 1,500 + prober" in text
    assert "30 probes a second, the slowest 2.00 ms" in text
    assert "cores used: service 0.30, locust 0.60; others on this machine 0.20" in text


def test_the_words_and_exit_codes_of_outcomes() -> None:
    assert {outcome.word: outcome.value for outcome in Outcome} == {"passed": 0, "failed": 1, "load-bound": 3}
    table = [Row("a", "", "", Outcome.LOAD_BOUND), Row("b", "", "", Outcome.FAILED), Row("c", "", "", Outcome.PASSED)]
    assert overall(table) is Outcome.FAILED
