"""The service's figures as numbers, and the difference between two readings."""

from collections.abc import Mapping
from math import inf

import pytest

from arsenal_fast.observability import exposition as service_exposition
from arsenal_fast.observability.metrics import BUCKETS, Metrics
from loadtest.exposition import Interval, Latencies, Reading, Series, parse
from loadtest.plan import Thresholds

ID = Series("/api/v1/id", "GET", "200")
DENIED = Series("/api/v1/id", "GET", "429")

TEXT = """\
# HELP http_server_request_duration_seconds Time from the whole request to its answer.
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{route="/api/v1/id",method="GET",status="200",le="0.05"} 7
http_server_request_duration_seconds_bucket{route="/api/v1/id",method="GET",status="200",le="+Inf"} 9
http_server_request_duration_seconds_sum{route="/api/v1/id",method="GET",status="200"} 1.5
identity_lookups_total 12
identity_health{status="healthy"} 1

"""


def test_a_scrape_is_read_as_far_as_it_is_needed() -> None:
    assert parse(TEXT, 5.0) == Reading(5.0, {"identity_lookups_total": 12.0}, {ID: {0.05: 7, inf: 9}})


def test_the_threshold_is_a_bound_of_the_service_s_histogram() -> None:
    assert Thresholds().p99 in BUCKETS


def reading(at: float, buckets: Mapping[Series, Mapping[float, int]], **plain: float) -> Reading:
    return Reading(at, plain, buckets)


def test_an_interval_counts_what_came_in_between() -> None:
    before = reading(10.0, {ID: {0.05: 7, inf: 9}}, identity_lookups_total=10, identity_lookup_hits_total=5)
    after = reading(
        14.0,
        {ID: {0.05: 17, inf: 20}, DENIED: {0.05: 2, inf: 2}},
        identity_lookups_total=110,
        identity_lookup_hits_total=100,
    )
    interval = Interval(before, after)
    assert interval.seconds == 4.0
    assert interval.answers("/api/v1/id") == 11
    assert interval.refused() == {DENIED: 2}
    assert interval.hit_ratio == 0.95
    assert interval.latencies(["/api/v1/id"]) == Latencies({0.05: 12, inf: 13})
    assert interval.latencies(["/api/v1/validate"]).count == 0


def test_nothing_looked_up_is_no_hit() -> None:
    still = reading(0.0, {})
    assert Interval(still, still).hit_ratio == 0.0


QUANTILES = [
    ({0.01: 100, 0.05: 100, inf: 100}, 0.5, 0.005),
    ({0.01: 50, 0.05: 100, inf: 100}, 0.5, 0.01),
    ({0.01: 50, 0.05: 100, inf: 100}, 0.75, 0.03),
    ({0.01: 0, 0.05: 100, inf: 100}, 0.99, 0.0496),
    ({0.01: 0, 0.05: 98, inf: 100}, 0.99, inf),
    ({0.01: 0, 0.05: 0, inf: 0}, 0.99, 0.0),
]


@pytest.mark.parametrize(("up_to", "share", "seconds"), QUANTILES)
def test_a_quantile_is_on_a_straight_line_within_its_bucket(
    up_to: dict[float, int], share: float, seconds: float
) -> None:
    assert Latencies(up_to).quantile(share) == pytest.approx(seconds)


def test_a_share_is_given_only_for_bounds_of_the_histogram() -> None:
    latencies = Latencies({0.01: 98, 0.05: 99, inf: 100})
    assert latencies.share_within(0.05) == 0.99
    with pytest.raises(KeyError):
        latencies.share_within(0.02)


def test_what_the_service_writes_is_understood() -> None:
    metrics = Metrics()
    metrics.observe(*ID[:2], 200, 0.003, 5)
    metrics.identity_lookups = 8
    registry = service_exposition.collect(metrics, version="4.2.0", health="healthy", shared=True)
    found = parse(service_exposition.render(registry, service_exposition.TEXT).decode(), 0.0)
    assert found.buckets[ID][0.0025] == 0
    assert found.buckets[ID][0.005] == found.buckets[ID][inf] == 5
    assert found.plain["identity_lookups_total"] == 8
