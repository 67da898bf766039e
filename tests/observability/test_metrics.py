"""Counting, and adding up the counts of several workers."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.observability.metrics import (
    BUCKETS,
    COUNTERS,
    GAUGES,
    NANOSECONDS,
    STALE_AFTER,
    TIMINGS,
    Metrics,
    Rate,
    Series,
    merge,
)

NOW = 5000.0


def metrics(**numbers: Any) -> Metrics:
    return Metrics(written=NOW, **numbers)


# Durations in seconds, and the index of the bucket each belongs in: an upper bound is inside its bucket.
BUCKET_ROWS = [
    (0.0, 0),
    (0.0005, 0),
    (0.00050001, 1),
    (0.001, 1),
    (0.3, 9),
    (10.0, 13),
    (10.1, 14),
    (1e9, 14),
]


@pytest.mark.parametrize(("seconds", "bucket"), BUCKET_ROWS)
def test_a_duration_is_counted_in_the_first_bucket_whose_bound_it_does_not_pass(seconds: float, bucket: int) -> None:
    series = Series()
    series.observe(seconds, 3)
    assert series.counts == [3 if index == bucket else 0 for index in range(len(BUCKETS) + 1)]
    assert series.count == 3
    assert series.nanoseconds == pytest.approx(3 * seconds * NANOSECONDS, abs=3)


def test_answers_are_counted_per_route_method_and_status() -> None:
    counts = metrics()
    counts.observe("/api/v1/id", "GET", 200, 0.0001, 7)
    counts.observe("/api/v1/id", "GET", 429, 0.0001)
    counts.observe("/api/v1/id", "GET", 200, 0.7)
    assert {key: series.count for key, series in counts.series.items()} == {
        ("/api/v1/id", "GET", 200): 8,
        ("/api/v1/id", "GET", 429): 1,
    }
    assert counts.answered == 9


def test_requests_have_the_exact_status_below_500_and_5xx_from_there_on() -> None:
    counts = metrics()
    for route, status in (("/a", 200), ("/b", 200), ("/a", 499), ("/a", 500), ("/a", 503), ("/b", 503)):
        counts.observe(route, "GET", status, 0.0)
    counts.observe("/a", "POST", 599, 0.0)
    assert counts.requests() == {
        ("GET", "200"): 2,
        ("GET", "499"): 1,
        ("GET", "5xx"): 3,
        ("POST", "5xx"): 1,
    }


def test_the_hit_ratio_is_hits_over_look_ups_and_nothing_before_the_first() -> None:
    assert metrics().hit_ratio is None
    assert metrics(identity_lookups=50, identity_lookup_hits=47).hit_ratio == 0.94


def test_every_number_is_either_a_counter_or_a_gauge() -> None:
    assert not COUNTERS.keys() & GAUGES.keys()
    assert {"identity_lookups", "limiter_denied", "redis_commands", "process_cpu_nanoseconds"} <= COUNTERS.keys()
    assert {"connections_open", "identity_cache_entries", "store_up", "workers"} <= GAUGES.keys()


def test_no_number_of_the_class_is_left_out_of_the_tables() -> None:
    integers = {name for name, value in metrics_values(metrics()).items() if type(value) is int}
    assert integers == COUNTERS.keys() | GAUGES.keys()


def metrics_values(counts: Metrics) -> dict[str, Any]:
    return {name: getattr(counts, name) for name in Metrics.__slots__}


NUMBERS = st.fixed_dictionaries(
    {name: st.integers(0, 2**40) for name in ("identity_lookups", "redis_rows", "connections_open", "workers")}
)
OBSERVATIONS = st.lists(
    st.tuples(
        st.sampled_from(["/api/v1/id", "/api/health"]),
        st.sampled_from(["GET", "POST"]),
        st.sampled_from([200, 429, 503]),
        st.floats(0, 20),
        st.integers(1, 1000),
    ),
    max_size=8,
)


@st.composite
def workers(draw: st.DrawFn) -> Metrics:
    counts = metrics(**draw(NUMBERS))
    for observation in draw(OBSERVATIONS):
        counts.observe(*observation)
    counts.redis_round_trip.plus(
        draw(st.lists(st.integers(0, 99), min_size=10, max_size=10)), draw(st.integers(0, 2**50))
    )
    return counts


def test_every_histogram_of_the_class_is_summed_and_exported() -> None:
    series = {name for name, value in metrics_values(metrics()).items() if isinstance(value, Series)}
    assert series == TIMINGS.keys()
    assert all(TIMINGS.values()), "each has a help"
    counts = metrics()
    for index, (_, each) in enumerate(counts.timings()):
        each.observe(0.001, index + 1)
    total = merge([counts.snapshot(), counts.snapshot()], NOW)
    assert [each.count for _, each in total.timings()] == [2, 4, 6, 8]


@given(workers())
def test_a_snapshot_tells_everything(counts: Metrics) -> None:
    assert merge([counts.snapshot()], NOW) == counts


@given(st.lists(workers(), min_size=2, max_size=3))
def test_the_sum_is_the_same_whoever_adds_up_in_whatever_order(all_counts: list[Metrics]) -> None:
    """Two workers are scraped in turn: a sum that depended on the order would seem to go back."""
    snapshots = [counts.snapshot() for counts in all_counts]
    totals = [merge(order, NOW) for order in permutations(snapshots)]
    assert all(total == totals[0] for total in totals)
    for name in (*COUNTERS, *GAUGES):
        assert getattr(totals[0], name) == sum(getattr(counts, name) for counts in all_counts)
    assert totals[0].answered == sum(counts.answered for counts in all_counts)


def test_seconds_add_up_exactly_where_floats_would_not() -> None:
    assert (0.1 + 0.2) + 0.3 != 0.1 + (0.2 + 0.3)
    snapshots = []
    for seconds in (0.1, 0.2, 0.3):
        counts = metrics()
        counts.observe("/", "GET", 200, seconds)
        snapshots.append(counts.snapshot())
    sums = {merge(order, NOW).series["/", "GET", 200].nanoseconds for order in permutations(snapshots)}
    assert len(sums) == 1


def test_a_worker_that_has_not_written_yet_is_passed_over() -> None:
    assert merge([b"", metrics(identity_issued=1).snapshot(), b""], NOW) == metrics(identity_issued=1)


# Age of a snapshot in seconds, and whether its writer counts as alive.
AGES = [(0.0, True), (STALE_AFTER, True), (STALE_AFTER + 0.01, False), (3600.0, False), (-0.01, True)]


@pytest.mark.parametrize(("age", "alive"), AGES)
def test_the_counters_of_a_dead_worker_count_and_its_gauges_dont(age: float, alive: bool) -> None:
    counts = Metrics(
        written=NOW - age,
        limiter_denied=5,
        connections_open=7,
        workers=1,
        process_started=100.0,
        request_rate=3.0,
    )
    counts.observe("/", "GET", 200, 0.1)
    total = merge([counts.snapshot()], NOW)
    assert (total.limiter_denied, total.answered) == (5, 1)
    assert (total.connections_open, total.workers) == ((7, 1) if alive else (0, 0))
    assert (total.process_started, total.request_rate) == ((100.0, 3.0) if alive else (0.0, None))


def test_a_worker_takes_over_what_its_predecessor_counted_and_not_what_it_held() -> None:
    predecessor = metrics(identity_issued=40, connections_open=9, process_cpu_nanoseconds=77, process_started=1.0)
    predecessor.observe("/", "GET", 200, 0.25, 4)
    successor = metrics(identity_issued=2, connections_open=1)
    successor.observe("/", "GET", 200, 0.25)
    successor.add(predecessor.snapshot(), gauges=False)
    assert (successor.identity_issued, successor.connections_open) == (42, 1)
    assert (successor.process_cpu_nanoseconds, successor.process_started) == (77, 0.0)
    series = successor.series["/", "GET", 200]
    assert (series.count, series.nanoseconds) == (5, 5 * NANOSECONDS // 4)


def test_the_start_of_the_sum_is_the_earliest_that_is_known() -> None:
    starts = [metrics(process_started=started).snapshot() for started in (300.0, 0.0, 100.0, 200.0)]
    assert merge(starts, NOW).process_started == 100.0


def test_the_certificate_of_the_sum_is_the_one_that_ends_first_of_the_living_workers() -> None:
    ends = [metrics(certificate_expires=moment).snapshot() for moment in (300.0, 0.0, 200.0)]
    dead = Metrics(written=NOW - STALE_AFTER - 1, certificate_expires=100.0).snapshot()
    assert merge([*ends, dead], NOW).certificate_expires == 200.0
    assert merge(ends[1:2], NOW).certificate_expires == 0.0


def test_rates_add_up_over_the_workers_that_know_theirs() -> None:
    rates = [metrics(request_rate=rate).snapshot() for rate in (None, 1.5, 2.0)]
    assert merge(rates, NOW).request_rate == 3.5
    assert merge(rates[:1], NOW).request_rate is None


def test_snapshots_of_other_buckets_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Series().plus([1, 2, 3], 0)


# Readings of a total: (moment, total, resulting rate).
LOOKS = [
    (0.0, 0, None),
    (0.0, 0, None),
    (2.0, 10, 5.0),
    (4.0, 10, 2.5),
    (10.0, 110, 11.0),
    (12.0, 110, 10.0),  # since 2.0: the look at 0.0 is more than ten seconds old, and there is one of that age
    (13.9, 110, 100 / 11.9),
    (14.0, 110, 10.0),  # since 4.0
    (514.0, 610, 500 / 500.1),  # no look for long: since the last look before
    (514.5, 860, 750 / 500.6),  # not kept: too soon after the one before
    (524.0, 1110, 50.0),
    (524.4, 1110, 50 - 50 * 0.4 / 10.4),
]


def test_the_rate_is_over_the_last_ten_seconds_or_since_the_last_look() -> None:
    rate = Rate()
    for now, total, expected in LOOKS:
        told = rate.look(now, total)
        assert told == (None if expected is None else pytest.approx(expected, rel=1e-4)), now


def test_looking_often_keeps_little() -> None:
    rate = Rate()
    for step in range(10_000):
        rate.look(step / 100, step)
    assert rate.look(100.0, 10_000) == pytest.approx(100.0)
    assert len(rate._looks) <= 12
