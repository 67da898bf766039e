"""What the people who run the service ask: health, probes, metrics, telemetry.

None of these is charged, and none waits for anything: a probe that hangs with Redis would take every
replica out of service at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import orjson

from arsenal_fast.api import auth
from arsenal_fast.api.handlers import pages
from arsenal_fast.http.accept import prefers
from arsenal_fast.http.response import JSON, tail
from arsenal_fast.observability import exposition
from arsenal_fast.observability import telemetry as told

if TYPE_CHECKING:
    from arsenal_fast.api.app import Service
    from arsenal_fast.api.context import Exchange
    from arsenal_fast.observability.metrics import Metrics

_NO_STORE: Final = b"Cache-Control: no-store\r\n"
_BY_ACCEPT: Final = _NO_STORE + b"Vary: Accept\r\n"


def health(service: Service, exchange: Exchange) -> None:
    """Answer with the state of the service and what it stands on; a browser gets the dashboard."""
    if prefers(exchange.request.fields.accept, "text/html", to="application/json"):
        pages.dashboard(service, exchange)
        return
    status = service.status
    body: dict[str, object] = {
        "status": status,
        "services": told.services(service),
        "uptime": told.uptime(service),
        "version": service.settings.version,
    }
    if reasons := told.reasons(service):
        body["reasons"] = reasons
    exchange.respond(503 if status == "unhealthy" else 200, tail(JSON, orjson.dumps(body), _BY_ACCEPT))


def live(service: Service, exchange: Exchange) -> None:
    """Say that the process answers."""
    _probe(exchange, 200, "alive")


def ready(service: Service, exchange: Exchange) -> None:
    """Say whether traffic may come; also without Redis it may."""
    phase = told.phase(service)
    if phase == "healthy":
        _probe(exchange, 200, "ready")
    else:
        _probe(exchange, 503, phase)


def startup(service: Service, exchange: Exchange) -> None:
    """Say whether the service has come up; one that drains had."""
    if told.phase(service) == "starting":
        _probe(exchange, 503, "starting")
    else:
        _probe(exchange, 200, "started")


def metrics(service: Service, exchange: Exchange) -> None:
    """Answer with the sum over the workers, in the format that the scraper wants; at most a second old."""
    _demand(service, exchange, "The metrics")
    content_type = exposition.wanted(exchange.request.fields.accept)
    exchange.respond(200, service.totals.rendered(content_type, partial(_exposed, service, content_type)))


def _demand(service: Service, exchange: Exchange, what: str) -> None:
    if service.settings.metrics_by_token:
        auth.demand(exchange.client, auth.METRICS, what)


def _exposed(service: Service, content_type: bytes, total: Metrics) -> bytes:
    registry = exposition.collect(
        total,
        version=service.settings.version,
        health=told.health(service, total),
        shared=service.backend.status != told.EMBEDDED,
        recorded=service.ledger is not None,
        workers=service.settings.workers,
    )
    return tail(content_type, exposition.render(registry, content_type), _BY_ACCEPT)


def telemetry(service: Service, exchange: Exchange) -> None:
    """Answer with the same counts as JSON; at most a second old, as its ``timestamp`` says."""
    _demand(service, exchange, "The telemetry")
    exchange.respond(200, service.totals.rendered(JSON, partial(_documented, service)))


def _documented(service: Service, total: Metrics) -> bytes:
    return tail(JSON, orjson.dumps(told.document(service, total)), _NO_STORE)


def _probe(exchange: Exchange, status: int, word: str) -> None:
    exchange.respond(status, tail(JSON, orjson.dumps({"status": word}), _NO_STORE))


def jwks(service: Service, exchange: Exchange) -> None:
    """Answer with the public keys; others may keep them for five minutes."""
    exchange.respond(200, tail(JSON, orjson.dumps(service.keys.jwks()), b"Cache-Control: public, max-age=300\r\n"))
