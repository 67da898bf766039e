"""The service behind the server: it takes exchanges and ends them.

This is where the parts of one worker meet: routes, limiter, identities, counters. It reads no clock, no
socket and no environment; clocks and stores come in through the constructor.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Final

from arsenal_fast.api import auth
from arsenal_fast.api.admission import Admission
from arsenal_fast.api.context import Exchange
from arsenal_fast.api.cors import Cors
from arsenal_fast.api.fastpath.cached_batch import Batch
from arsenal_fast.api.fastpath.render import Record
from arsenal_fast.api.fastpath.response_cache import Recognition
from arsenal_fast.api.fastpath.write_batch import Departures
from arsenal_fast.api.gate import Gate, GateBounds
from arsenal_fast.api.json_body import may_be_json
from arsenal_fast.api.problems import problem
from arsenal_fast.api.routes import API, Route, allowed_methods, match
from arsenal_fast.api.settings import Settings
from arsenal_fast.api.totals import Totals
from arsenal_fast.cache import GenerationalCache
from arsenal_fast.http.grammar import METHODS
from arsenal_fast.http.query import unescape
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.http.response import Starts
from arsenal_fast.identity.runs import draw_run
from arsenal_fast.observability import telemetry
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.ratelimit.client import Client, ClientAddresses, TokenHolder
from arsenal_fast.ratelimit.headers import retry_after_line
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.registry.lookup import Directory
from arsenal_fast.stores.ports import AccessLog, Backend, Ledger, SharedSum, TokenKeys
from arsenal_fast.tokens.cache import VerifiedTokens
from arsenal_fast.tokens.claims import ServiceToken

log = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}+").fullmatch
"""What is echoed: visible ASCII, so that it can end no line, and not too long."""

MAX_REMEMBERED_HOPS: Final = 128
"""Octets of an X-Forwarded-For whose client is remembered: two or three hops; longer ones are worked out anew."""

TOKENS: Final = 1024
"""Service tokens whose client is remembered."""

_FREE: Final = Quota(1, 1)
"""Stands in a Client while the limiter is off; nothing reads it."""


class Service:
    """One worker's service."""

    def __init__(
        self,
        settings: Settings,
        backend: Backend,
        spare: Backend,
        keys: TokenKeys,
        ledger: Ledger | None = None,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float],
        now: Callable[[], float],
        snapshots: Callable[[], Iterable[bytes]] | None = None,
        shared_sum: SharedSum | None = None,
        access_log: AccessLog | None = None,
        random: Callable[[int], bytes] = os.urandom,
        gate_bounds: GateBounds = GateBounds(),  # noqa: B008  frozen
    ) -> None:
        """``spare``: the worker's own memory, for when ``backend`` is away; the same object where there is no
        other. ``ledger``: None keeps none. ``now``: wall clock, seconds.

        ``snapshots``: the counts of the other workers, for a scrape, and ``shared_sum``: where they share their sum;
        ``access_log``: told of every answer.
        ``random``: so many octets that nobody can guess.
        """
        self.settings = settings
        self.backend = backend
        self.keys = keys
        self.ledger = ledger
        self.call_soon = call_soon
        self.monotonic = monotonic
        self.now = now
        self.snapshots = snapshots or tuple
        self.metrics = Metrics()
        self.totals = Totals(partial(telemetry.total, self), monotonic, shared_sum)
        self.gate = Gate(gate_bounds, call_soon=call_soon, monotonic=monotonic, metrics=self.metrics)
        """What batches and lists wait at."""
        self.departures = Departures()
        self.cors = Cors(settings.origins)
        self.starts = Starts(_common_lines(settings, self.cors))
        self.started_at = now()
        self.ready = False
        """Set by the server once it listens."""
        self.draining = False
        """Set on SIGTERM: answers close their connections, health says so."""
        self.directory = Directory(
            store=backend.identities,
            spare=spare.identities,
            revocations=backend.revocations,
            ledger=ledger,
            capacity=settings.cache_size,
            room=settings.shares.records,
            call_soon=call_soon,
            now=now,
            metrics=self.metrics,
            departures=self.departures,
            sign=keys.sign_identity,
            protected=settings.protected_prefixes,
        )
        backend.on_return = self.directory.restore
        self.recognition = Recognition(
            capacity=settings.cache_size,
            shares=settings.shares,
            domain=settings.domain,
            issues=ledger is None,  # which would want to know who asked
            protected=settings.protected_prefixes,
            issuing=self.directory.issuing,
            records=self.directory.records,
            sign=keys.sign_identity,
            starts=self.starts,
            refresh=self.refresh,
            monotonic=monotonic,
            metrics=self.metrics,
        )
        self.prepared = self.recognition.prepared
        self.verdicts = self.recognition.verdicts
        self.batches = self.recognition.batches
        self.admission = Admission(
            quota=settings.quota,
            limiter=backend.limiter,
            spare=spare.limiter,
            on_failure=settings.on_store_failure,
            call_soon=call_soon,
            monotonic=monotonic,
            refresh=self.refresh,
            departures=self.departures,
            starts=self.starts,
            metrics=self.metrics,
            hit=self.recognition.count,
            issue=self.recognition.issue,
            revisions=self.directory.revisions,
            now=now,
        )
        self._admits = settings.quota is not None or backend is not spare
        """Whether anybody has to be asked before an answer: about the limit, or what was revoked elsewhere."""
        self.admit_prepared = self.admission.submit if self._admits else self.admission.pass_unlimited
        """Takes an exchange with a record to answer with, whose request was recognised by its octets.

        The exchange is one that was answered before, on the same connection and with fields of the same shape.
        """
        self._tokens = VerifiedTokens(keys)
        self._holders: GenerationalCache[ServiceToken, Client] = GenerationalCache(TOKENS)
        self._quota = settings.quota or _FREE
        self._addresses = ClientAddresses(settings.trusted_proxies)
        # Clients are small, and there are more of them than identities that are asked for again.
        most, shares = 2 * settings.cache_size, settings.shares
        self._clients: GenerationalCache[bytes, Client] = GenerationalCache(min(most, shares.clients))
        self.forwarded: GenerationalCache[bytes, Client] = GenerationalCache(min(most, shares.forwarded))
        """Clients by the X-Forwarded-For with which a trusted peer tells of them."""
        self._random = random
        self._access_log = access_log
        self.short_way = settings.access_log != "all"
        """Whether requests may be recognised by their octets."""

    # What a connection calls.

    def trusts(self, peer: str) -> bool:
        """Whether the peer's X-Forwarded-For is believed."""
        return self._addresses.trusts(peer)

    def client(self, peer: str, forwarded_for: bytes | None) -> Client:
        """Return the address that a request is charged to.

        One object per key, or per X-Forwarded-For of a trusted peer, while it is remembered: two objects of one key
        share its cell, and only what is denied is remembered twice.
        """
        if forwarded_for is not None and self._addresses.trusts(peer):
            return self.forwarded_client(peer, forwarded_for)
        return self._client(self._addresses.key(peer, None))

    def forwarded_client(self, peer: str, forwarded_for: bytes) -> Client:
        """Return the client that a trusted peer tells of."""
        client = self.forwarded.get(forwarded_for)
        if client is not None:
            return client
        key = self._addresses.forwarded_key(forwarded_for)
        # Where the peer itself is charged, the field says nothing of value; and another peer's would mean another.
        if key is None:
            return self._client(self._addresses.key(peer, None))
        if len(forwarded_for) > MAX_REMEMBERED_HOPS:
            return self._client(key)
        client = Client(key, self._quota)
        self.forwarded.offer(forwarded_for, client)
        return client

    def _client(self, key: bytes) -> Client:
        client = self._clients.get(key)
        if client is None:
            client = Client(key, self._quota)
            self._clients.put(key, client)
        return client

    def begin(self, exchange: Exchange) -> None:
        """Take a request; the exchange's connection hears of the answer, now or later."""
        request = exchange.request
        fields = request.fields
        exchange.extra = self.echo(fields)
        if fields.authorization is not None:
            self._identify(exchange, fields.authorization)
        try:
            exchange.route = route = self.route_of(request)
        except ValueError as error:
            exchange.respond(400, problem(400, f"The path can't be read: {error}."))
            return
        if exchange.refusal is not None and not self._reads_tokens(route, request.path):
            exchange.refusal = None
        if not route.limited and exchange.refusal is None:
            exchange.handle()
        elif self._admits:
            self.admission.submit(exchange)
        else:
            exchange.admitted(b"")

    def _reads_tokens(self, route: Route, path: bytes) -> bool:
        """Whether a request with a bad token is refused for it; probes and pages read none."""
        if self.settings.metrics_by_token and route.operation is not None and route.operation.scope == auth.METRICS:
            return True
        return _decoded(path).startswith(API)

    def route_of(self, request: Request) -> Route:
        """The row that answers a request; raises ValueError where its path can't be read."""
        path = request.path
        return match(request.method, _decoded(path) if b"%" in path else path)

    def may_answer(self, record: Record | Batch, client: Client) -> bool:
        """Whether a record may be handed to this client."""
        return not record.guarded or auth.ISSUE in client.scopes

    def may_repeat(self, exchange: Exchange) -> bool:
        """Whether requests that look like this one may be told by their octets.

        Such a request may be answered by a record. That is logged nowhere, does not say ``close``, and takes a body for
        JSON.
        """
        return (
            exchange.refusal is None and self.short_way and not self.draining and may_be_json(exchange.request.fields)
        )

    def echo(self, fields: Fields) -> bytes:
        """Return the lines that a request's own fields cause."""
        lines = self.cors.reflected(fields.origin)
        return lines + request_id_line(fields.request_id) if fields.request_id else lines

    def malformed(self, status: int, detail: str, origin: bytes | None = None) -> bytes:
        """Return the whole answer to octets that are no request, or are none yet; the connection closes after it.

        ``origin``: the Origin field, where one is known.
        """
        self.refresh()
        self.metrics.observe("(malformed)", "OTHER", status, 0.0)
        lines = retry_after_line(1) if status == HTTPStatus.SERVICE_UNAVAILABLE else b""
        cors = self.cors.reflected(origin)
        return self.starts.start(status) + cors + b"Connection: close\r\n" + problem(status, detail, lines=lines)

    def overloaded(self) -> bytes:
        """Return the whole answer to a connection that is one too many."""
        self.refresh()
        self.metrics.observe("(shed)", "OTHER", 503, 0.0)
        detail = "This worker serves as many connections as it can; try again in a second."
        return self.starts.start(503) + b"Connection: close\r\n" + problem(503, detail, lines=retry_after_line(1))

    # What exchanges and handlers call.

    def refresh(self) -> None:
        """Bring the Date of the answers up to the second."""
        second = int(self.now())
        if second != self.starts.second:
            self.starts.at(second)

    def now_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return int(self.now() * 1000)

    def draw_run(self) -> str:
        """Return a run that nobody else has or can guess."""
        return draw_run(self.now_ms(), self._random)

    def allowed_methods(self, path: bytes) -> str:
        """Return the value of ``Allow`` for a path as it was sent."""
        return allowed_methods(_decoded(path))

    def ended(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Count an answer and log it."""
        route = exchange.route
        method = _METHODS.get(exchange.request.method, "OTHER")
        self.metrics.observe("(unmatched)" if route is None else route.path, method, status, seconds)
        if self._access_log is not None:
            self._access_log(exchange.request, exchange.client.key, status, seconds)

    @property
    def status(self) -> str:
        """``healthy``, ``degraded`` (serving without its shared state) or ``unhealthy`` (not to be sent traffic)."""
        if self.draining or not self.ready:
            return "unhealthy"
        whole = self.backend.healthy and (self.ledger is None or self.ledger.healthy)
        return "healthy" if whole else "degraded"

    @property
    def ledger_status(self) -> str:
        """One word."""
        return "disabled" if self.ledger is None else self.ledger.status

    def _identify(self, exchange: Exchange, authorization: bytes) -> None:
        """Charge the request to the subject of its service token, or note why the token is refused."""
        octets = auth.bearer(authorization)
        if octets is None:
            exchange.refusal = auth.unread(authorization)
            return
        token = self._tokens.verify(octets, self.now())
        if not isinstance(token, ServiceToken):
            exchange.refusal = auth.refused(token)
            return
        client = self._holders.get(token)
        if client is None:
            quota = self.settings.quota
            if quota is not None:
                # Not more than one request a microsecond, which is the limiter's grain.
                quota = Quota(min(token.rate_limit, quota.window * 1_000_000), quota.window)
            client = TokenHolder(auth.holder(token), quota or _FREE, token.scopes, token.expires)
            self._holders.put(token, client)
        exchange.client = client


_METHODS: Final = {method: method.decode("ascii") for method in METHODS}


def _decoded(path: bytes) -> bytes:
    return unescape(path).encode() if b"%" in path else path


def request_id_line(request_id: bytes) -> bytes:
    """Return the line that echoes a request id; empty where it holds what no identifier should."""
    return b"X-Request-Id: %b\r\n" % request_id if _REQUEST_ID(request_id) else b""


def _common_lines(settings: Settings, cors: Cors) -> bytes:
    lines = (
        b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n" + cors.constant
    )
    if settings.base_url.startswith("https://"):
        # One year, RFC 6797; the operator's domain, so neither includeSubDomains nor preload.
        lines += b"Strict-Transport-Security: max-age=31536000\r\n"
    return lines
