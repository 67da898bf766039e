"""The context of one request, from its admission to its response.

A connection makes a context for each request without a cached response, and keeps them in order; the handler responds
exactly once, now or later.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, Final, ParamSpec, Protocol

import orjson

from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.gate import Gate, Place
from arsenal_fast.api.problems import render
from arsenal_fast.api.request_id import id_of
from arsenal_fast.api.router import Route, Router
from arsenal_fast.api.write_batch import Connection as Writer
from arsenal_fast.api.write_batch import WriteBatch, cut_off
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.request import Request
from arsenal_fast.http.response import JSON, NO_STORE, PendingResponse, tail, without_body
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.headers import retry_after_line
from arsenal_fast.registry.issuer import AuditContext
from arsenal_fast.replies import run

log = logging.getLogger(__name__)

SHARED_BYTES: Final = 65_536
"""Bytes from which the end of a response is sent without joining it to the head: a page's script is one shared object,
and joining would copy it for every client that reads slowly."""

P = ParamSpec("P")


class Connection(Writer, Protocol):
    """The connection of a request."""

    outbox: list[PendingResponse]
    """The responses that are due, in their order."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """Writes to the client, past the order; raises RuntimeError where the transport has just failed."""

    @property
    def is_lost(self) -> bool:
        """Whether the client has disconnected."""

    def is_last(self, pending: PendingResponse) -> bool:
        """Whether this is the last request; if so, no later one is accepted."""

    def replace(self, old: PendingResponse, new: PendingResponse) -> None:
        """Replace a pending response by another one in its place."""

    def take(self, context: RequestContext) -> None:
        """Begin a recognised request without a cached response."""

    def leave_fast_path(self) -> None:
        """Parse the next request, even if it matches the template."""

    def address_client(self, forwarded_for: bytes | None) -> Client:
        """Return the client of the address, for a request without a valid token."""


class Services(Protocol):
    """The services that a context needs to respond."""

    clock: ResponseClock
    write_batch: WriteBatch
    draining: bool
    """Whether responses close their connections."""
    gate: Gate

    @property
    def monotonic(self) -> Callable[[], float]: ...

    problem_types: str
    """What the name of a kind of problem follows in its type."""

    def ended(self, context: RequestContext, status: int, seconds: float) -> None:
        """Count a response and log it."""


class Application(Protocol):
    """Routes requests to their handlers."""

    router: Router

    @property
    def services(self) -> Services:
        """Passed to the handlers."""

    def begin(self, context: RequestContext) -> None:
        """Find the request's client and route, and submit it."""

    def route_of(self, request: Request) -> Route:
        """Return the route of a request."""


