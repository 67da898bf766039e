"""The records of the ledger, and which of two lives of an identity stands.

Nothing here reads a clock or a database. All moments are ms since the epoch. Two bounds end lives early:

* the **floor** of one identity: every life of it generated *at or before* its floor is dead;
* an **epoch** of a prefix, or of everything: every life generated *before* it is dead.

An event tells both the same way, as ``issued_before``: every life in its reach generated before it is dead
(for one identity that is its floor + 1).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.validity import Life

LifeKind = Literal["issued", "renewed"]
RevocationKind = Literal["revoked", "revoked_prefix", "revoked_all"]
TokenKind = Literal["token_minted", "token_revoked", "token_limited"]

AUDIT_READ: Final = "audit_read"
TOKEN_KINDS: Final = ("token_minted", "token_revoked", "token_limited")
KINDS: Final = ("issued", "renewed", "revoked", "revoked_prefix", "revoked_all", AUDIT_READ, *TOKEN_KINDS)

MAX_PAGE: Final = 1_000  # events of one page of the audit

# Neither number is longer than 63 bits; int() sees nothing but digits.
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


class LedgerRow(NamedTuple):
    """One life that is handed out. ``environment``: the name a batch gave it.

    ``caller``: the client's key or the token's subject. The parts of the id are split off where they are written.
    """

    kind: LifeKind
    id: str
    life: Life
    environment: str | None
    caller: str
    request_id: str | None


class RevocationRow(NamedTuple):
    """A revocation, decided at ``at``: of one identity (all four parts), of a prefix, or of everything.

    ``issued_before``: every life in reach generated before it is dead; for one identity its floor + 1.
    """

    kind: RevocationKind
    at: int
    issued_before: int
    caller: str
    request_id: str | None = None
    prefix: str | None = None
    run: str | None = None
    domain: str | None = None
    version: str | None = None


class TokenRecord(NamedTuple):
    """A service token as it was minted; the token itself is never written. ``scope``: words between spaces.

    ``maker``: the caller who had it minted. ``last_used_ms``: to the minute; 0: not yet.
    """

    id: str
    name: str
    subject: str
    scope: str
    rate_limit: int
    per_subject: int | None
    issued_ms: int
    expires_ms: int
    maker: str
    last_used_ms: int = 0


class TokenChange(NamedTuple):
    """A change of service tokens, decided at ``at``: one event, and what it changes.

    ``token_id``: None where it concerns all tokens of the subject. ``record``: of a token that was minted.
    ``key`` and ``amendment``: of a withdrawal, or of another limit.
    """

    kind: TokenKind
    at: int
    caller: str
    request_id: str | None
    token_id: str | None
    subject: str | None
    rate_limit: int | None = None
    record: TokenRecord | None = None
    key: str | None = None
    amendment: Amendment | None = None


class TokensUsed(NamedTuple):
    """When service tokens were last used (ms), by their ids."""

    last_used_ms: Mapping[str, int]


class TokenQuery(NamedTuple):
    """A query for minted service tokens, newest first, at most ``limit``: all, one, or those of a subject.

    ``after``: the last token of the page before.
    """

    limit: int
    token_id: str | None = None
    subject: str | None = None
    after: tuple[int, str] | None = None


class LedgerRecord(NamedTuple):
    """What the ledger knows of one identity. ``life``: the newest, over or not; None: revoked before any was known.

    ``floor``: 0 if it was never revoked by itself.
    """

    life: Life | None
    floor: int


class Cursor(NamedTuple):
    """A position in the history, newest first: the next event is the one after ``seq`` at ``at``."""

    at: int
    seq: int


class AuditQuery(NamedTuple):
    """A query for events: ``since`` <= at < ``until``, newest first, at most ``limit`` (1..MAX_PAGE).

    ``at``, ``caller`` and ``request_id`` are recorded: reading the ledger is an event of its own.
    """

    at: int
    caller: str
    request_id: str | None = None
    prefix: str | None = None
    run: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 100
    after: Cursor | None = None


class AuditEvent(NamedTuple):
    """One event. What does not apply is None; an ``audit_read`` has the prefix and run of its query.

    ``token`` is the id of a service token, ``subject`` its own or that of all tokens that were withdrawn.
    """

    seq: int
    kind: str
    at: int
    prefix: str | None
    run: str | None
    domain: str | None
    version: str | None
    generated: int | None
    expires: int | None
    issued_before: int | None
    environment: str | None
    caller: str
    request_id: str | None
    token: str | None = None
    subject: str | None = None
    rate_limit: int | None = None

    @property
    def id(self) -> str | None:
        """The id of the identity; None for an event of another kind."""
        return None if self.version is None else f"{self.prefix}-{self.run}@{self.domain}/{self.version}:id"


class AuditPage(NamedTuple):
    """One page of events. ``after``: the cursor of the next page, None where there is none now."""

    events: Sequence[AuditEvent]
    after: Cursor | None


def write_cursor(cursor: Cursor) -> str:
    """Return the cursor as the text that clients send back."""
    return f"{cursor.at}-{cursor.seq}"


def parse_cursor(text: str) -> Cursor:
    """Return the cursor that ``write_cursor`` wrote; ValueError with one sentence for anything else."""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise ValueError("cursor must be the one that the page before ended with.")
    return Cursor(int(match[1]), int(match[2]))


def stands(held: LedgerRecord, epoch: int, moment: int) -> bool:
    """Whether the held life still serves at that moment: living, not revoked, not due for renewal."""
    life = held.life
    return (
        life is not None
        and life.expires > moment
        and moment < life.renew_at
        and life.generated > held.floor
        and life.generated >= epoch
    )


class Arbitration(NamedTuple):
    """The outcome of :func:`settle`: the life that holds, the record after it, whether the new life is an event."""

    life: Life
    record: LedgerRecord
    event: bool


def settle(held: LedgerRecord, epoch: int, life: Life, late: bool) -> Arbitration:
    """Decide between what the ledger holds and one new life of the same identity.

    A held life that stands wins over a new one. A ``late`` life was handed out while the ledger was away, so it is
    recorded in any case. The record keeps the newer of two lives. The same life again changes nothing.
    """
    known = held.life
    if known is not None and (known.generated == life.generated or (not late and stands(held, epoch, life.generated))):
        return Arbitration(known, held, event=False)
    newest = life if known is None or life.generated > known.generated else known
    return Arbitration(life, LedgerRecord(newest, held.floor), event=True)
