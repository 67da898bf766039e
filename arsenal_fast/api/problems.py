"""Problem responses (RFC 9457, ``application/problem+json``), and the table of their kinds.

A detail is a sentence for the client's developer. It quotes nothing of ours (paths, types, addresses, texts of Redis)
and nothing of the request.

The ``type`` of a problem is ``/problems/`` and the name of its kind, behind the path of API_BASE_URL: a reference with
the full path (RFC 9457 section 3.1.1), so it resolves on whichever host the service was asked. The pages there, the
OpenAPI document and ``docs/problems.md`` are renderings of the table.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from arsenal_fast.errors import ProblemError
from arsenal_fast.http.query import UNKNOWN as UNKNOWN_PARAMETER
from arsenal_fast.http.response import NO_STORE, PROBLEM, tail
from arsenal_fast.ratelimit.headers import retry_after_line
from arsenal_fast.ratelimit.quota import SUBJECT_POLICY, Quota

PATH: Final = "/problems"
"""Path of the pages of all kinds; of one kind with a slash and its name."""


class Kind(NamedTuple):
    """One kind of problem."""

    name: str
    status: int
    title: str
    meaning: str
    """What has happened."""
    remedy: str
    """What the client can do."""


MALFORMED: Final = "malformed-request"
TOKEN_REQUIRED: Final = "token-required"  # noqa: S105 a name, no secret
REFUSED_TOKEN: Final = "identity-token-refused"  # noqa: S105
UNKNOWN_IDENTITY: Final = "unknown-identity"
NO_LEDGER: Final = "no-ledger"

_KINDS: Final = (
    Kind(
        "invalid-request",
        400,
        "Parameters or members of the request are invalid",
        "A query parameter or a member of the body is missing, unknown, repeated, or has a value out of range.",
        "Correct what `errors` names, by parameter or JSON pointer. Nothing was done, so the request can be repeated.",
    ),
    Kind(
        UNKNOWN_PARAMETER,
        400,
        "The query has a parameter that is not known",
        "The query names a parameter that this path does not have; it is probably misspelt. Tracking parameters "
        "(`utm_*`, `gclid` and the like, as IGNORED_PARAMETERS has them) pass.",
        "Take the name that `errors` proposes, or leave the parameter out.",
    ),
    Kind(
        MALFORMED,
        400,
        "The request can't be read",
        "The bytes are no valid HTTP/1.1 request, or the path has a bad escape. Unless it is the path alone, the "
        "connection is closed.",
        "Use an HTTP client library, and look at proxies in between.",
    ),
    Kind(
        "invalid-token",
        401,
        "The service token is refused",
        "`Authorization` has no service token of this service, or one that has expired. `detail` has the reason.",
        "Send a service token that is in force, or none where none is needed.",
    ),
    Kind(
        TOKEN_REQUIRED,
        401,
        "A service token is required",
        "The request is for holders of a service token, and none was sent.",
        "Send `Authorization: Bearer` with a service token of the scope that `WWW-Authenticate` names.",
    ),
    Kind(
        "insufficient-scope",
        403,
        "The service token does not allow this",
        "The service token is in force and lacks the scope.",
        "Use a token of the scope that `WWW-Authenticate` names.",
    ),
    Kind(
        REFUSED_TOKEN,
        403,
        "The identity's token does not allow this",
        "The token in the body is not the identity's own, or is no longer in force.",
        "Send the token that was issued with the identity, or use a service token of scope `revoke`.",
    ),
    Kind(
        "not-found",
        404,
        "There is nothing at this path",
        "The service has no such path.",
        "The paths are in the OpenAPI document, `/api/openapi.json`.",
    ),
    Kind(
        UNKNOWN_IDENTITY,
        404,
        "The identity is not on record",
        "This service has never issued the identity, or has forgotten it since.",
        "Look at its spelling; case counts before the `@`.",
    ),
    Kind(
        "method-not-allowed",
        405,
        "The path does not answer to this method",
        "The path exists, for other methods.",
        "Use a method that `Allow` names.",
    ),
    Kind(
        "request-timeout",
        408,
        "The request did not come in time",
        "Head or body took longer than HEADER_TIMEOUT or BODY_TIMEOUT; the connection is closed.",
        "Send the whole request at once, on a new connection.",
    ),
    Kind(
        "token-amended",
        409,
        "The service token was withdrawn or changed meanwhile",
        "The token has been withdrawn, which is final, or its limit was changed a moment ago.",
        "Look at the token in `GET /api/v1/tokens`; mint another one if it is withdrawn.",
    ),
    Kind(
        "content-too-large",
        413,
        "The body is too large",
        "The body has more bytes than a request may have; the connection is closed.",
        "Split it into several requests of at most 1,000 rows.",
    ),
    Kind(
        "uri-too-long",
        414,
        "The request target is too long",
        "Path and query have more bytes than a request may have; the connection is closed.",
        "Leave out what is not needed.",
    ),
    Kind(
        "unsupported-media-type",
        415,
        "The body's media type or coding is not supported",
        "The body is not of the media type of this path, or is compressed.",
        "Send what `Accept` or `Accept-Encoding` of the answer names.",
    ),
    Kind(
        "expectation-failed",
        417,
        "The expectation can't be met",
        "`Expect` has another value than `100-continue`.",
        "Leave `Expect` out.",
    ),
    Kind(
        "quota-exceeded",
        429,
        "Request cannot be satisfied as assigned quota has been exceeded",
        "The caller has used up its rate limit; `violated-policies` names the policies. The kind is that of "
        "draft-ietf-httpapi-ratelimit-headers.",
        "Repeat the request after the seconds of `Retry-After`; without that field it costs more than the policy "
        "allows at once: split it.",
    ),
    Kind(
        "headers-too-large",
        431,
        "The header fields are too large",
        "The field section has more bytes or lines than a request may have; the connection is closed.",
        "Send fewer cookies and other fields.",
    ),
    Kind(
        "internal-error",
        500,
        "The service failed",
        "A fault of the service; it has been logged with the request's id.",
        "Repeat the request once, and report its `request_id` if it fails again.",
    ),
    Kind(
        "not-implemented",
        501,
        "The method or coding is not implemented",
        "No path of the service has this method, or the body has an unknown transfer coding; the connection is closed.",
        "Use GET, HEAD, POST or OPTIONS, and no transfer coding but `chunked`.",
    ),
    Kind(
        "unavailable",
        503,
        "The service can't take the request now",
        "It is too busy, or the shared state that the request needs is away.",
        "Repeat the request after the seconds of `Retry-After`, or a few seconds.",
    ),
    Kind(
        NO_LEDGER,
        503,
        "The service keeps no ledger",
        "The request reads the ledger, and the operator has turned it off (`DATABASE_URL=none`).",
        "Repeating the request changes nothing; the operator can.",
    ),
    Kind(
        "http-version-not-supported",
        505,
        "The version of HTTP is not supported",
        "The service speaks HTTP/1.1 and HTTP/1.0; the connection is closed.",
        "Use HTTP/1.1.",
    ),
)

PROBLEMS: Final = {kind.name: kind for kind in _KINDS}
"""The kinds by name."""

KIND_OF_STATUS: Final = {kind.status: kind for kind in reversed(_KINDS)}
"""The first kind of each status: the one of a problem that names none."""


def kind_of(error: ProblemError) -> Kind:
    """Return the kind of a problem."""
    return PROBLEMS[error.kind] if error.kind else KIND_OF_STATUS[error.status]


def render(error: ProblemError, types: str, request_id: str) -> bytes:
    """Return the tail of a problem response. ``types``: what the name of a kind follows in the type."""
    kind = kind_of(error)
    body: dict[str, object] = {
        "type": types + kind.name,
        "title": kind.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
        **error.members,
    }
    if error.faults:
        body["errors"] = list(error.faults)
    return tail(PROBLEM, orjson.dumps(body), NO_STORE + error.lines)


def quotas_used_up(quotas: Sequence[Quota], seconds: int) -> ProblemError:
    """Return the 429 of a client that has used up these quotas, and may try again in so many seconds."""
    policies: dict[str, Any] = {"violated-policies": [quota.policy for quota in quotas]}
    small = next((quota for quota in quotas if quota.cost > quota.limit), None)
    if small is not None:
        detail = f"This request costs {small.cost} of the {small.limit} that {small.policy} allows at once: split it."
        return ProblemError(429, detail, members=policies)
    quota = quotas[-1]
    whose = "The subject of this request" if quota.policy == SUBJECT_POLICY else "This client"
    return ProblemError(
        429,
        f"{whose} has used its {quota.limit} requests per {quota.window} s; try again in {seconds} s.",
        lines=retry_after_line(seconds),
        members=policies,
    )


def limiter_away() -> ProblemError:
    """Return the 503 while the shared limiter is away and no request may pass."""
    detail = "The shared rate limit is away and this service is set to refuse requests until it is back."
    return ProblemError(503, detail, lines=retry_after_line(1))


def described(kind: Kind, types: str) -> dict[str, Any]:
    """Return a kind as the page for programs has it."""
    return {"type": types + kind.name, **{name: value for name, value in kind._asdict().items() if name != "name"}}


def markdown_table(kinds: Iterable[Kind] = _KINDS) -> str:
    """Return the table of ``docs/problems.md``."""
    lines = ["| Type | Status | Title | What has happened | What to do |", "|---|---|---|---|---|"]
    for kind in kinds:
        lines.append(f"| `{PATH}/{kind.name}` | {kind.status} | {kind.title} | {kind.meaning} | {kind.remedy} |")
    return "\n".join(lines) + "\n"
