"""Cached responses are counted for their endpoint, all of a batch at once."""

import pytest

from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.observability.metrics import Metrics


@pytest.mark.parametrize(
    ("method", "path", "line"),
    [
        ("GET", "/api/v1/id", b"GET /api/v1/id HTTP/1.1"),
        ("POST", "/api/v1/validate", b"POST /api/v1/validate HTTP/1.1"),
    ],
)
def test_the_line_is_that_of_a_request_without_a_query(method: str, path: str, line: bytes) -> None:
    assert Endpoint(method, path, "issue").line == line


def test_responses_are_counted_once_with_their_look_ups_and_hits() -> None:
    endpoint, metrics = Endpoint("POST", "/x", "issue"), Metrics()
    endpoint.responses, endpoint.further_lookups = 3, 4
    endpoint.flush(metrics, 0.25)
    endpoint.flush(metrics, 0.25)
    assert metrics.requests() == {("POST", "200"): 3}
    assert (metrics.identity_lookups, metrics.identity_lookup_hits) == (7, 7)
    assert metrics.series["/x", "POST", 200].nanoseconds == 3 * 250_000_000


def test_without_responses_nothing_is_counted() -> None:
    endpoint, metrics = Endpoint("GET", "/x", "issue"), Metrics()
    endpoint.flush(metrics, 1.0)
    assert (metrics.answered, dict(metrics.series)) == (0, {})


def test_late_responses_are_counted_once_by_the_starts_of_their_requests() -> None:
    endpoint, metrics = Endpoint("GET", "/x", "issue"), Metrics()
    endpoint.late += [1.0, 1.5, 1.0]
    endpoint.flush_late(metrics, 2.0)
    endpoint.flush_late(metrics, 3.0)
    series = metrics.series["/x", "GET", 200]
    assert (series.count, series.nanoseconds) == (3, 2_500_000_000)
    assert metrics.identity_lookups == 0, "the issuer and the look-up count these"
