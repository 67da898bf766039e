"""Composes the application of one worker."""

from __future__ import annotations

from functools import partial
from typing import Any

from arsenal_fast.api import openapi, routes, telemetry
from arsenal_fast.api.app import App
from arsenal_fast.api.callers import Callers
from arsenal_fast.api.fastpath.recognized import FastPathServices, LoggedRequest, RecognizedRequest
from arsenal_fast.api.fastpath.recognizer import FastPath
from arsenal_fast.api.handlers import validation
from arsenal_fast.api.services import PLANNED_SHARE, Services
from arsenal_fast.api.totals import Totals
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.template import RequestTemplates
from arsenal_fast.observability.multiprocess import SharedCounters


def compose(services: Services, limits: Limits, counters: SharedCounters | None = None) -> App:
    """Return the application of one worker.

    Args:
        limits: of request messages.
        counters: what the workers share; None where there is one worker.
    """
    settings = services.settings
    router = routes.API_ROUTER if settings.management else routes.ROUTER
    services.openapi = partial(openapi.document_bytes, settings.base_url, router.routes)
    services.totals = Totals(partial(telemetry.total, services), services.monotonic, counters)
    # Clients are small, and there are more of them than identities that are requested again.
    most = settings.shares.clients // (1 if services.limits is None else PLANNED_SHARE)
    callers = Callers(
        quota=services.address_quota,
        token_window=services.token_window,
        trusted_proxies=tuple(settings.trusted_proxies),
        clients=max(1, min(2 * settings.cache_size, most)),
        forwarded=min(2 * settings.cache_size, settings.shares.forwarded),
        keys=services.keys,
        amendments=services.identities.sync.amendments,
        now=services.now,
    )
    queries_store = services.token_window is not None or services.backend is not services.local
    app = App(services, router, callers, queries_store=queries_store)
    if settings.fast_path:
        app.use(_fast_path(app, services, callers, limits))
    return app


def management(app: App) -> App:
    """Return the application of the management listener beside this one."""
    return app.beside(routes.MANAGEMENT_ROUTER)


def _fast_path(app: App, services: Services, callers: Callers, limits: Limits) -> FastPath:
    work = FastPathServices(
        cache=services.response_cache,
        remember=services.identities.remember,
        issuer=services.issuer,
        look_up=services.lookup.submit,
        verdict=partial(validation.verdict, services),
        clock=services.clock,
        count_soon=partial(
            services.call_soon, partial(services.response_cache.count_late, services.metrics, services.monotonic)
        ),
        monotonic=services.monotonic,
        submit=app.submit,
        started_s=services.admission.batch_started_s,
        log=services.access_log or _log_nothing,
        id_lines=services.id_lines,
    )
    settings = services.settings
    logs = services.access_log is not None and (settings.access_log == "all" or settings.traces)
    return FastPath(
        app=app,
        templates=RequestTemplates(limits),
        callers=callers,
        work=work,
        request_class=LoggedRequest if logs else RecognizedRequest,
        reflected=services.cors.reflected,
        limits=services.limits,
    )


def _log_nothing(*_: Any) -> None:
    """Log nothing: the access log is off."""
