"""Handlers for operators: health, probes, metrics, telemetry.

None of these is charged, and none waits for anything: a probe that hangs with Redis would take every
replica out of service at once.
"""

from __future__ import annotations

from functools import partial
from typing import Final
from urllib.parse import urlsplit

import orjson

from arsenal_fast.api import auth, telemetry_table
from arsenal_fast.api import telemetry as figures
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.handlers import pages
from arsenal_fast.api.services import Services
from arsenal_fast.http.accept import prefers
from arsenal_fast.http.response import JSON, NO_STORE, line, tail
from arsenal_fast.observability import exposition
from arsenal_fast.observability.metrics import Metrics

_BY_ACCEPT: Final = NO_STORE + b"Vary: Accept\r\n"


def health(services: Services, context: RequestContext) -> None:
    """Respond with the state of the service and its dependencies; a browser gets the dashboard."""
    if prefers(context.request.fields.accept, "text/html", to="application/json"):
        pages.dashboard(services, context)
        return
    body = {name: figure.read(services, services.metrics) for name, figure in telemetry_table.HEALTH.items()}
    context.answer(body | figures.faults(services), 503 if services.status == "unhealthy" else 200, _BY_ACCEPT)


def live(services: Services, context: RequestContext) -> None:
    """Respond 200: the process answers."""
    context.answer({"status": "alive"})


def root(services: Services, context: RequestContext) -> None:
    """Respond with the start page to a browser, and to all others whether the service takes traffic.

    Balancers check this path unless another one is configured.
    """
    if prefers(context.request.fields.accept, "text/html", to="application/json"):
        pages.home(services, context)
    else:
        ready(services, context, _BY_ACCEPT)


def api(services: Services, context: RequestContext) -> None:
    """Redirect a browser to the API's page; respond to all others whether the service takes traffic.

    A proxy may have put the service below a prefix: the location is relative where the base URL names none.
    """
    if prefers(context.request.fields.accept, "text/html", to="application/json"):
        prefix = urlsplit(services.settings.base_url).path
        location = line("Location", f"{prefix}/api/docs" if prefix else "api/docs")
        context.respond(302, location + b"Vary: Accept\r\nContent-Length: 0\r\n\r\n")
    else:
        ready(services, context, _BY_ACCEPT)


def ready(services: Services, context: RequestContext, lines: bytes = NO_STORE) -> None:
    """Respond whether the service takes traffic, which it does without Redis too."""
    phase = figures.phase(services)
    if phase == "healthy":
        context.answer({"status": "ready"}, 200, lines)
    else:
        context.answer({"status": phase}, 503, lines)


def startup(services: Services, context: RequestContext) -> None:
    """Respond whether the service has started, also while it drains."""
    if figures.phase(services) == "starting":
        context.answer({"status": "starting"}, 503)
    else:
        context.answer({"status": "started"})


def metrics(services: Services, context: RequestContext) -> None:
    """Respond with the sum over the workers, in the format that the scraper accepts; at most a second old."""
    _demand(services, context, "The metrics")
    content_type = exposition.wanted(context.request.fields.accept)
    context.respond(200, services.totals.rendered(content_type, partial(_exposed, services, content_type)))


def _demand(services: Services, context: RequestContext, what: str) -> None:
    if services.settings.metrics_by_token:
        auth.demand(context.client, auth.METRICS, what)


def _exposed(services: Services, content_type: bytes, total: Metrics) -> bytes:
    registry = exposition.collect(
        total,
        version=services.settings.version,
        health=figures.health(services, total),
        shared=services.backend.status != figures.EMBEDDED,
        recorded=services.ledger is not None,
        workers=services.settings.workers,
    )
    return tail(content_type, exposition.render(registry, content_type), _BY_ACCEPT)


def telemetry(services: Services, context: RequestContext) -> None:
    """Respond with the same counts as JSON; at most a second old, see ``timestamp``.

    Everybody may read them with METRICS_ACCESS=open, but not the addresses of others.
    """
    _demand(services, context, "The telemetry")
    named = auth.METRICS in context.client.scopes
    context.respond(200, services.totals.rendered((JSON, named), partial(_documented, services, named)))


def _documented(services: Services, named: bool, total: Metrics) -> bytes:
    body = telemetry_table.read_telemetry(services, total, named=named)
    return tail(JSON, orjson.dumps(body), NO_STORE)


def jwks(services: Services, context: RequestContext) -> None:
    """Respond with the public keys, which may be cached for five minutes."""
    context.answer(services.keys.jwks(), lines=b"Cache-Control: public, max-age=300\r\n")
