"""The living identities: what this worker remembers, what the shared store knows, what the ledger holds.

The three levels have one job each. The worker's records answer at once (:mod:`~arsenal_fast.registry.cache`). The
store decides which life of an identity is the living one, for all replicas. The ledger, where there is one, is the
record (:mod:`~arsenal_fast.registry.issuer` says how a life comes into both). Here is how an identity is found, and how
it is revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, NamedTuple

from arsenal_fast.api.fastpath.render import Record
from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.revocation import Revoked
from arsenal_fast.identity.validity import Found, IssueRow, Life
from arsenal_fast.ledger.model import Past, RevocationRow, stands
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.cache import Remembered
from arsenal_fast.registry.issuer import Asker, Issuing, ignore
from arsenal_fast.stores.ports import IdentityStore, Ledger, Revocations
from arsenal_fast.tokens.claims import IdentityToken


class Known(NamedTuple):
    """What is known of one identity. ``cached``: the worker or the store knew it, not only the ledger.

    ``dead_before``: every life generated before that moment (ms) was revoked.
    """

    life: Life | None
    dead_before: int
    cached: bool

    def is_living(self, now_ms: float) -> bool:
        """Neither over nor revoked."""
        life = self.life
        return life is not None and life.generated >= self.dead_before and now_ms < life.expires


class Directory:
    """Finds, issues, revokes and remembers identities."""

    def __init__(
        self,
        *,
        store: IdentityStore,
        spare: IdentityStore,
        revocations: Revocations,
        ledger: Ledger | None,
        capacity: int,
        room: int,
        call_soon: Callable[[Callable[[], None]], object],
        now: Callable[[], float],
        metrics: Metrics,
        departures: AbstractContextManager[None],
        sign: Callable[[str, Life], str],
        protected: Container[str] = (),
    ) -> None:
        """As for :class:`Remembered` and :class:`Issuing`."""
        self._store = store
        self._ledger = ledger
        self._now = now
        self._metrics = metrics
        self._revocations = revocations
        self.remembered = Remembered(
            store=store,
            revocations=revocations,
            ledger=ledger,
            capacity=capacity,
            room=room,
            now=now,
            sign=sign,
            protected=protected,
        )
        self.records = self.remembered.records
        self.revisions = self.remembered.revisions
        self.restore = self.remembered.restore
        self.learn_epochs = self.remembered.learn_epochs
        self.issuing = Issuing(
            store=store,
            spare=spare,
            ledger=ledger,
            remembered=self.remembered,
            call_soon=call_soon,
            now=now,
            metrics=metrics,
            departures=departures,
        )
        self.issue = self.issuing.issue

    # Finding.

    def find(
        self,
        identities: Sequence[Identity],
        done: Callable[[Sequence[Known | None], bool], None],
        *,
        claimed: int | None = None,
    ) -> None:
        """Hand ``done(known, readable)`` what is known of each identity, None where nothing is.

        ``readable`` is False where neither the store nor the ledger could be read, so that None means
        nothing. ``claimed``: when the life began (ms) whose token came along. Whoever knows a later life may
        have forgotten that the claimed one was revoked: then memory does not answer, and the ledger is asked, too.
        """
        now = self._now()
        get = self.records.get
        known: list[Known | None] = []
        missing: list[int] = []
        for index, identity in enumerate(identities):
            record = get(identity.id)
            if record is not None and now < record.expires and claimed in (None, record.life.generated):
                known.append(Known(record.life, 0, cached=True))
            else:
                known.append(None)
                missing.append(index)
        self._metrics.identity_lookups += len(known)
        self._metrics.identity_lookup_hits += len(known) - len(missing)
        if not missing:
            done(known, True)
            return

        forgotten = self.remembered.forgotten

        def found(answers: Sequence[Found | None] | None) -> None:
            uncertain = missing
            if answers is not None:
                uncertain = []
                now_ms = self._now() * 1000
                for index, answer in zip(missing, answers, strict=True):
                    if answer is not None:
                        identity = identities[index]
                        known[index] = each = self._known(identity, answer.life, answer.floor, cached=True)
                    if answer is None or answer.provisional or claimed not in (None, answer.life.generated):
                        uncertain.append(index)
                    elif each.is_living(now_ms) and forgotten == self.remembered.forgotten:
                        # Nothing was revoked since the store was asked: it may be asked for again, here.
                        self.remembered.remember(identity.id, answer.life)
            self._ask_ledger(identities, known, uncertain, answers is not None, counted)

        def counted(known: Sequence[Known | None], readable: bool) -> None:
            now_ms = self._now() * 1000
            for index in missing:
                each = known[index]
                if each is not None and each.is_living(now_ms):
                    self._metrics.identity_lookup_hits += 1
            done(known, readable)

        self._store.find([identities[index].id for index in missing], found)

    def _known(self, identity: Identity, life: Life | None, floor: int, *, cached: bool) -> Known:
        return Known(life, max(floor + 1 if floor else 0, self.revisions.epoch_of(identity.prefix)), cached)

    def _ask_ledger(
        self,
        identities: Sequence[Identity],
        known: list[Known | None],
        uncertain: Sequence[int],
        readable: bool,
        done: Callable[[Sequence[Known | None], bool], None],
    ) -> None:
        """Complete ``known`` where the store has nothing, a life that is merely proposed, or a later one."""
        if self._ledger is None or not uncertain:
            done(known, readable)
            return

        def told(pasts: Sequence[Past | None] | None) -> None:
            if pasts is None:
                done(known, False)
                return
            lost: list[IssueRow] = []
            for index, past in zip(uncertain, pasts, strict=True):
                identity, held = identities[index], known[index]
                if past is None:
                    continue
                known[index] = each = self._known(identity, past.life, past.floor, cached=held is not None)
                if held is not None:
                    known[index] = each = each._replace(dead_before=max(each.dead_before, held.dead_before))
                    if not self._rules(identity, past, held):
                        known[index] = each._replace(life=held.life)
                        continue
                if past.life is not None and each.is_living(self._now() * 1000):
                    lost.append(self.remembered.confirmation(identity.id, past.life))
            if lost:
                # The store has lost them (evicted, flushed): tell it, so that the next one need not ask here.
                self._store.issue(lost, ignore)
            done(known, True)

        self._ledger.find([identities[index].id for index in uncertain], told)

    def _rules(self, identity: Identity, past: Past, held: Known) -> bool:
        """Whether the ledger's life is the one that holds, and not the store's provisional one.

        If not, the provisional life is on its way to the ledger, and was handed out perhaps: while the ledger
        was away.
        """
        if past.life is None or held.life is None:
            return held.life is None
        proposed = held.life.generated
        epoch = self.revisions.epoch_of(identity.prefix)
        return past.life.generated >= proposed or stands(past, epoch, proposed)

    def active(self, text: str) -> Record | None:
        """Return the record of an identity that this worker knows to live, counting the look-up if so."""
        record = self.records.get(text)
        if record is None or record.expires <= self._now():
            return None
        self._metrics.identity_lookups += 1
        self._metrics.identity_lookup_hits += 1
        return record

    # Revoking.

    def revoke(
        self,
        identity: Identity,
        token: IdentityToken | None,
        asker: Asker,
        done: Callable[[Revoked | None], None],
    ) -> None:
        """End all lives of an identity up to now; ``done(None)``: the store is away and nothing was done."""

        def found(known: Sequence[Known | None], _readable: bool) -> None:
            held = known[0]
            life = None if held is None else held.life
            if token is not None:
                own = Life(token.generated_ms, token.expires_s * 1000)
                if held is not None and own.generated < held.dead_before:
                    # The token of a life that was revoked has no say about the one that came after it.
                    done(Revoked(known=True, life=own, floor=held.dead_before - 1, already=True))
                    return
                life = life or own
            self._revocations.revoke(identity.id, life, partial(self._revoked, identity, asker, done))

        self.find((identity,), found, claimed=None if token is None else token.generated_ms)

    def _revoked(
        self,
        identity: Identity,
        asker: Asker,
        done: Callable[[Revoked | None], None],
        revoked: Revoked | None,
    ) -> None:
        if revoked is None or not revoked.known:
            done(revoked)
            return
        self.remembered.forget([identity.id])
        at = revoked.floor
        if revoked.already:
            at = int(self._now() * 1000)  # somebody has asked once more, and that is an event of this moment
        else:
            self._metrics.identity_revoked += 1
        row = RevocationRow("revoked", at, revoked.floor + 1, asker.caller, asker.request_id, *identity)
        self._write(row, lambda: done(revoked))

    def revoke_before(self, prefix: str | None, before: int, asker: Asker, done: Callable[[int | None], None]) -> None:
        """End all lives of a prefix, or of everything, that began before ``before`` (ms)."""

        def raised(epoch: int | None) -> None:
            if epoch is None:
                done(None)
                return
            self.revisions.learn_epochs({prefix or "": epoch})
            self.remembered.forget(None)
            self._metrics.identity_revoked += 1
            kind: Final = "revoked_all" if prefix is None else "revoked_prefix"
            at = int(self._now() * 1000)
            row = RevocationRow(kind, at, before, asker.caller, asker.request_id, prefix)
            self._write(row, lambda: done(epoch))

        self._revocations.set_epoch(prefix, before, raised)

    def _write(self, row: RevocationRow, done: Callable[[], None]) -> None:
        """Write a revocation; it is in force already, so a ledger that is away does not take it back."""
        if self._ledger is None:
            done()
        else:
            self._ledger.revoke(row, lambda _: done())
