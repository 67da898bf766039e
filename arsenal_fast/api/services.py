"""The services that the handlers of one worker use, and how they are put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from arsenal_fast.api import problems, request_id
from arsenal_fast.api.admission import Admission
from arsenal_fast.api.batches import Traffic
from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.cors import Cors
from arsenal_fast.api.fastpath import render
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.api.fastpath.response_cache import ISSUE_PATH, ResponseCache
from arsenal_fast.api.gate import Gate, GateBounds
from arsenal_fast.api.history import History
from arsenal_fast.api.limits import RequestLimits
from arsenal_fast.api.settings import Settings
from arsenal_fast.api.shards import ShardedAdmission
from arsenal_fast.api.totals import Totals
from arsenal_fast.api.write_batch import WriteBatch
from arsenal_fast.http.grammar import METHODS
from arsenal_fast.http.query import names_of, unescape
from arsenal_fast.http.request import Request
from arsenal_fast.http.response import ResponseHeads
from arsenal_fast.identity.runs import draw_run
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.oidc.exchange import Exchange
from arsenal_fast.oidc.issuer_keys import Fetch
from arsenal_fast.ratelimit.policies import ISSUE
from arsenal_fast.ratelimit.quota import UNLIMITED
from arsenal_fast.registry.cache import IdentityCache
from arsenal_fast.registry.fetched import FetchedLives
from arsenal_fast.registry.issuer import Issuer
from arsenal_fast.registry.lookup import Lookup
from arsenal_fast.registry.revocation_sync import RevocationSync
from arsenal_fast.registry.revoke import Revoker
from arsenal_fast.registry.service_tokens import ServiceTokens
from arsenal_fast.stores.ports import Backend, Ledger, Limiter, Shard, ShardedBackend
from arsenal_fast.tokens.keys import Keys

PLANNED_SHARE: Final = 4
"""With a limits file a quarter of the memory of cached clients is for callers, and the rest for their clients under its
policies, each of which takes as much as three."""

_METHODS: Final = {method: method.decode("ascii") for method in METHODS}


AccessLog = Callable[[Request, str, str, int, float], None]
"""Called with every response (request, its id, client, status, seconds); decides which ones to log or trace."""


@dataclass(kw_only=True)
class Services:
    """What the handlers of one worker use, made from its stores and clocks, and the worker's phase."""

    settings: Settings
    backend: Backend | ShardedBackend
    local: Backend
    """The worker's own memory store, used while ``backend`` is away; perhaps the same object."""
    keys: Keys
    ledger: Ledger | None = None
    call_soon: Callable[[Callable[[], None]], object]
    """Calls back at the end of this event-loop tick."""
    monotonic: Callable[[], float]
    now: Callable[[], float]
    """The wall clock, seconds since the epoch."""
    random: Callable[[int], bytes] = os.urandom
    """Returns a number of bytes of the system's generator."""
    snapshots: Callable[[], Iterable[bytes]] = tuple
    """Returns the counts of the other workers, for a scrape."""
    access_log: AccessLog | None = None
    """Called with every response."""
    fetch_keys: Fetch | None = None
    """Fetches the keys of the issuers of OIDC_ISSUERS."""
    gate_bounds: GateBounds = GateBounds()  # noqa: RUF009  frozen
    openapi: Callable[[], bytes] = field(init=False)
    """Returns the OpenAPI document as JSON."""
    totals: Totals = field(init=False)
    """The cached sum over the workers. This and the one before are set by :mod:`arsenal_fast.api.compose`."""
    ready: bool = False
    """Set by the server once it listens."""
    draining: bool = False
    """Set on SIGTERM: responses close their connections, health reports it."""

    def __post_init__(self) -> None:
        settings, backend, ledger, now = self.settings, self.backend, self.ledger, self.now
        self.started_at_s = now()
        self.metrics = metrics = Metrics()
        metrics.heaviest.begun_s = metrics.most_refused.begun_s = self.monotonic()
        self.stale_files: set[str] = set()
        """Variables whose file has been changed and is refused: what it had before is in force."""
        self.write_batch = WriteBatch(self.call_soon)
        self.history = History()
        self.id_lines = request_id.lines(self.random)
        """The lines of the ids that are made here, each of which is taken once."""
        self.ignored_parameters = names_of(settings.ignored_parameters)
        """Says whether an unknown query parameter passes."""
        self.problem_types = f"{urlsplit(settings.base_url).path}{problems.PATH}/"
        self.cors = Cors(settings.origins)
        self.clock = ResponseClock(now, ResponseHeads(_common_lines(settings, self.cors)))
        issue = Endpoint("GET", ISSUE_PATH, ISSUE)
        shards: Sequence[Shard] = backend.shards if isinstance(backend, ShardedBackend) else (backend,)
        self.identities = IdentityCache(
            store=backend.identities,
            revocations=shards[0].revocations,
            ledger=ledger,
            capacity=settings.cache_size,
            room=settings.shares.records,
            now=now,
            make=render.factory(self.keys.sign_identity, issue),
            protected=settings.protected_prefixes,
            shard_of=backend.shard_of_identity if isinstance(backend, ShardedBackend) else None,
        )
        backend.on_return = self._store_returned
        self.issuer = Issuer(
            store=backend.identities,
            local_store=self.local.identities,
            ledger=ledger,
            cache=self.identities,
            call_soon=self.call_soon,
            now=now,
            metrics=metrics,
            write_batch=self.write_batch,
        )
        self.fetched = FetchedLives(cache=self.identities, has_ledger=ledger is not None, now=now, metrics=metrics)
        self.lookup = Lookup(
            store=backend.identities,
            ledger=ledger,
            cache=self.identities,
            now=now,
            metrics=metrics,
            gather_responses=self._gather_responses,
            call_soon=self.call_soon,
        )
        self.revoker = Revoker(
            revocations=backend.revocations,
            ledger=ledger,
            cache=self.identities,
            lookup=self.lookup,
            now=now,
            metrics=metrics,
        )
        self.response_cache = ResponseCache(
            capacity=settings.cache_size,
            shares=settings.shares,
            domain=settings.domain,
            protected=settings.protected_prefixes,
            identities=self.identities,
            issue=issue,
            sign=self.keys.sign_identity,
        )
        quota, policies = settings.quota, settings.policies
        self.address_quota = UNLIMITED if quota is None or policies is not None else quota
        """The quota of an address by itself."""
        self.token_window = None if quota is None and policies is None else settings.token_window
        """Seconds of the windows of service tokens; None where no client is limited."""
        if quota is not None:
            self.token_window = quota.window
        self.admission = self._admission(backend)
        self.limits: RequestLimits | None = None
        """What requests are charged to where there is a limits file."""
        if policies is not None:
            self.limits = RequestLimits(
                policies,
                shards=len(shards),
                clients=max(settings.shares.clients // PLANNED_SHARE, 1),
                ignored=self.ignored_parameters,
            )
        self.service_tokens = ServiceTokens(
            keys=self.keys,
            revocations=backend.revocations,
            ledger=ledger,
            amendments=self.identities.sync.amendments,
            now=now,
            used=self.admission.used_tokens,
        )
        self.exchange: Exchange | None = None
        """Judges ID tokens; None: none are exchanged."""
        if settings.oidc_rules is not None and self.fetch_keys is not None:
            self.exchange = Exchange(
                settings.oidc_rules,
                fetch=self.fetch_keys,
                limiter_of=self._limiter_of,
                local_limiter=self.local.limiter,
                monotonic=self.monotonic,
                now=now,
            )
        self.gate = Gate(self.gate_bounds, call_soon=self.call_soon, monotonic=self.monotonic, metrics=metrics)
        """Bounds the rows of batches and lists in work."""

    def note_file(self, name: str, good: bool) -> None:
        """Note that the file of a variable was read again: it is in force, or refused."""
        if good:
            self.stale_files.discard(name)
            self.metrics.files_read += 1
        else:
            self.stale_files.add(name)
            self.metrics.files_refused += 1
        self.metrics.files_stale = len(self.stale_files)

    def _gather_responses(self) -> None:
        self.clock.refresh()
        self.write_batch.hold()

    def _store_returned(self) -> None:
        self.identities.restore()
        self.identities.share_amendments()

    def _admission(self, backend: Backend | ShardedBackend) -> Admission | ShardedAdmission:
        def make(shard: Shard, sync: RevocationSync, refresh: Callable[[], None]) -> Admission:
            return Admission(
                quota=self.address_quota,
                limiter=shard.limiter,
                local_limiter=self.local.limiter,
                on_failure=self.settings.on_store_failure,
                sync=sync,
                call_soon=self.call_soon,
                monotonic=self.monotonic,
                now=self.now,
                invalidations=partial(getattr, identities, "invalidations"),
                keep=self.fetched.keep,
                refresh=refresh,
                write_batch=self.write_batch,
                batch_ended=partial(self.response_cache.count, self.metrics),
                traffic=traffic,
                metrics=self.metrics,
            )

        refresh, identities, traffic = self.clock.refresh, self.identities, Traffic()
        if not isinstance(backend, ShardedBackend):
            return make(backend, identities.sync, refresh)
        shards = backend.shards
        syncs = [identities.sync, *(identities.follow(shard.revocations) for shard in shards[1:])]
        return ShardedAdmission(
            len(shards),
            lambda number, go_on: make(shards[number], syncs[number], go_on),
            shard_of=backend.shard_of,
            refresh=refresh,
        )

    def _limiter_of(self, key: bytes) -> Limiter:
        """Return the shared limiter of a client by its key."""
        backend = self.backend
        return backend.shards[backend.shard_of(key)].limiter if isinstance(backend, ShardedBackend) else backend.limiter

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
        self.metrics.observe("(unmatched)" if route is None else route.label or route.path, method, status, seconds)
        if self.access_log is not None:
            self.access_log(request, context.request_id, context.client.key, status, seconds)

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


def _common_lines(settings: Settings, cors: Cors) -> bytes:
    lines = (
        b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n" + cors.constant
    )
    if settings.base_url.startswith("https://"):
        # One year, RFC 6797; the operator's domain, so neither includeSubDomains nor preload.
        lines += b"Strict-Transport-Security: max-age=31536000\r\n"
    return lines