class RequestContext(PendingResponse):
    """A request, its client, and the response so far."""

    __slots__ = (
        "app",
        "client",
        "connection",
        "header_lines",
        "limit_lines",
        "refusal",
        "request",
        "route",
        "row",
        "started_s",
    )

    def __init__(
        self, app: Application, connection: Connection, request: Request, client: Client, started_s: float
    ) -> None:
        """``started_s``: monotonic seconds at which the request was complete."""
        PendingResponse.__init__(self, close=not request.keep_alive)
        self.app = app
        self.connection = connection
        self.request = request
        self.client = client
        self.started_s = started_s
        self.header_lines = b""
        """Lines that depend on the request's fields: allowed origin, and at the end the request's id. Set once."""
        self.limit_lines = b""
        """Rate-limit lines, once the limiter has answered."""
        self.refusal: ProblemError | None = None
        """The error for a bad token; the request is charged all the same."""
        self.route: Route | None = None
        self.row = 0
        """Set by the admission."""
        self.place: Place | None = None
        """The request's rows in work, until :meth:`leave`."""

    def identify_again(self) -> None:
        """Begin again: the client's token has expired meanwhile, was withdrawn, or has another limit."""
        self.connection.leave_fast_path()  # its next request gets the client that is found now
        self.client = self.connection.address_client(self.request.fields.forwarded_for)
        self.app.begin(self)

    @property
    def request_id(self) -> str:
        """The request's id: as it was sent, or made here."""
        return id_of(self.header_lines)

    def audit(self, environments: tuple[str, ...] | list[str] = ()) -> AuditContext:
        """Return the source of the request, for the ledger."""
        return AuditContext(self.client.key, self.request_id, environments)

    def admitted(self, limit_lines: bytes) -> None:
        """Go on to the handler; the limiter has let the request through."""
        self.limit_lines = limit_lines
        self.handle()

    def denied(self, limit_lines: bytes, problem: ProblemError) -> None:
        """Respond with a 429."""
        self.limit_lines = limit_lines
        self.refuse(problem)

    def refused(self, problem: ProblemError) -> None:
        """Respond with a 503: the limiter is away."""
        self.refuse(problem)

    def handle(self) -> None:
        """Run the route's handler, now or when the gate admits its rows."""
        route = self.route
        assert route is not None
        if self.refusal is not None:
            self.refuse(self.refusal)  # not raised: that would make a cycle of the stored exception and its frame
        elif route.rows is None or (rows := route.rows(self.request)) < 2 or self.app.services.gate.admits(self, rows):
            self.work()

    def work(self) -> None:
        """Run the route's handler; an exception becomes a response."""
        assert self.route is not None
        try:
            result: Any = self.route.handler(self.app.services, self)
        except Exception as error:
            self._failed(error)
        else:
            if result is not None and inspect.iscoroutine(result):
                run(result, self._failed)

    @property
    def heavy(self) -> bool:
        """Whether the response is expensive; one of these is enough for an event-loop tick."""
        return self.route is not None and self.route.heavy

    @property
    def abandoned(self) -> bool:
        """Whether the client has disconnected."""
        return self.connection.is_lost

    def drop_body(self) -> None:
        """Free the request's body."""
        self.held = 0
        self.request.body = b""

    def turn_away(self) -> None:
        """Respond with a 503: too many rows are in work."""
        detail = "Too many rows are in work, of this client or of all; try again in a second."
        self.unavailable(detail)

    def leave(self) -> None:
        """Free the rows in work: the response was sent, or never will be."""
        place, self.place = self.place, None
        if place is not None:
            self.app.services.gate.leave(place)

    def cut_off(self) -> None:
        """Abort the connection; called while an exception is handled."""
        self.leave()
        cut_off(self.connection)

    def guard(self, done: Callable[P, None]) -> Callable[P, None]:
        """Wrap a callback for a port: an exception in it becomes a response."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                done(*args, **kwargs)
            except Exception:
                self.fail()

        return guarded

    def _failed(self, error: Exception) -> None:
        if isinstance(error, ProblemError):
            self.refuse(error)
        else:
            self.fail()

    def fail(self) -> None:
        """Log the exception that is being handled, and respond with a 500."""
        assert self.route is not None
        log.exception("a handler failed", extra={"fields": {"url.path": self.route.path}})
        self.refuse(ProblemError(500, "The service failed on this request; it has been logged."))

    def refuse(self, error: ProblemError) -> None:
        """Respond with a problem."""
        self.respond(error.status, render(error, self.app.services.problem_types, self.request_id))

    def unavailable(self, detail: str) -> None:
        """Respond with a 503 that says to try again in a second."""
        self.refuse(ProblemError(503, detail, lines=retry_after_line(1)))

    def answer(self, body: object, status: int = 200, lines: bytes = NO_STORE) -> None:
        """Respond with JSON."""
        self.respond(status, tail(JSON, orjson.dumps(body), lines))

    def respond(self, status: int, tail: bytes, lines: bytes = b"") -> None:
        """Respond. ``tail``: the response from the content type on; ``lines``: further header lines."""
        services, request = self.app.services, self.request
        services.clock.refresh()
        if services.draining and self.connection.is_last(self):
            self.close = True
        if self.close:
            lines += b"Connection: close\r\n"
        elif request.minor == 0:
            lines += b"Connection: keep-alive\r\n"
        services.ended(self, status, services.monotonic() - self.started_s)
        if request.method == b"HEAD":
            tail = without_body(tail)
        head = services.clock.head(status)
        if len(tail) > SHARED_BYTES:
            head = b"".join((head, self.limit_lines, self.header_lines, lines))
            services.write_batch.send(self.connection, self, head, tail)
        else:
            response = b"".join((head, self.limit_lines, self.header_lines, lines, tail))
            services.write_batch.send(self.connection, self, response)
