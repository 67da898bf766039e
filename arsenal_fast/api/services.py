"""The services that the handlers of one worker use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from arsenal_fast.api.admission import Admission
from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.cors import Cors
from arsenal_fast.api.fastpath.response_cache import ResponseCache
from arsenal_fast.api.gate import Gate
from arsenal_fast.api.router import Router
from arsenal_fast.api.settings import Settings
from arsenal_fast.api.totals import Totals
from arsenal_fast.api.write_batch import WriteBatch
from arsenal_fast.http.grammar import METHODS
from arsenal_fast.http.query import unescape
from arsenal_fast.http.request import Request
from arsenal_fast.identity.runs import draw_run
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.cache import IdentityCache
from arsenal_fast.registry.issuer import Issuer
from arsenal_fast.registry.lookup import Lookup
from arsenal_fast.registry.revoke import Revoker
from arsenal_fast.stores.ports import Backend, Ledger
from arsenal_fast.tokens.keys import Keys

_METHODS: Final = {method: method.decode("ascii") for method in METHODS}


class AccessLog(Protocol):
    """Called with every response; decides which ones to log."""

    def __call__(self, request: Request, client: str, status: int, seconds: float) -> None: ...


@dataclass(slots=True, kw_only=True)
class Services:
    """The collaborators of one worker, and its phase.

    Put together by :func:`arsenal_fast.api.compose`.
    """

    settings: Settings
    router: Router
    backend: Backend
    ledger: Ledger | None
    keys: Keys
    metrics: Metrics
    clock: ResponseClock
    cors: Cors
    write_batch: WriteBatch
    identities: IdentityCache
    issuer: Issuer
    lookup: Lookup
    revoker: Revoker
    admission: Admission
    gate: Gate
    """Bounds the rows of batches and lists in work."""
    response_cache: ResponseCache
    openapi: Callable[[], bytes]
    """Returns the OpenAPI document as JSON."""
    call_soon: Callable[[Callable[[], None]], object]
    """Calls back at the end of this event-loop tick."""
    monotonic: Callable[[], float]
    now: Callable[[], float]
    """The wall clock, seconds since the epoch."""
    random: Callable[[int], bytes]
    """Returns a number of octets of the system's generator."""
    snapshots: Callable[[], Iterable[bytes]]
    """Returns the counts of the other workers, for a scrape."""
    access_log: AccessLog | None
    totals: Totals = field(init=False)
    """The cached sum over the workers; set by the composition."""
    started_at_s: float = 0.0
    ready: bool = False
    """Set by the server once it listens."""
    draining: bool = False
    """Set on SIGTERM: responses close their connections, health reports it."""

    def now_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return int(self.now() * 1000)

    def draw_run(self) -> str:
        """Draw a unique run that can't be guessed."""
        return draw_run(self.now_ms(), self.random)

    def ended(self, context: RequestContext, status: int, seconds: float) -> None:
        """Count a response and log it."""
        route, request = context.route, context.request
        method = _METHODS.get(request.method, "OTHER")
        self.metrics.observe("(unmatched)" if route is None else route.path, method, status, seconds)
        if self.access_log is not None:
            self.access_log(request, context.client.key, status, seconds)

    @property
    def status(self) -> str:
        """``healthy``, ``degraded`` (serving without its shared state) or ``unhealthy`` (takes no traffic)."""
        if self.draining or not self.ready:
            return "unhealthy"
        whole = self.backend.healthy and (self.ledger is None or self.ledger.healthy)
        return "healthy" if whole else "degraded"

    @property
    def ledger_status(self) -> str:
        """One word."""
        return "disabled" if self.ledger is None else self.ledger.status


def decoded(path: bytes) -> bytes:
    """Return a path without escapes; raises ValueError where it can't be read."""
    return unescape(path).encode() if b"%" in path else path
