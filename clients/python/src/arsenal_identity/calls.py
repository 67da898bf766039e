"""The calls of the service: the request of each, and how its answer is read."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from arsenal_identity.exchange import Call, Request
from arsenal_identity.models import (
    Batch,
    Environment,
    Identity,
    Limits,
    RevokedBefore,
    RevokedIdentity,
    Verdict,
)


def issue(
    prefix: str | None, run: str | None, domain: str | None, version: str | None, ttl_s: int | None
) -> Call[Identity]:
    """One identity."""
    query = {"prefix": prefix, "run": run, "domain": domain, "version": version, "ttl": ttl_s}
    given = {name: str(value) for name, value in query.items() if value is not None}
    return Call(Request("GET", "/api/v1/id", query=given), Identity.read)


def batch(
    environments: Iterable[Environment], domain: str | None, version: str | None, ttl_s: int | None
) -> Call[Batch]:
    """Up to 1,000 identities, all or nothing."""
    rows = [environment.body() for environment in environments]
    body = {"environments": rows, **_given(domain=domain, version=version, ttl=ttl_s)}
    return Call(Request("POST", "/api/v1/identities", body=body), Batch.read)


def validate(identity: str | None, token: str | None) -> Call[Verdict]:
    """The verdict on an identity, its token, or both."""
    if identity is None and token is None:
        raise ValueError("validate takes an identity, a token, or both")
    return Call(Request("POST", "/api/v1/validate", body=_given(identity=identity, token=token)), Verdict.read)


def validate_many(identities: Iterable[str]) -> Call[list[Verdict]]:
    """Up to 1,000 verdicts, in the order of the identities."""
    request = Request("POST", "/api/v1/validate", body={"identities": list(identities)})
    return Call(request, lambda document: [Verdict.read(each) for each in document["results"]])


def revoke(identity: str, token: str | None) -> Call[RevokedIdentity]:
    """The end of one identity."""
    return Call(Request("POST", "/api/v1/revoke", body=_given(identity=identity, token=token)), RevokedIdentity.read)


def revoke_before(issued_before: datetime, prefix: str | None) -> Call[RevokedBefore]:
    """The end of all that was issued before a moment."""
    if issued_before.tzinfo is None:
        raise ValueError("issued_before must have a time zone")
    body = _given(prefix=prefix, issued_before=issued_before.isoformat())
    return Call(Request("POST", "/api/v1/revoke", body=body), RevokedBefore.read)


def limits() -> Call[Limits]:
    """The caller's rate limit."""
    return Call(Request("GET", "/api/v1/limits"), Limits.read)


def keys() -> Call[list[dict[str, Any]]]:
    """The public keys of identity tokens, each a JWK (RFC 7517)."""
    return Call(Request("GET", "/.well-known/jwks.json"), lambda document: [dict(key) for key in document["keys"]])


def _given(**members: object) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
