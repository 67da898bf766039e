"""Composes the application of one worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from arsenal_fast.api import openapi, routes, telemetry
from arsenal_fast.api.admission import Admission
from arsenal_fast.api.app import App
from arsenal_fast.api.callers import Callers
from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.cors import Cors
from arsenal_fast.api.fastpath import render
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.api.fastpath.recognized import FastPathServices, LoggedRequest, RecognizedRequest
from arsenal_fast.api.fastpath.recognizer import FastPath
from arsenal_fast.api.fastpath.response_cache import ISSUE_PATH, ResponseCache
from arsenal_fast.api.gate import Gate, GateBounds
from arsenal_fast.api.services import AccessLog, Services
from arsenal_fast.api.settings import Settings
from arsenal_fast.api.totals import SharedSum, Totals
from arsenal_fast.api.write_batch import WriteBatch
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.response import ResponseHeads
from arsenal_fast.http.template import RequestTemplates
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.cache import IdentityCache
from arsenal_fast.registry.issuer import Issuer
from arsenal_fast.registry.lookup import Lookup
from arsenal_fast.registry.revoke import Revoker
from arsenal_fast.stores.ports import Backend, Ledger
from arsenal_fast.tokens.keys import Keys


def compose(
    settings: Settings,
    backend: Backend,
    local: Backend,
    keys: Keys,
    ledger: Ledger | None = None,
    *,
    limits: Limits,
    call_soon: Callable[[Callable[[], None]], object],
    monotonic: Callable[[], float],
    now: Callable[[], float],
    snapshots: Callable[[], Iterable[bytes]] = tuple,
    shared_sum: SharedSum | None = None,
    access_log: AccessLog | None = None,
    random: Callable[[int], bytes] = os.urandom,
    gate_bounds: GateBounds = GateBounds(),  # noqa: B008  frozen
) -> App:
    """Return the application of one worker.

    Args:
        local: the worker's own memory store, used while ``backend`` is away; perhaps the same object.
        ledger: None without a ledger.
        limits: of request messages.
        call_soon: calls back at the end of this event-loop tick.
        now: wall clock, seconds since the epoch.
        snapshots: the other workers' counts, for a scrape.
        shared_sum: the sum that the workers share; None where there is one worker.
        access_log: called with every response.
    """
    metrics = Metrics()
    write_batch = WriteBatch()
    cors = Cors(settings.origins)
    clock = ResponseClock(now, ResponseHeads(_common_lines(settings, cors)))
    issue = Endpoint("GET", ISSUE_PATH)
    identities = IdentityCache(
        store=backend.identities,
        revocations=backend.revocations,
        ledger=ledger,
        capacity=settings.cache_size,
        room=settings.shares.records,
        now=now,
        make=render.factory(keys.sign_identity, issue),
        protected=settings.protected_prefixes,
    )
    backend.on_return = identities.restore
    issuer = Issuer(
        store=backend.identities,
        local_store=local.identities,
        ledger=ledger,
        cache=identities,
        call_soon=call_soon,
        now=now,
        metrics=metrics,
        write_batch=write_batch,
    )
    lookup = Lookup(store=backend.identities, ledger=ledger, cache=identities, now=now, metrics=metrics)
    response_cache = ResponseCache(
        capacity=settings.cache_size,
        shares=settings.shares,
        domain=settings.domain,
        protected=settings.protected_prefixes,
        identities=identities,
        issue=issue,
    )
    admission = Admission(
        quota=settings.quota,
        limiter=backend.limiter,
        local_limiter=local.limiter,
        on_failure=settings.on_store_failure,
        sync=identities.sync,
        call_soon=call_soon,
        monotonic=monotonic,
        now=now,
        refresh=clock.refresh,
        write_batch=write_batch,
        batch_ended=partial(response_cache.count, metrics),
        metrics=metrics,
    )
    services = Services(
        settings=settings,
        router=routes.ROUTER,
        backend=backend,
        ledger=ledger,
        keys=keys,
        metrics=metrics,
        clock=clock,
        cors=cors,
        write_batch=write_batch,
        identities=identities,
        issuer=issuer,
        lookup=lookup,
        revoker=Revoker(
            revocations=backend.revocations, ledger=ledger, cache=identities, lookup=lookup, now=now, metrics=metrics
        ),
        admission=admission,
        response_cache=response_cache,
        openapi=partial(openapi.document_bytes, settings.base_url),
        call_soon=call_soon,
        monotonic=monotonic,
        now=now,
        random=random,
        snapshots=snapshots,
        gate=Gate(gate_bounds, call_soon=call_soon, monotonic=monotonic, metrics=metrics),
        access_log=access_log,
        started_at_s=now(),
    )
    services.totals = Totals(partial(telemetry.total, services), monotonic, shared_sum)
    # Clients are small, and there are more of them than identities that are requested again.
    callers = Callers(
        quota=settings.quota,
        trusted_proxies=tuple(settings.trusted_proxies),
        clients=min(2 * settings.cache_size, settings.shares.clients),
        forwarded=min(2 * settings.cache_size, settings.shares.forwarded),
        keys=keys,
        now=now,
    )
    app = App(services, callers, queries_store=settings.quota is not None or backend is not local)
    if settings.fast_path:
        app.use(_fast_path(app, services, callers, limits))
    return app


def _fast_path(app: App, services: Services, callers: Callers, limits: Limits) -> FastPath:
    work = FastPathServices(
        cache=services.response_cache,
        issuer=services.issuer,
        clock=services.clock,
        write_batch=services.write_batch,
        metrics=services.metrics,
        monotonic=services.monotonic,
        submit=app.submit,
        started_s=services.admission.batch_started_s,
        log=services.access_log or _log_nothing,
    )
    logs = services.access_log is not None and services.settings.access_log == "all"
    return FastPath(
        app=app,
        templates=RequestTemplates(limits),
        callers=callers,
        work=work,
        request_class=LoggedRequest if logs else RecognizedRequest,
        reflected=services.cors.reflected,
    )


def _log_nothing(*_: Any) -> None:
    """Log nothing: the access log is off."""


def _common_lines(settings: Settings, cors: Cors) -> bytes:
    lines = (
        b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n" + cors.constant
    )
    if settings.base_url.startswith("https://"):
        # One year, RFC 6797; the operator's domain, so neither includeSubDomains nor preload.
        lines += b"Strict-Transport-Security: max-age=31536000\r\n"
    return lines
