"""The table of routes: tokens, bodies and limits of each row."""

import pytest

from arsenal_fast.api.handlers.problem_pages import PATHS
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.api.routes import API_ROUTER, MANAGEMENT_ROUTER, ROUTER, ROUTES, label_of
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.request import Fields, Request
from tests.support.openapi import DOCUMENT, OPERATIONS
from tests.support.rig import request


def test_operation_ids_are_the_handlers_names_and_differ() -> None:
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert ids == [route.handler.__name__ for route, _ in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_limited_rows_tell_of_429_and_how_long_to_wait() -> None:
    for route, operation in OPERATIONS:
        assert ("429" in operation["responses"]) == route.limited, route.path
        if route.limited:
            assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_rows_with_a_body_tell_of_413_and_415() -> None:
    for route, operation in OPERATIONS:
        has_body = "requestBody" in operation
        assert has_body == (route.method == "POST")
        assert ({"413", "415"} <= operation["responses"].keys()) == has_body


def test_every_row_that_knows_service_tokens_says_whether_it_needs_one_and_of_which_scope() -> None:
    (scheme,) = DOCUMENT["components"]["securitySchemes"]
    told = {route.path: operation.get("security") for route, operation in OPERATIONS}
    assert {path: security for path, security in told.items() if security is not None} == {
        "/api/v1/id": [{}, {scheme: ["issue"]}],
        "/api/v1/identities": [{}, {scheme: ["issue"]}],
        "/api/v1/validate": [{}, {scheme: []}],
        "/api/v1/revoke": [{}, {scheme: ["revoke"]}],
        "/api/v1/audit": [{scheme: ["audit"]}],
        "/api/v1/tokens": [{scheme: ["tokens"]}],
        "/api/v1/tokens/revoke": [{scheme: ["tokens"]}],
        "/api/v1/tokens/limit": [{scheme: ["tokens"]}],
        "/api/v1/limits": [{}, {scheme: []}],
        "/api/v1/token": [{}, {scheme: []}],
    }


def test_a_401_is_told_of_everywhere_in_the_api_and_a_403_where_a_scope_is_asked_for() -> None:
    for route, operation in OPERATIONS:
        assert ("401" in operation["responses"]) == route.path.startswith("/api/v1/"), route.path
        # Any of them may have an Arsenal-Subject, which needs a scope.
        needs_scope = route.scope is not None or route.path.startswith("/api/v1/")
        assert ("403" in operation["responses"]) == needs_scope, route.path
        for status in {"401", "403"} & operation["responses"].keys():
            assert "WWW-Authenticate" in operation["responses"][status]["headers"]


def rows(path: str, body: bytes) -> int:
    """How many rows the row of the table counts in a body."""
    (route,) = (route for route in ROUTES if route.path == path and route.method == "POST")
    assert route.rows is not None
    parser = RequestParser(Limits())
    parser.feed(request("POST", path, body))
    found = parser.next_request()
    assert found is not None
    return route.rows(found)


BATCH, VALIDATE = "/api/v1/identities", "/api/v1/validate"


@pytest.mark.parametrize(
    ("path", "body", "count"),
    [
        (BATCH, b'{"environments":[{"name":"a"}]}', 1),
        (BATCH, b'{"environments":[{"name":"a"},{"name":"b"}]}', 2),
        (BATCH, b'{"environments":[' + b"{}," * 5000 + b"{}]}", MAX_ROWS),
        (VALIDATE, b'{"identity":"a,b,c"}', 1),
        (VALIDATE, b'{"identities":["a"]}', 1),
        (VALIDATE, b'{"identities":["a","b","c"]}', 3),
        (VALIDATE, b'{"identities":[' + b'"",' * 5000 + b'""]}', MAX_ROWS),
    ],
)
def test_rows_are_counted_before_a_body_is_read_and_never_over_the_largest_batch(
    path: str, body: bytes, count: int
) -> None:
    assert rows(path, body) == count


# Of each listener, the paths that the other one has not; "/api/docs/..." and the problems aside.
API_ALONE = {
    *("/", "/api", "/api/docs", "/api/openapi.json", "/.well-known/jwks.json", "/problems"),
    *(route.path for route in ROUTES if route.is_api),
}
PROBES = {"/api/health", "/api/health/live", "/api/health/ready", "/api/health/startup"}


def test_metrics_and_telemetry_are_the_managements_and_probes_are_on_both_ports() -> None:
    api, management = ({route.path for route in router.routes} for router in (API_ROUTER, MANAGEMENT_ROUTER))
    assert management - api == {"/api/metrics", "/api/telemetry"}
    assert {path for path in api - management if not path.startswith("/problems/")} == API_ALONE
    both = api & management
    assert PROBES | {"/favicon.ico", "/api/docs/dashboard.js", "/api/docs/base.css"} <= both
    assert {path for path in both - PROBES if not path.startswith("/api/docs/")} == {"/favicon.ico"}


def test_one_listener_serves_every_row() -> None:
    assert ROUTER.routes == ROUTES


LABELS = [
    (b"/api/v1/id", b"GET", "/api/v1/id"),
    (b"/api/v1/%69d", b"HEAD", "/api/v1/id"),
    (b"/api/metrics", b"GET", "/api/metrics"),
    (PATHS[0].encode(), b"GET", "/problems/*"),
    (b"/api/v1/id", b"PUT", None),
    (b"/nowhere", b"GET", None),
    (b"/%ff", b"GET", None),
    (b"*", b"OPTIONS", None),
]


@pytest.mark.parametrize(("path", "method", "label"), LABELS)
def test_a_label_is_of_few(path: bytes, method: bytes, label: str | None) -> None:
    assert label_of(Request(method, path, path, b"", 1, Fields(), b"", True)) == label
