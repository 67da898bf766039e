"""The verdict on an identity: one of few states, decided from what is known at one moment.

Only ``active`` is valid. What is not known is never guessed: no record while the shared state can be read
is ``unknown``, no record while it can't is ``unverifiable``. A life that begins in the future is active:
the store's clock wrote it, and the caller's may be behind.

``rfc5322_compliant`` speaks of the addr-spec before the "/"; the whole identity is none, since ":" is no
atext.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from arsenal_fast.errors import InvalidIdentity
from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.life import Life


class Status(StrEnum):
    """The states that a validation can answer with."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    MALFORMED = "malformed"
    UNVERIFIABLE = "unverifiable"


REASONS: Final = MappingProxyType(
    {
        Status.ACTIVE: "The identity was issued by this service and has not expired.",
        Status.EXPIRED: "The identity was issued by this service and has expired.",
        Status.REVOKED: "The identity was issued by this service and has been revoked.",
        Status.UNKNOWN: "The identity is well formed, but this service has no record of it.",
        Status.MALFORMED: "The text is not an identity.",
        Status.UNVERIFIABLE: "The identity is well formed, but the shared state can't be read just now.",
    }
)


class Verdict(NamedTuple):
    """What a validation says; ``reason`` is one plain sentence."""

    status: Status
    valid: bool
    reason: str
    well_formed: bool
    rfc5322_compliant: bool


def _well_formed(status: Status) -> Verdict:
    return Verdict(status, status is Status.ACTIVE, REASONS[status], well_formed=True, rfc5322_compliant=True)


_ACTIVE: Final = _well_formed(Status.ACTIVE)
_EXPIRED: Final = _well_formed(Status.EXPIRED)
_UNKNOWN: Final = _well_formed(Status.UNKNOWN)
_UNVERIFIABLE: Final = _well_formed(Status.UNVERIFIABLE)


def judge(subject: Identity | InvalidIdentity, life: Life | None, now_ms: int, *, readable: bool) -> Verdict:
    """The verdict at ``now_ms``; ``readable``: a missing ``life`` means that there is no record."""
    if isinstance(subject, InvalidIdentity):
        return Verdict(Status.MALFORMED, False, str(subject), well_formed=False, rfc5322_compliant=False)
    if life is None:
        return _UNKNOWN if readable else _UNVERIFIABLE
    return _ACTIVE if now_ms < life.expires else _EXPIRED
