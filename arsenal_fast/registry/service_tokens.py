"""Mints, lists, limits and withdraws service tokens.

A token is signed, so it is valid wherever the secret is known; the ledger knows what was minted. Withdrawals and
changed limits are amendments (``identity/amendments.py``): in force when the shared store has them, for every replica's
next request; while the store is away when the ledger has them, which every replica reads every few seconds then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from arsenal_fast.identity.amendments import (
    DEFAULT_DAYS,
    LONGEST_MS,
    WITHDRAWN,
    Amendment,
    Amendments,
    prevails,
    subject_key,
    token_key,
)
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.ledger.model import TokenChange, TokenKind, TokenQuery, TokenRecord
from arsenal_fast.registry.issuer import AuditContext
from arsenal_fast.replies import reply
from arsenal_fast.stores.ports import Ledger, Revoking
from arsenal_fast.tokens.claims import scope_text, token_id
from arsenal_fast.tokens.keys import Keys

MAX_NAME: Final = 128
"""Characters of a token's name."""

NAME_RANGE: Final = f"A name is 1 to {MAX_NAME} printable characters."

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000


class TokenOrder(NamedTuple):
    """What a token to be minted shall be; ``name``: empty for the subject; ``per_subject``: 0 without ``behalf``."""

    subject: str
    scopes: Sequence[str]
    rate_limit: int
    days: int = DEFAULT_DAYS
    per_subject: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class TokenState:
    """A minted token as it is now. ``status``: active, revoked or expired."""

    record: TokenRecord
    rate_limit: int
    status: str

    def members(self) -> dict[str, object]:
        """Return the members of its JSON object, in the API and on the command line."""
        record = self.record
        return {
            "id": record.id,
            "name": record.name,
            "subject": record.subject,
            "scope": record.scope,
            "rate_limit": self.rate_limit,
            "per_subject": record.per_subject,
            "issued": timestamp(record.issued_ms),
            "expires": timestamp(record.expires_ms),
            "created_by": record.maker,
            "last_used": timestamp(record.last_used_ms) if record.last_used_ms else None,
            "status": self.status,
        }


class Outcome(NamedTuple):
    """What came of an amendment. ``known``: the ledger knows the token; ``in_force``: False where it was withdrawn."""

    change: TokenChange
    known: bool
    in_force: bool


def name_fault(name: str) -> str | None:
    """Return what is wrong with the name of a token, or None."""
    return None if 1 <= len(name) <= MAX_NAME and name.isprintable() else NAME_RANGE


