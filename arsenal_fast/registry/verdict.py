"""Decides the verdict on an identity from its known state at one moment.

Only ``active`` is valid. Nothing is guessed: no record while the shared state can be read
is ``unknown``, no record while it can't is ``unverifiable``. A life that begins in the future is active:
the store's clock wrote it, and the caller's may be behind.

``rfc5322_compliant`` speaks of the addr-spec before the "/"; the whole identity is none, since ":" is no
atext.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from arsenal_fast.identity.grammar import Identity, Malformed
from arsenal_fast.identity.validity import Life
from arsenal_fast.tokens.claims import IdentityToken, Refusal


class Status(StrEnum):
    """The states in a validation's response."""

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
    """The result of a validation; ``reason`` is one plain sentence."""

    status: Status
    valid: bool
    reason: str
    well_formed: bool
    rfc5322_compliant: bool


_VERDICTS: Final = {
    status: Verdict(status, status is Status.ACTIVE, reason, well_formed=True, rfc5322_compliant=True)
    for status, reason in REASONS.items()
}
"""The verdicts on what is well formed; MALFORMED is one on its token."""

_OF_ANOTHER: Final = "The token is of another identity."
_OVER: Final = "The token has expired."
_ALONE: Final = "The token is of this service and has not expired; the shared state can't be read just now."
_NO_RECORD: Final = "The token is of this service, but there is no record of the identity to check it with."


def judge(
    subject: Identity | Malformed,
    life: Life | None,
    now_ms: int,
    *,
    readable: bool,
    dead_before: int = 0,
    token: IdentityToken | Refusal | None = None,
) -> Verdict:
    """Return the verdict at ``now_ms``; ``readable``: a missing ``life`` means that there is no record.

    ``dead_before``: every life, and every token of a life, generated before it was revoked. A ``token`` must be
    ours, of this identity, in force and not of a revoked life; one of an earlier life that was renewed is good until
    it expires.
    """
    if isinstance(subject, Malformed):
        return Verdict(Status.MALFORMED, False, subject.reason, well_formed=False, rfc5322_compliant=False)
    if isinstance(token, Refusal):
        return _VERDICTS[Status.MALFORMED]._replace(reason=token.sentence)
    if token is not None and (verdict := _judge_token(subject, token, life, now_ms, readable, dead_before)):
        return verdict
    return _VERDICTS[status_of(life, now_ms, readable=readable, dead_before=dead_before)]


def status_of(life: Life | None, now_ms: int, *, readable: bool, dead_before: int = 0) -> Status:
    """Return the status that the life of a well-formed identity decides, as :func:`judge`."""
    if life is None:
        return Status.UNKNOWN if readable else Status.UNVERIFIABLE
    if life.generated < dead_before:
        return Status.REVOKED
    return Status.ACTIVE if now_ms < life.expires else Status.EXPIRED


def _judge_token(
    subject: Identity, token: IdentityToken, life: Life | None, now_ms: int, readable: bool, dead_before: int
) -> Verdict | None:
    """Return the verdict that the token alone decides, or None where the life decides."""
    if token.id != subject.id:
        return _VERDICTS[Status.MALFORMED]._replace(reason=_OF_ANOTHER)
    if token.generated_ms < dead_before:
        return _VERDICTS[Status.REVOKED]
    if now_ms >= token.expires_s * 1000:
        return _VERDICTS[Status.EXPIRED]._replace(reason=_OVER)
    if life is None:
        if readable:
            return _VERDICTS[Status.UNVERIFIABLE]._replace(reason=_NO_RECORD)
        return _VERDICTS[Status.ACTIVE]._replace(reason=_ALONE)
    return None
