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
