"""A request with a cached response, from its admission to its response."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.context import Application, Connection, RequestContext
from arsenal_fast.api.fastpath.render import response_of
from arsenal_fast.api.fastpath.response_cache import (
    KEPT,
    CachedResponse,
    MissingIdentity,
    ResponseCache,
    UnknownVerdict,
)
from arsenal_fast.api.request_id import id_of
from arsenal_fast.api.write_batch import cut_off
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.request import Request
from arsenal_fast.http.response import PendingResponse
from arsenal_fast.http.template import RequestTemplate, TemplateMatch
from arsenal_fast.identity.validity import DEFAULT_TTL, Fetching, Issued, Life, LookedUp, make_record
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.registry.issuer import AuditContext, Issuer
from arsenal_fast.registry.lookup import IdentityState, LookupRequest


@dataclass(slots=True)
class FastPathServices:
    """The services that recognised requests use."""

    cache: ResponseCache
    remember: Callable[[str, Life, int], None]
    """Keeps the life of an id, as :meth:`arsenal_fast.registry.cache.IdentityCache.remember`."""
    issuer: Issuer
    look_up: Callable[[str, LookupRequest, LookedUp | None], None]
    """Looks an id up, as :meth:`arsenal_fast.registry.lookup.Lookup.submit`; the request gets its state."""
    verdict: Callable[[str, IdentityState | None, bool], bytes]
    """Returns the response to the validation of an id with this state, from its own header lines on."""
    clock: ResponseClock
    count_soon: Callable[[], object]
    """Has the responses that were waited for counted at the end of this event-loop tick."""
    monotonic: Callable[[], float]
    submit: Callable[[RecognizedRequest, Fetching | None], None]
    """Submits a request to the admission, and the identity that it needs of the store."""
    started_s: Callable[[], float]
    """Monotonic: the start of the batch whose requests go on now."""
    log: Callable[[Request, str, str, int, float], None]
    """The access log: request, its id, client's key, status, seconds."""
    id_lines: Iterator[bytes]
    """The lines of the ids that are made here, each of which is taken once."""


class _LeftFastPath:
    """Replaces the cached response of a request that has left the fast path."""

    __slots__ = ("context", "endpoint", "ids")

    required_scope: Final = None
    terms: Final = None

    def __init__(self, context: RequestContext, cached: CachedResponse) -> None:
        self.context = context
        self.endpoint = cached.endpoint
        self.ids = cached.ids

    def render(self, _clock: ResponseClock) -> None:
        """Return None: the handler responds."""