def mint(
    keys: Keys, order: TokenOrder, amendments: Amendments, now: float, audit: AuditContext
) -> tuple[str, TokenChange]:
    """Sign a token; returns it, and what the ledger has to know of it. ValueError with one sentence for a bad order.

    It begins after the last withdrawal of its subject, which may lie a second ahead.
    """
    if order.name and (fault := name_fault(order.name)):
        raise ValueError(fault)
    issued_s = max(int(now), -(-amendments.withdrawn_before_ms(order.subject) // 1000))
    token = keys.mint_service(
        order.subject, order.scopes, order.rate_limit, order.days, issued_s, per_subject=order.per_subject
    )
    record = TokenRecord(
        token_id(token),
        order.name or order.subject,
        order.subject,
        scope_text(order.scopes),
        order.rate_limit,
        order.per_subject or None,
        issued_s * 1000,
        issued_s * 1000 + order.days * _DAY_MS,
        audit.caller,
    )
    kind: TokenKind = "token_minted"
    moment_ms = int(now * 1000)
    change = TokenChange(
        *(kind, moment_ms, audit.caller, audit.request_id, record.id, record.subject, record.rate_limit), record
    )
    return token, change


def amendment_of_token(
    token_id: str, rate_limit: int, record: TokenRecord | None, now: float, audit: AuditContext
) -> TokenChange:
    """Return the change that withdraws one token, or gives it another limit. ``record``: None for an unknown one."""
    kind: TokenKind = "token_revoked" if rate_limit == WITHDRAWN else "token_limited"
    moment_ms = int(now * 1000)
    subject, ends_ms = (None, moment_ms + LONGEST_MS) if record is None else (record.subject, record.expires_ms)
    return TokenChange(
        *(kind, moment_ms, audit.caller, audit.request_id, token_id, subject, rate_limit or None),
        key=token_key(token_id),
        amendment=Amendment(moment_ms, rate_limit, ends_ms),
    )


def withdrawal_of_subject(subject: str, now: float, audit: AuditContext) -> TokenChange:
    """Return the change that withdraws all tokens of a subject that were issued up to now.

    Tokens tell the second in which they were issued, so all of this second are among them.
    """
    moment_ms = (int(now) + 1) * 1000
    return TokenChange(
        *("token_revoked", int(now * 1000), audit.caller, audit.request_id, None, subject),
        key=subject_key(subject),
        amendment=Amendment(moment_ms, WITHDRAWN, moment_ms + LONGEST_MS),
    )


def state_of(record: TokenRecord, amendments: Amendments, now: float) -> TokenState:
    """Return a token as it is at ``now``."""
    rate_limit = amendments.rate_limit(record.id, record.subject, record.issued_ms // 1000)
    status = "active"
    if rate_limit == WITHDRAWN:
        status = "revoked"
    elif record.expires_ms <= now * 1000:
        status = "expired"
    return TokenState(record, rate_limit or record.rate_limit, status)


class ServiceTokens:
    """The service tokens of one worker's service."""

    def __init__(
        self,
        *,
        keys: Keys,
        revocations: Revoking,
        ledger: Ledger | None,
        amendments: Amendments,
        now: Callable[[], float],
        used: Callable[[], set[str]],
    ) -> None:
        """
        Args:
            now: wall clock, seconds since the epoch.
            used: returns the ids of the tokens that were used since the last call.
        """
        self._keys = keys
        self._revocations = revocations
        self._ledger = ledger
        self._amendments = amendments
        self._now = now
        self._used = used

    async def mint(self, order: TokenOrder, audit: AuditContext) -> tuple[str, TokenRecord]:
        """Mint a token; returns it and its record. ValueError with one sentence for a bad order."""
        token, change = mint(self._keys, order, self._amendments, self._now(), audit)
        await self._record(change)
        assert change.record is not None
        return token, change.record

    async def revoke(self, token_id: str, audit: AuditContext) -> Outcome | None:
        """Withdraw one token; None: neither store nor ledger could be written."""
        return await self._amend_token(token_id, WITHDRAWN, audit)

    async def limit(self, token_id: str, rate_limit: int, audit: AuditContext) -> Outcome | None:
        """Give one token another limit; None: neither store nor ledger could be written."""
        return await self._amend_token(token_id, rate_limit, audit)

    async def revoke_subject(self, subject: str, audit: AuditContext) -> Outcome | None:
        """Withdraw all tokens of a subject that were issued until now; None: nothing could be written."""
        known = bool(await self._read(TokenQuery(1, subject=subject)))
        return await self._amend(withdrawal_of_subject(subject, self._now(), audit), known)

    async def page(self, query: TokenQuery) -> list[TokenState] | None:
        """Return minted tokens as they are now, newest first; None: the ledger can't be read."""
        records = await self._read(query)
        now = self._now()
        return None if records is None else [state_of(record, self._amendments, now) for record in records]

    def tend(self) -> None:
        """Write which tokens were used in the last minute, and forget amendments of expired ones; once a minute."""
        now_ms = int(self._now() * 1000)
        used = self._used()
        if used and self._ledger is not None:
            self._ledger.note_use(dict.fromkeys(used, now_ms - now_ms % _MINUTE_MS))
        self._amendments.prune(now_ms)

    async def _amend_token(self, token_id: str, rate_limit: int, audit: AuditContext) -> Outcome | None:
        records = await self._read(TokenQuery(1, token_id=token_id))
        record = records[0] if records else None
        change = amendment_of_token(token_id, rate_limit, record, self._now(), audit)
        return await self._amend(change, record is not None)

    async def _amend(self, change: TokenChange, known: bool) -> Outcome | None:
        key, amendment = change.key, change.amendment
        assert key is not None
        assert amendment is not None
        stored: bool | None = await reply(self._revocations.amend, key, amendment)
        if stored is None and (self._ledger is None or not self._ledger.healthy):
            return None
        final = amendment.rate_limit == WITHDRAWN
        in_force = final or (prevails(amendment, self._amendments.held.get(key)) if stored is None else stored)
        if in_force and not await self._record(change) and stored is None:
            return None
        self._amendments.learn({key: amendment})
        return Outcome(change, known, in_force)

    async def _record(self, change: TokenChange) -> bool:
        """Write a change to the ledger, at once or when it is there again; returns whether it is written."""
        return self._ledger is not None and await reply(self._ledger.change_token, change) is not None

    async def _read(self, query: TokenQuery) -> Sequence[TokenRecord] | None:
        if self._ledger is None:
            return None
        records: Sequence[TokenRecord] | None = await reply(self._ledger.tokens, query)
        return records
