"""``POST /api/v1/token``: a pipeline's ID token is exchanged for a short service token (RFC 8693).

Errors are those of OAuth (RFC 6749 section 5.2), which its clients read.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from arsenal_fast.api import auth
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.services import Services
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.query import parse_query
from arsenal_fast.http.response import NO_STORE
from arsenal_fast.oidc.exchange import Rejected
from arsenal_fast.oidc.rules import Rule
from arsenal_fast.ratelimit.headers import retry_after_line

log = logging.getLogger(__name__)

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 a type's name, no secret
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105

MAX_BODY: Final = 16_384
"""Bytes of a body: an ID token has 4,096 at most."""

_FORM: Final = b"application/x-www-form-urlencoded"
_PARAMETERS: Final = (
    *("grant_type", "subject_token", "subject_token_type", "requested_token_type"),
    *("scope", "audience", "resource", "actor_token", "actor_token_type"),
)
_LINES: Final = NO_STORE + b"Pragma: no-cache\r\n"  # RFC 6749 section 5.1

_Fault = tuple[str, str]
"""An error of OAuth, and its description."""


async def exchange_token(services: Services, context: RequestContext) -> None:
    """Respond with a service token for a good ID token."""
    given = _form(context)
    fault = given if isinstance(given, tuple) else _fault(given)
    if isinstance(given, tuple) or fault is not None:
        _refuse(context, *(fault or ("invalid_request", "")))
        return
    if services.exchange is None:
        _refuse(context, "unsupported_grant_type", "This service exchanges no tokens: OIDC_ISSUERS is not set.")
        return
    rule = await services.exchange.judge(given["subject_token"])
    if isinstance(rule, Rejected):
        _reject(context, rule)
        return
    scopes = granted(rule)
    if not set(given.get("scope", "").split()).issubset(scopes):
        _refuse(context, "invalid_scope", f"The rule of this token allows {' '.join(scopes)} only.")
        return
    seconds = rule.minutes * 60
    token = services.keys.mint_service(rule.subject, scopes, rule.rate_limit, seconds / 86_400, services.now())
    log.info("an ID token was exchanged for a service token of %s", rule.subject)
    answer = {
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": " ".join(scopes),
    }
    context.answer(answer, lines=_LINES)


def granted(rule: Rule) -> tuple[str, ...]:
    """Return the scopes of a rule's token: to issue its prefixes and no others."""
    return tuple(f"{auth.ISSUE}:{prefix}" for prefix in rule.prefixes)


def _form(context: RequestContext) -> dict[str, str] | _Fault:
    """Return the parameters of the body that are not empty, or what is wrong with it."""
    request = context.request
    media_type = request.fields.content_type.partition(b";")[0].strip(b" \t").lower()
    if media_type != _FORM:
        return "invalid_request", f"The body must be {_FORM.decode()}."
    if len(request.body) > MAX_BODY or not request.body.isascii():
        return "invalid_request", f"The body must be ASCII of at most {MAX_BODY} characters."
    try:
        # RFC 6749 section 3.2: unknown parameters are ignored, empty ones count as absent.
        given = parse_query(request.body, _PARAMETERS, lambda _: True)
    except ProblemError as error:
        return "invalid_request", error.detail.replace("query parameter", "parameter")
    return {name: value for name, value in given.items() if value}


def _fault(given: dict[str, str]) -> _Fault | None:
    """Return what is wrong with the parameters, but for the token itself."""
    grant = given.get("grant_type")
    if grant is None:
        return "invalid_request", "The body has no grant_type."
    if grant != GRANT:
        return "unsupported_grant_type", f"The grant_type must be {GRANT}."
    if "subject_token" not in given:
        return "invalid_request", "The body has no subject_token."
    if given.get("subject_token_type") not in (ID_TOKEN, JWT):
        return "invalid_request", f"The subject_token_type must be {ID_TOKEN} or {JWT}."
    if given.get("requested_token_type", ACCESS_TOKEN) not in (ACCESS_TOKEN, JWT):
        return "invalid_request", f"The requested_token_type must be {ACCESS_TOKEN}."
    if "actor_token" in given or "actor_token_type" in given:
        return "invalid_request", "This service does not exchange tokens for an actor."
    if "audience" in given or "resource" in given:
        return "invalid_target", "Leave out audience and resource: the token is for this service."
    return None


def _reject(context: RequestContext, rejected: Rejected) -> None:
    if rejected.temporary:
        _refuse(context, "temporarily_unavailable", rejected.sentence, 503, retry_after_line(30))
    else:
        _refuse(context, "invalid_request", rejected.sentence)  # RFC 8693 section 2.2.2


def _refuse(context: RequestContext, error: str, sentence: str, status: int = 400, lines: bytes = b"") -> None:
    body: dict[str, Any] = {"error": error, "error_description": sentence.replace('"', "'").replace("\\", "/")}
    context.answer(body, status, _LINES + lines)
