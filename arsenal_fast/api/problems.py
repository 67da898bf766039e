"""Problem responses (RFC 9457, ``application/problem+json``).

A detail is a sentence for the client's developer. It quotes nothing of ours (paths, types, addresses, texts of Redis)
and nothing of the request.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import orjson

from arsenal_fast.errors import Fault
from arsenal_fast.http.response import NO_STORE, PHRASES, PROBLEM, tail
from arsenal_fast.ratelimit.headers import retry_after_line
from arsenal_fast.ratelimit.quota import SUBJECT_POLICY, Quota

QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""draft-ietf-httpapi-ratelimit-headers-11, section on problem types."""

QUOTA_TITLE: Final = "Request cannot be satisfied as assigned quota has been exceeded"


def problem(
    status: int,
    detail: str,
    *,
    faults: Sequence[Fault] = (),
    kind: str = "about:blank",
    title: str | None = None,
    lines: bytes = b"",
    members: Mapping[str, object] = MappingProxyType({}),
) -> bytes:
    """Return the tail of a problem response; ``members`` are extension members of the type."""
    body: dict[str, object] = {
        "type": kind,
        "title": title or PHRASES[status],
        "status": status,
        "detail": detail,
        **members,
    }
    if faults:
        body["errors"] = list(faults)
    return tail(PROBLEM, orjson.dumps(body), NO_STORE + lines)


def quotas_used_up(quotas: Sequence[Quota], seconds: int) -> bytes:
    """Return the 429 of a client that has used up these quotas, and may try again in so many seconds."""
    quota = quotas[-1]
    whose = "The subject of this request" if quota.policy == SUBJECT_POLICY else "This client"
    return problem(
        429,
        f"{whose} has used its {quota.limit} requests per {quota.window} s; try again in {seconds} s.",
        kind=QUOTA_EXCEEDED,
        title=QUOTA_TITLE,
        lines=retry_after_line(seconds),
        members={"violated-policies": [quota.policy for quota in quotas]},
    )


def limiter_away() -> bytes:
    """Return the 503 while the shared limiter is away and no request may pass."""
    detail = "The shared rate limit is away and this service is set to refuse requests until it is back."
    return problem(503, detail, lines=retry_after_line(1))
