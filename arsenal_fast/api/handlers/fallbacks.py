"""Answers to what the table does not have, and to OPTIONS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arsenal_fast.api.problems import problem
from arsenal_fast.http.response import NO_CONTENT, line

if TYPE_CHECKING:
    from arsenal_fast.api.app import Service
    from arsenal_fast.api.context import Exchange


def not_found(service: Service, exchange: Exchange) -> None:
    exchange.respond(404, problem(404, "There is nothing at this path; /api/docs lists what there is."))


def method_not_allowed(service: Service, exchange: Exchange) -> None:
    allow = service.allowed_methods(exchange.request.path)
    exchange.respond(405, problem(405, f"This path answers to {allow} only.", lines=line("Allow", allow)))


def options(service: Service, exchange: Exchange) -> None:
    """Answer a preflight (Fetch standard) or a plain OPTIONS (RFC 9110 9.3.7); free of charge."""
    request = exchange.request
    lines = line("Allow", service.allowed_methods(request.path))
    if request.fields.origin is not None and request.fields.request_method is not None:
        lines += service.cors.preflight
    exchange.respond(NO_CONTENT, b"\r\n", lines)
