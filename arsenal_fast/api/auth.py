"""Authentication and authorisation by service tokens.

A request with ``Authorization: Bearer`` is charged to the token's own limit. A bad token is refused (401)
and charged to the address that sent it, so that guessing is limited like everything else. Refusals
follow RFC 6750.
"""

from __future__ import annotations

import re
from typing import Final

from arsenal_fast.api.problems import TOKEN_REQUIRED
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.response import line
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.tokens.claims import Refusal, ServiceToken

ISSUE: Final = "issue"
REVOKE: Final = "revoke"
AUDIT: Final = "audit"
METRICS: Final = "metrics"
TOKENS: Final = "tokens"
BEHALF: Final = "behalf"

_REALM: Final = 'Bearer realm="arsenal-identity"'
# RFC 9110 section 11.4: credentials; RFC 6750 section 2.1: b64token. The scheme's case does not matter.
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] ++([A-Za-z0-9._~+/-]++=*+)").fullmatch


def bearer(authorization: bytes) -> bytes | None:
    """Return the token of an Authorization field, or None where it is of another form."""
    match = _BEARER(authorization)
    return match[1] if match else None


def unread(authorization: bytes) -> ProblemError:
    """Return the 401 for an Authorization field without a bearer token.

    For another scheme the challenge has no error code, only the supported scheme (RFC 6750 section 3.1).
    """
    is_bearer = authorization.partition(b" ")[0].lower() == b"bearer"
    challenge = f'{_REALM}, error="invalid_request"' if is_bearer else _REALM
    return _challenged(401, "Authorization must be 'Bearer' and a service token.", challenge)


def refused(refusal: Refusal) -> ProblemError:
    """Return the 401 for an invalid token."""
    challenge = f'{_REALM}, error="invalid_token", error_description="{refusal.sentence}"'
    return _challenged(401, refusal.sentence, challenge)


def demand(client: Client, scope: str, what: str) -> None:
    """Raise ProblemError unless the client's token has the scope. ``what``: the protected thing, as a noun."""
    if scope not in client.scopes:
        raise demanded(client if client.token else None, scope, what)


def demanded(client: Client | None, scope: str, what: str) -> ProblemError:
    """Return the error for a token without the scope, or for none (``client`` is None)."""
    if client is None:
        challenge = f'{_REALM}, scope="{scope}"'
        return _challenged(401, f"{what} needs a service token of scope {scope}.", challenge, TOKEN_REQUIRED)
    challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
    return _challenged(403, f"{what} needs the scope {scope}.", challenge)


def _challenged(status: int, detail: str, challenge: str, kind: str = "") -> ProblemError:
    """Return a 401 or 403 with the challenge that names what is needed (RFC 6750 section 3)."""
    return ProblemError(status, detail, lines=line("WWW-Authenticate", challenge), kind=kind)


def holder(token: ServiceToken) -> bytes:
    """Return the limiter's key for a token's subject."""
    # surrogatepass: a subject may be any JSON string, and no two of them may share a cell.
    return f"sub:{token.subject}".encode("utf-8", "surrogatepass")