class RecognizedRequest(PendingResponse):
    """The recognised request of one connection; one object serves all of them in turn."""

    __slots__ = (
        "app",
        "cached",
        "client",
        "clock",
        "connection",
        "header_lines",
        "id_end",
        "ids",
        "limit_lines",
        "match",
        "outbox",
        "proposals",
        "row",
        "started_s",
        "submit",
        "template",
        "work",
        "write",
    )

    ttl_ms: Final = DEFAULT_TTL * 1000
    needs_entries: ClassVar[bool] = False
    leaves_nothing: ClassVar[bool] = True

    client: Client
    cached: CachedResponse
    match: TemplateMatch
    header_lines: bytes
    """Lines that depend on the request's fields, up to the end of the request's id."""
    id_end: bytes
    """The end of the request's id and its line."""

    def __init__(
        self, work: FastPathServices, app: Application, connection: Connection, template: RequestTemplate
    ) -> None:
        PendingResponse.__init__(self, close=False)
        self.work = work
        self.clock = work.clock
        self.app = app
        self.connection = connection
        self.outbox = connection.outbox
        self.write = connection.write
        self.template = template
        self.submit = work.submit
        self.row = 0
        """Set by the admission."""
        self.limit_lines = b""
        self.started_s = 0.0
        self.ids: Sequence[str] = ()
        self.proposals = 0

    # Called by the admission.

    def admitted(self, limit_lines: bytes) -> None:
        """Respond from the cache; otherwise issue the identity, or run the handler."""
        cached = self.cached
        clock = self.clock
        body = cached.render(clock)
        if body is None:
            self._miss(limit_lines)
            return
        cached.endpoint.responses += 1
        response = b"".join((clock.ok, limit_lines, self.header_lines, self.id_end, body))
        outbox = self.outbox
        if len(outbox) != 1:
            self.connection.respond(self, response)
            return
        outbox.clear()  # as connection.respond does, in few steps: nearly always this is the only one
        try:  # contextlib.suppress costs more than the rest of this
            self.write(response)
        except RuntimeError:
            return  # the transport has just failed; connection_lost is on its way

    def denied(self, limit_lines: bytes, problem: ProblemError) -> None:
        """Respond with a 429."""
        self._context().denied(limit_lines, problem)

    def refused(self, problem: ProblemError) -> None:
        """Respond with a 503."""
        self._context().refused(problem)

    def identify_again(self) -> None:
        """Leave the fast path: the client's token has expired."""
        self._context().identify_again()

    def cut_off(self) -> None:
        """Abort the connection."""
        cut_off(self.connection)

    # Called by the issuer.

    def audit(self) -> AuditContext:
        """Return the source of the request, for the ledger."""
        return make_record(AuditContext, (self.client.key, self.request_id, ()))

    def fill(self, _index: int, life: Life, invalidations: int) -> None:
        """Respond with the identity."""
        work, identity, cached = self.work, self.ids[0], self.cached
        if isinstance(cached, _LeftFastPath):
            work.remember(identity, life, invalidations)  # the handler finds it there
            cached.context.admitted(self.limit_lines)
        else:
            self._respond(response_of(identity, life, work.cache.sign))

    # Called by the look-up.

    def looked_up(self, identity: str, state: IdentityState | None, readable: bool) -> None:
        """Respond with the verdict."""
        if isinstance(self.cached, _LeftFastPath):
            self.cached.context.admitted(self.limit_lines)
        else:
            self._respond(self.work.verdict(identity, state, readable))

    def _respond(self, body: bytes) -> None:
        """Send a response that was waited for. ``body``: from its own header lines on."""
        work, late = self.work, self.cached.endpoint.late
        if not late:
            work.count_soon()
        late.append(self.started_s)
        self.connection.respond(self, b"".join((work.clock.ok, self.limit_lines, self.header_lines, self.id_end, body)))

    # Leaving the fast path.

    def leave_fast_path(self) -> None:
        """Let the handler respond instead of the cache."""
        self._context()

    def _context(self) -> RequestContext:
        """Return a context for this request, which replaces it in the order of responses."""
        cached = self.cached
        if isinstance(cached, _LeftFastPath):
            return cached.context
        request = self.request()
        context = RequestContext(self.app, self.connection, request, self.client, self.work.started_s())
        context.header_lines = self.header_lines + self.id_end
        context.route = self.app.route_of(request)
        self.connection.replace(self, context)
        self.cached = _LeftFastPath(context, cached)
        return context

    @property
    def request_id(self) -> str:
        """The request's id: as it was sent, or made here."""
        return id_of(self.header_lines + self.id_end)

    def request(self) -> Request:
        """Return the request, built from its match."""
        request = self.template.request(self.match)
        assert request is not None, "a line that is a key of the cache is valid"
        return request

    def _miss(self, limit_lines: bytes) -> None:
        work, cached = self.work, self.cached
        if isinstance(cached, KEPT):
            self.cached = cached = work.cache.find_again(self.match, cached, self.clock.now_s)
            if isinstance(cached, KEPT):
                RecognizedRequest.admitted(self, limit_lines)  # not that of a subclass, which has called this one
                return
        if isinstance(cached, MissingIdentity):
            self.limit_lines = limit_lines
            self.started_s = work.started_s()
            self.ids = (cached.id,)
            self.proposals = 0
            fetched = cached.fetched
            work.issuer.issue_missing(self, fetched if isinstance(fetched, Issued) else None, cached.invalidations)
        elif isinstance(cached, UnknownVerdict):
            self.limit_lines = limit_lines
            self.started_s = work.started_s()
            fetched = cached.fetched
            work.look_up(cached.id, self, fetched if isinstance(fetched, LookedUp) else None)
        else:
            self._context().admitted(limit_lines)


class LoggedRequest(RecognizedRequest):
    """A recognised request that calls the access log, which may also be the spans, with each response."""

    __slots__ = ()

    def admitted(self, limit_lines: bytes) -> None:
        """Respond from the cache, and log it."""
        endpoint = self.cached.endpoint
        responses = endpoint.responses
        super().admitted(limit_lines)
        if endpoint.responses != responses:
            self._log(self.work.started_s())

    def _respond(self, body: bytes) -> None:
        super()._respond(body)
        self._log(self.started_s)

    def _log(self, started_s: float) -> None:
        seconds = self.work.monotonic() - started_s
        self.work.log(self.request(), self.request_id, self.client.key, 200, seconds)
