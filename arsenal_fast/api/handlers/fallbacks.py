"""Handlers of unknown paths, wrong methods and OPTIONS."""

from __future__ import annotations

from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.services import Services, decoded
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.response import NO_CONTENT, line


def not_found(services: Services, context: RequestContext) -> None:
    context.refuse(ProblemError(404, "There is nothing at this path; /api/docs lists what there is."))


def not_found_at_management(services: Services, context: RequestContext) -> None:
    context.refuse(ProblemError(404, "There is nothing at this path of the management port; /api/health is its page."))


def method_not_allowed(services: Services, context: RequestContext) -> None:
    allow = context.app.router.allowed_methods(decoded(context.request.path))
    context.refuse(ProblemError(405, f"This path answers to {allow} only.", lines=line("Allow", allow)))


def options(services: Services, context: RequestContext) -> None:
    """Respond to a preflight (Fetch standard) or a plain OPTIONS (RFC 9110 9.3.7); not charged."""
    request = context.request
    lines = line("Allow", context.app.router.allowed_methods(decoded(request.path)))
    if request.fields.origin is not None and request.fields.request_method is not None:
        lines += services.cors.preflight
    context.respond(NO_CONTENT, b"\r\n", lines)
