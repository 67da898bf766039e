"""One request on its way to its answer.

A connection opens an exchange for each request and keeps them in order; the service ends each of them
exactly once, now or later. For a repeated request that the connection recognised by its octets an exchange
is used again, with a ``record`` to answer with and nothing parsed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, ParamSpec

from arsenal_fast.errors import ProblemError
from arsenal_fast.http.parser import Limits, RequestParser
from arsenal_fast.http.responses import without_body
from arsenal_fast.limiting.headers import retry_after_line
from arsenal_fast.service.problems import problem

if TYPE_CHECKING:
    from arsenal_fast.http.request import Request
    from arsenal_fast.limiting.client import Client
    from arsenal_fast.service.app import Service
    from arsenal_fast.service.batches import Batch
    from arsenal_fast.service.gate import Place
    from arsenal_fast.service.ports import Connection
    from arsenal_fast.service.records import Record
    from arsenal_fast.service.routes import Route

log = logging.getLogger(__name__)

SHARED_TAIL: Final = 65_536
"""Octets from which a tail is handed over as it is: a page's script is the same object for everybody, and
joined it would be copied for every client that reads slowly."""

P = ParamSpec("P")


class Exchange:
    """A request, who asks, and what is known of the answer so far."""

    __slots__ = (
        "answer",
        "client",
        "close",
        "connection",
        "extra",
        "held",
        "limits",
        "octets",
        "place",
        "record",
        "refusal",
        "request",
        "rest",
        "route",
        "row",
        "service",
        "stamped",
        "started",
    )

    def __init__(
        self, service: Service, connection: Connection, request: Request, client: Client, started: float
    ) -> None:
        """``started``: monotonic seconds at which the request was complete."""
        self.service = service
        self.connection = connection
        self.request = request
        self.client = client
        self.started = started
        self.close = not request.keep_alive
        self.extra = b""
        """Field lines that this request caused: its echoed id, its origin."""
        self.limits = b""
        """Rate-limit lines, once the limiter has spoken."""
        self.answer: bytes | None = None
        """Kept by the connection while earlier answers are missing; ``rest`` is what follows it."""
        self.rest = b""
        self.record: Record | Batch | None = None
        """What a request that was recognised is answered with; ``stamped``: with the moment at its end."""
        self.stamped = False
        self.octets = b""
        """Such a request, as it came; ``request`` is then an earlier one until :meth:`recall`."""
        self.refusal: ProblemError | None = None
        """Why the request is refused whatever it asks for (its token); it is charged all the same."""
        self.route: Route | None = None
        self.row = 0
        self.held = 0
        """Octets of the body that the connection counts until the answer has left."""
        self.place: Place | None = None
        """What the request occupies of the rows in work, until :meth:`leave`."""

    def recall(self, started: float) -> None:
        """Make ``request`` the one that this exchange is for: it can't be answered with the record after all."""
        self.started = started
        self.limits = b""
        self.record = None
        if self.octets:
            parser = RequestParser(Limits())
            parser.feed(self.octets)
            request = parser.next_request()
            assert request is not None, "what was recognised is a whole request"
            self.request = request
            self.octets = b""
        self.route = self.service.route_of(self.request)

    def admitted(self, limits: bytes) -> None:
        """Go on to the handler; the limiter has let the request through."""
        self.limits = limits
        self.handle()

    def handle(self) -> None:
        """Call the route's handler, now or when the rows that it is about have their turn."""
        route = self.route
        assert route is not None
        if (
            route.rows is None
            or self.refusal is not None
            or (rows := route.rows(self.request)) < 2
            or self.service.gate.admits(self, rows)
        ):
            self.work()

    def work(self) -> None:
        """Call the route's handler; whatever it raises becomes an answer."""
        assert self.route is not None
        try:
            if self.refusal is not None:
                raise self.refusal
            self.route.handler(self.service, self)
        except ProblemError as error:
            self.refuse(error)
        except Exception:
            self.fail()

    @property
    def heavy(self) -> bool:
        """Whether the answer costs much; one of these is enough for a turn of the loop."""
        return self.route is not None and self.route.heavy

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.connection.is_lost

    def turn_away(self) -> None:
        """Answer 503: too many rows are in work."""
        detail = "Too many rows are in work, of this client or of all; try again in a second."
        self.respond(503, problem(503, detail, lines=retry_after_line(1)))

    def leave(self) -> None:
        """Make room for others' rows: the answer has left, or never will. To be called by the connection."""
        place, self.place = self.place, None
        if place is not None:
            self.service.gate.leave(place)

    def guard(self, done: Callable[P, None]) -> Callable[P, None]:
        """Return ``done`` for a store to call: what it raises then becomes an answer, too."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                done(*args, **kwargs)
            except Exception:
                self.fail()

        return guarded

    def fail(self) -> None:
        """Answer for an exception that is being handled."""
        assert self.route is not None
        log.exception("a handler failed", extra={"fields": {"url.path": self.route.path}})
        self.respond(500, problem(500, "The service failed on this request; it has been logged."))

    def refuse(self, error: ProblemError) -> None:
        """Answer with a problem."""
        self.respond(error.status, problem(error.status, error.detail, faults=error.faults, lines=error.lines))

    def respond(self, status: int, tail: bytes, lines: bytes = b"") -> None:
        """End the exchange. ``tail``: from the content type on; ``lines``: field lines of this answer."""
        service, request = self.service, self.request
        service.refresh()
        if service.draining and self.connection.is_last(self):
            self.close = True
        if self.close:
            lines += b"Connection: close\r\n"
        elif request.minor == 0:
            lines += b"Connection: keep-alive\r\n"
        service.ended(self, status, service.monotonic() - self.started)
        if request.method == b"HEAD":
            tail = without_body(tail)
        if len(tail) > SHARED_TAIL:
            head = b"".join((service.starts.start(status), self.limits, self.extra, lines))
            service.departures.send(self, head, tail)
        else:
            service.departures.send(
                self, b"".join((service.starts.start(status), self.limits, self.extra, lines, tail))
            )
