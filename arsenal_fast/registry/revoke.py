"""Revokes one identity by a floor, a prefix or everything by an epoch; in force when the shared store has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.revocation import Revoked
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.model import RevocationKind, RevocationRow
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.cache import IdentityCache
from arsenal_fast.registry.issuer import AuditContext
from arsenal_fast.registry.lookup import Lookup
from arsenal_fast.replies import reply
from arsenal_fast.stores.ports import Ledger, Revoking
from arsenal_fast.tokens.claims import IdentityToken


@dataclass(eq=False, kw_only=True)
class Revoker:
    """Revokes identities in store and ledger."""

    revocations: Revoking
    ledger: Ledger | None
    cache: IdentityCache
    lookup: Lookup
    now: Callable[[], float]
    """The wall clock, seconds since the epoch."""
    metrics: Metrics

    async def revoke(self, identity: Identity, token: IdentityToken | None, audit: AuditContext) -> Revoked | None:
        """End all lives of an identity up to now; None: the store is away and nothing was done."""
        claimed_ms = None if token is None else token.generated_ms
        states, _ = await self.lookup.find((identity.id,), claimed_ms=claimed_ms)
        state = states[0]
        life = None if state is None else state.life
        if token is not None:
            own = Life(token.generated_ms, token.expires_s * 1000)
            if state is not None and own.generated < state.dead_before_ms:
                # The token of a revoked life can't revoke the life after it.
                return Revoked(known=True, life=own, floor=state.dead_before_ms - 1, already=True)
            life = life or own
        revoked: Revoked | None = await reply(self.revocations.revoke, identity.id, life)
        if revoked is None or not revoked.known:
            return revoked
        self.cache.invalidate([identity.id])
        at_ms = revoked.floor
        if revoked.already:
            at_ms = int(self.now() * 1000)  # a second request to revoke is an event of this moment
        else:
            self.metrics.identity_revoked += 1
        await self._record(
            RevocationRow("revoked", at_ms, revoked.floor + 1, audit.caller, audit.request_id, *identity)
        )
        return revoked

    async def revoke_before(self, prefix: str | None, before_ms: int, audit: AuditContext) -> int | None:
        """End all lives of a prefix, or of everything, that began before a moment; returns the epoch (ms) in force.

        None: the store is away and nothing was done.
        """
        epoch_ms: int | None = await reply(self.revocations.set_epoch, prefix, before_ms)
        if epoch_ms is None:
            return None
        self.cache.sync.learn_epochs({prefix or "": epoch_ms})
        self.cache.invalidate(None)
        self.metrics.identity_revoked += 1
        at_ms = int(self.now() * 1000)
        kind: RevocationKind = "revoked_all" if prefix is None else "revoked_prefix"
        row = RevocationRow(kind, at_ms, before_ms, audit.caller, audit.request_id, prefix)
        await self._record(row)
        return epoch_ms

    async def _record(self, row: RevocationRow) -> None:
        """Write a revocation to the ledger; it is in force already, also if the ledger is away."""
        if self.ledger is not None:
            await reply(self.ledger.revoke, row)
