"""Finds the handler of a request: a pure look-up in a table of routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any, Final

from arsenal_fast.http.request import Request

API: Final = b"/api/v1/"
"""Every request below this path is charged, also for an unknown path."""


class Port(Flag):
    """Which listener serves a route where MANAGEMENT_PORT is set; without it, one serves all."""

    API = auto()
    MANAGEMENT = auto()
    BOTH = API | MANAGEMENT


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table, with its documentation; schema names stand in :mod:`arsenal_fast.api.schemas`."""

    method: str
    path: str
    handler: Callable[..., Any]
    """``handler(services, context)``: responds, now or later; or a coroutine function that does."""
    summary: str = ""
    """Empty: not part of the documented API (assets of the pages)."""
    description: str = ""
    tag: str = "identities"
    limited: bool = False
    """Whether a request is charged to its client before the handler runs."""
    group: str = ""
    """Its name in a limits file; empty: only policies for all routes are for it."""
    heavy: bool = False
    """Whether a response is so expensive that other connections have their turn after it."""
    rows: Callable[[Request], int] | None = None
    """Returns an upper bound for the rows of a request, without parsing it; None: one."""
    parameters: tuple[str, ...] = ()
    """Names of query parameters."""
    body: str | None = None
    """Schema of the JSON request body."""
    form: bool = False
    """Whether the body is a form instead of JSON."""
    scope: str | None = None
    """The scope of the service token, where the request needs one; None: it never does."""
    by_token_only: bool = False
    """Whether every request needs a service token."""
    port: Port = Port.API
    """Which listener serves it."""
    label: str = ""
    """The ``route`` of the metrics; empty: the path."""
    answers: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Status -> (description, names of schemas or media types, comma apart; empty where there is no body)."""

    @property
    def is_api(self) -> bool:
        """Whether the path is below the one where tokens are read and limits told."""
        return self.path.encode("ascii").startswith(API)

    @property
    def may_be_forbidden(self) -> bool:
        """Whether a service token may lack a scope: the row's, or that of Arsenal-Subject."""
        return self.scope is not None or self.is_api


class Router:
    """Finds the route of a request; there is one for every request, refusals included."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        not_found: Callable[..., Any],
        not_allowed: Callable[..., Any],
        options: Callable[..., Any],
    ) -> None:
        """The handlers are those for an unknown path, a wrong method, OPTIONS."""
        self.routes = routes
        self._by_method = {
            (method, route.path.encode("ascii")): route
            for route in routes
            for method in ((b"GET", b"HEAD") if route.method == "GET" else (route.method.encode("ascii"),))
        }
        self._paths = {path for _, path in self._by_method}
        self._options = Route("OPTIONS", "(options)", options)
        self._not_found = _both("(unmatched)", not_found)
        self._not_allowed = _both("(unmatched)", not_allowed)

    def match(self, method: bytes, path: bytes) -> Route:
        """Return the route of a decoded path."""
        route = self._by_method.get((method, path))
        if route is not None:
            return route
        if method == b"OPTIONS" and (path == b"*" or path in self._paths or path.startswith(API)):
            return self._options
        charged = path.startswith(API)
        return (self._not_allowed if path in self._paths else self._not_found)[charged]

    def allowed_methods(self, path: bytes) -> str:
        """Return the value of ``Allow`` for a decoded path (RFC 9110 10.2.1)."""
        methods = [method.decode() for method, known in self._by_method if path in (known, b"*")]
        return ", ".join(sorted({*methods, "OPTIONS"}))


def _both(path: str, handler: Callable[..., Any]) -> tuple[Route, Route]:
    """Return two routes of a handler: one not charged, one charged."""
    return Route("", path, handler), Route("", path, handler, limited=True)
