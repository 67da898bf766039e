"""The table of routes: path, handler, charge and documentation.

Routing, ``Allow``, OpenAPI, the docs page and the metrics' ``route`` label are all made from these rows, so
they can't disagree. A new endpoint is a new row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from arsenal_fast.api import auth
from arsenal_fast.api.handlers import (
    audit,
    fallbacks,
    identities,
    limits,
    operations,
    pages,
    problem_pages,
    revocation,
    token_exchange,
    tokens,
    validation,
)
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.api.problems import PATH as PROBLEMS
from arsenal_fast.api.router import Port, Route, Router
from arsenal_fast.api.services import decoded
from arsenal_fast.http.request import Request
from arsenal_fast.ratelimit.policies import ISSUE, VALIDATE


def _environments(request: Request) -> int:
    return min(request.body.count(b"{") - 1, MAX_ROWS)


def _identities(request: Request) -> int:
    return min(request.body.count(b",") + 1, MAX_ROWS) if b'"identities"' in request.body else 1


# Kinds of rows: two of the API, which are charged, those for operators, probes, and the documents.
_get: Final = partial(Route, "GET", limited=True)
_post: Final = partial(Route, "POST", limited=True)
_operators: Final = partial(Route, "GET", tag="operations", port=Port.MANAGEMENT)
_probe: Final = partial(Route, "GET", tag="operations", port=Port.BOTH)
_document: Final = partial(Route, "GET", tag="documentation")

ROUTES: Final[tuple[Route, ...]] = (
    _get(
        "/api/v1/id",
        identities.issue_one,
        "Get one identity",
        "Issues the identity, or returns the living one: the same `generated` and `expires` from every "
        "replica until less than a quarter of its TTL is left, then it is renewed. Requests that name "
        "the same `prefix` and `run` get the same identity and token. Without `run` a new one is drawn that "
        "can't be guessed; it can't be requested again, so the answer is the only one with its token, and nothing "
        "renews it. A protected prefix needs a service token of scope `issue`.",
        parameters=("prefix", "run", "domain", "version", "ttl"),
        scope=auth.ISSUE,
        group=ISSUE,
        answers={200: ("The identity.", "Identity")},
    ),
    _post(
        "/api/v1/identities",
        identities.issue_batch,
        "Get up to 1,000 identities",
        "All or nothing: one bad row and nothing is issued, and every bad row is named. Without `run` a "
        "row gets a drawn one, as in `GET /api/v1/id`. A batch is one request for the rate limit, unless a "
        "policy of the limits file counts its rows. "
        "Protected prefixes need a service token of scope `issue`.",
        rows=_environments,
        body="BatchRequest",
        scope=auth.ISSUE,
        group=ISSUE,
        answers={200: ("The identities, in the order of the environments.", "Batch")},
    ),
    _post(
        "/api/v1/validate",
        validation.validate,
        "Validate an identity, its token, both, or up to 1,000 identities",
        "`valid` is the verdict to act on. A malformed identity and a bad token are answers, not errors. A token "
        "of an earlier life that was merely renewed is good until it expires.",
        rows=_identities,
        body="ValidationRequest",
        group=VALIDATE,
        answers={200: ("The verdict, or the verdicts in the order of the identities.", "ValidationAnswer")},
    ),
    _post(
        "/api/v1/revoke",
        revocation.revoke,
        "Revoke one identity, a prefix, or everything issued so far",
        "One identity by its own token, or by a service token of scope `revoke`; a prefix or everything by a "
        "service token alone. Every replica knows it by the next request. Issuing again begins a new life; "
        "tokens of the old ones stay dead.",
        body="RevocationRequest",
        scope=auth.REVOKE,
        group="revoke",
        answers={
            200: ("What was revoked; it is in force.", "Revocation"),
            403: ("The service token lacks the scope, or the identity's token is none of its own.", "Problem"),
            404: ("There is no record of the identity.", "Problem"),
            503: ("The shared state is away, so nothing was revoked; or the service is too busy.", "Problem"),
        },
    ),
    _post(
        "/api/v1/token",
        token_exchange.exchange_token,
        "Exchange an ID token for a service token",
        "RFC 8693: the ID token of a pipeline (GitHub Actions and other issuers of OpenID Connect, as OIDC_ISSUERS has "
        "them) becomes a service token of some minutes, which may issue the protected prefixes of its rule. It "
        "is exchanged once. Errors are those of OAuth (RFC 6749 section 5.2).",
        body="TokenRequest",
        form=True,
        group="token",
        answers={
            200: ("The service token.", "TokenAnswer"),
            400: ("The request or the ID token is refused.", "TokenError"),
            503: ("The keys of the issuer can't be fetched now.", "TokenError"),
        },
    ),
    _get(
        "/api/v1/audit",
        audit.audit,
        "Read the ledger",
        "Every issue, renewal and revocation, newest first; needs a service token of scope `audit`. The cursor is "
        "stable while rows arrive. Reading is written down, too.",
        parameters=("any_prefix", "any_run", "since", "until", "limit", "cursor"),
        scope=auth.AUDIT,
        by_token_only=True,
        group="audit",
        answers={
            200: ("One page of events.", "Audit"),
            503: ("The ledger can't be read now, or there is none; or the service is too busy.", "Problem"),
        },
    ),
    _get(
        "/api/v1/tokens",
        tokens.list_tokens,
        "List service tokens",
        "The tokens that were minted, newest first, without the tokens themselves; needs a service token of scope "
        "`tokens`. Tokens leave the list when they have expired and `LEDGER_RETENTION_DAYS` are over.",
        tag="tokens",
        parameters=("subject", "limit", "token_cursor"),
        scope=auth.TOKENS,
        by_token_only=True,
        group="tokens",
        answers={
            200: ("One page of tokens.", "TokenPage"),
            503: ("The ledger can't be read now, or there is none; or the service is too busy.", "Problem"),
        },
    ),
    _post(
        "/api/v1/tokens",
        tokens.mint_token,
        "Mint a service token",
        "The token is in this response and in no other. Two tokens of one subject share one limit, so that one can "
        "take the place of the other without a gap. Needs a service token of scope `tokens`, which hands on no scope "
        "that it lacks.",
        tag="tokens",
        body="TokenOrder",
        scope=auth.TOKENS,
        by_token_only=True,
        group="tokens",
        answers={
            201: ("The token.", "MintedToken"),
            403: ("The service token lacks the scope, or one that it was to hand on.", "Problem"),
        },
    ),
    _post(
        "/api/v1/tokens/revoke",
        tokens.revoke_token,
        "Withdraw a service token, or all of a subject",
        "Every replica refuses it from the next request on. A token that is not in the list (of an earlier release) is "
        "withdrawn all the same; `arsenal-fast token inspect` tells its id. Needs a service token of scope `tokens`.",
        tag="tokens",
        body="TokenRevocation",
        scope=auth.TOKENS,
        by_token_only=True,
        group="tokens",
        answers={
            200: ("It is withdrawn.", "TokenChange"),
            503: ("Neither shared state nor ledger can be written; or the service is too busy.", "Problem"),
        },
    ),
    _post(
        "/api/v1/tokens/limit",
        tokens.limit_token,
        "Change the limit of a service token",
        "In force from the next request on, on every replica. Needs a service token of scope `tokens`.",
        tag="tokens",
        body="TokenLimit",
        scope=auth.TOKENS,
        by_token_only=True,
        group="tokens",
        answers={
            200: ("It has this limit.", "TokenChange"),
            409: ("The token has been withdrawn.", "Problem"),
            503: ("Neither shared state nor ledger can be written; or the service is too busy.", "Problem"),
        },
    ),
    Route(
        "GET",
        "/api/v1/limits",
        limits.limits,
        "See the caller's rate limit",
        "Costs nothing. With a service token, its own limit.",
        answers={200: ("The policy, what remains, and when it is whole again.", "Limits")},
    ),
    _probe(
        "/api/health",
        operations.health,
        "Health of the service and of what it stands on",
        "`degraded` still serves (200). A browser gets a page.",
        answers={
            200: ("Serving; perhaps degraded.", "Health, text/html"),
            503: ("Starting or draining.", "Health, text/html"),
        },
    ),
    _probe(
        "/api/health/live",
        operations.live,
        "Liveness: the process answers",
        "Never depends on Redis.",
        answers={200: ("Alive.", "Probe")},
    ),
    _probe(
        "/api/health/ready",
        operations.ready,
        "Readiness: send traffic here",
        "503 while starting and draining; stays 200 in degraded mode.",
        answers={200: ("Ready.", "Probe"), 503: ("Starting or draining.", "Probe")},
    ),
    _probe(
        "/api/health/startup",
        operations.startup,
        "Start-up: the process has come up",
        answers={200: ("Started.", "Probe"), 503: ("Starting.", "Probe")},
    ),
    _operators(
        "/api/metrics",
        operations.metrics,
        "Prometheus metrics",
        "Text format 0.0.4, or OpenMetrics 1.0.0 by `Accept`; the sum over the workers, at most a second old. With "
        "`METRICS_ACCESS=token` it needs a service token of scope `metrics`.",
        heavy=True,
        scope=auth.METRICS,
        answers={200: ("The metrics.", "text/plain, application/openmetrics-text")},
    ),
    _operators(
        "/api/telemetry",
        operations.telemetry,
        "The same counts as JSON",
        "At most a second old, as `timestamp` says. With `METRICS_ACCESS=token` it needs a service token of scope "
        "`metrics`.",
        heavy=True,
        scope=auth.METRICS,
        answers={200: ("The telemetry.", "Telemetry")},
    ),
    _document(
        "/api/openapi.json",
        pages.openapi,
        "This document",
        heavy=True,
        answers={200: ("OpenAPI 3.1.", "application/json"), 304: ("It has not changed.", "")},
    ),
    _document(
        "/api/docs",
        pages.docs,
        "Swagger UI",
        heavy=True,
        answers={200: ("The page.", "text/html"), 304: ("It has not changed.", "")},
    ),
    _document(
        "/.well-known/jwks.json",
        operations.jwks,
        "The public keys of identity tokens",
        "Empty while tokens are signed with a shared secret.",
        answers={200: ("The keys.", "KeySet")},
    ),
    _document(
        PROBLEMS,
        problem_pages.problems,
        "The kinds of problems",
        "Each kind has a page of its own, which the `type` of a problem resolves to. A browser gets HTML.",
        answers={200: ("All kinds.", "ProblemKinds, text/html")},
    ),
    *(Route("GET", path, problem_pages.problem, label=f"{PROBLEMS}/*") for path in problem_pages.PATHS),
    Route("GET", "/", operations.root),
    Route("GET", "/api", operations.api),
    *(Route("GET", path, pages.asset, heavy=True, port=Port.BOTH) for path in ("/favicon.ico", *pages.ASSETS)),
)


def routes_of(port: Port) -> tuple[Route, ...]:
    """Return the rows that a listener serves."""
    return tuple(route for route in ROUTES if route.port & port)


def _router(port: Port, not_found: Callable[..., object] = fallbacks.not_found) -> Router:
    return Router(
        routes_of(port),
        not_found=not_found,
        not_allowed=fallbacks.method_not_allowed,
        options=fallbacks.options,
    )


ROUTER: Final = _router(Port.BOTH)
"""All routes: of the only listener."""

API_ROUTER: Final = _router(Port.API)
"""Of the listener beside the management's."""

MANAGEMENT_ROUTER: Final = _router(Port.MANAGEMENT, fallbacks.not_found_at_management)


def label_of(request: Request) -> str | None:
    """Return the route of a request as the metrics name it; None for an unknown path."""
    try:
        route = ROUTER.match(request.method, decoded(request.path))
    except ValueError:
        return None
    return None if route.path.startswith("(") else route.label or route.path
