"""The look-up of a route: methods, paths below the API, and unknown ones."""

from typing import Any

import pytest

from arsenal_fast.api.router import Route, Router


def answer(*_: Any) -> None:
    """A handler that is never called here."""


def not_found(*_: Any) -> None:
    """Another one."""


def not_allowed(*_: Any) -> None:
    """Another one."""


def options(*_: Any) -> None:
    """Another one."""


PAGE = Route("GET", "/page", answer)
THING = Route("GET", "/api/v1/thing", answer, limited=True)
MAKE = Route("POST", "/api/v1/thing", answer, limited=True)
ROUTER = Router((PAGE, THING, MAKE), not_found=not_found, not_allowed=not_allowed, options=options)


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        (b"GET", b"/page", PAGE),
        (b"HEAD", b"/page", PAGE),
        (b"GET", b"/api/v1/thing", THING),
        (b"HEAD", b"/api/v1/thing", THING),
        (b"POST", b"/api/v1/thing", MAKE),
    ],
)
def test_a_row_is_found_by_its_method_and_path_and_head_is_get(method: bytes, path: bytes, route: Route) -> None:
    assert ROUTER.match(method, path) is route


@pytest.mark.parametrize(
    ("method", "path", "handler", "limited"),
    [
        (b"GET", b"/pages", not_found, False),
        (b"GET", b"/page/", not_found, False),
        (b"GET", b"/PAGE", not_found, False),
        (b"GET", b"", not_found, False),
        (b"GET", b"*", not_found, False),
        (b"GET", b"/api/v1/", not_found, True),
        (b"GET", b"/api/v1", not_found, False),
        (b"DELETE", b"/api/v1/nothing", not_found, True),
        (b"POST", b"/page", not_allowed, False),
        (b"get", b"/page", not_allowed, False),
        (b"PUT", b"/api/v1/thing", not_allowed, True),
        (b"OPTIONS", b"*", options, False),
        (b"OPTIONS", b"/page", options, False),
        (b"OPTIONS", b"/api/v1/nothing", options, False),
        (b"OPTIONS", b"/nothing", not_found, False),
    ],
)
def test_what_the_table_does_not_have_is_answered_and_charged_below_the_api(
    method: bytes, path: bytes, handler: object, limited: bool
) -> None:
    route = ROUTER.match(method, path)
    assert (route.handler, route.limited) == (handler, limited)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (b"/page", "GET, HEAD, OPTIONS"),
        (b"/api/v1/thing", "GET, HEAD, OPTIONS, POST"),
        (b"/nothing", "OPTIONS"),
        (b"*", "GET, HEAD, OPTIONS, POST"),
    ],
)
def test_allow_names_the_methods_of_a_path(path: bytes, allowed: str) -> None:
    assert ROUTER.allowed_methods(path) == allowed


def test_one_label_serves_all_that_is_unknown() -> None:
    found = {ROUTER.match(method, path).path for method in (b"GET", b"PUT") for path in (b"/x", b"/api/v1/y", b"/z")}
    assert found == {"(unmatched)"}
