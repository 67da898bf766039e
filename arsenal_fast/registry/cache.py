"""What this worker remembers of living identities, and how that stays true.

A record holds while it is in here. When it falls out for want of room, when its identity is revoked (by whomever: the
revisions tell), when another life takes its place, it is forgotten, and whoever still holds it sees that.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Final

from arsenal_fast.api.fastpath.render import Record
from arsenal_fast.cache import GenerationalCache
from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.validity import Issued, IssueRow, Life, Mode, Outcome
from arsenal_fast.memory_budget import weigh_record
from arsenal_fast.registry.revocation_sync import Recall, Revisions
from arsenal_fast.stores.ports import IdentityStore, Ledger, Revocations

_RESTORE_ROWS: Final = 200
"""Rows asserted at a time after an outage: small enough that Redis and the loop stay responsive."""


class Remembered:
    """The records of one worker, by id."""

    def __init__(
        self,
        *,
        store: IdentityStore,
        revocations: Revocations,
        ledger: Ledger | None,
        capacity: int,
        room: int,
        now: Callable[[], float],
        sign: Callable[[str, Life], str],
        protected: Container[str] = (),
    ) -> None:
        """``capacity``: identities of a generation, and ``room``: its octets.

        ``now``: wall clock, seconds since the epoch. ``sign`` makes the token of a life.

        ``protected``: prefixes, in lower case, whose records are guarded.
        """
        self._store = store
        self._ledger = ledger
        self._now = now
        self._sign = sign
        self._protected = protected
        self.records: GenerationalCache[str, Record] = GenerationalCache(
            capacity, Record.forget, weigh=weigh_record, room=room
        )
        self.forgotten = 0
        """How often something was forgotten, for it was revoked."""
        recall: Recall = _no_epochs if ledger is None else ledger.epochs
        self.revisions = Revisions(revocations, self.forget, self.restore, recall)

    def remember(self, identity: str, life: Life) -> Record:
        """Return the one record of this life of a valid id."""
        guarded = bool(self._protected) and split(identity).prefix.lower() in self._protected
        return self.keep(Record(identity, self._sign, guarded=guarded), life)

    def keep(self, blank: Record, life: Life) -> Record:
        """Return the one record of this life: that which is remembered, else the blank one, which is from now on."""
        record = self.records.swap(blank.id, blank)
        if record is not None:
            # One record for one life, one life for one identity: what is forgotten is then forgotten everywhere.
            if record.life == life and record.fresh_until:
                self.records.put(blank.id, record)
                return record
            record.forget()
        blank.begin(life)
        return blank

    def forget(self, ids: Sequence[str] | None) -> None:
        """Forget these identities, or all of them: they were revoked."""
        self.forgotten += 1
        if ids is None:
            self.records.clear()
            return
        for identity in ids:
            held = self.records.peek(identity)
            if held is not None:
                held.forget()
                self.records.discard(identity)

    def learn_epochs(self, epochs: Mapping[str, int]) -> None:
        """Take epochs from the ledger; where one has risen, nothing that is remembered can be trusted."""
        before = dict(self.revisions.epochs)
        self.revisions.learn_epochs(epochs)
        if self.revisions.epochs != before:
            self.forget(None)

    def epoch_of(self, identity: str) -> int:
        """Lives of this id that were generated before this moment (ms) are dead."""
        return self.revisions.epoch_of(split(identity).prefix) if self.revisions.epochs else 0

    def confirmation(self, identity: str, life: Life) -> IssueRow:
        """The row that tells the store of a life that the ledger holds."""
        return IssueRow(identity, life.ttl, Mode.CONFIRM, life.generated, self.epoch_of(identity))

    def restore(self) -> None:
        """The shared store was away, or has lost its memory: make what this worker remembers hold again.

        A ledger that answers knows better, for it has also heard of what was revoked meanwhile: then all is
        forgotten here, and asked for again. Else what is remembered to live is asserted in the store.
        """
        if self._ledger is not None and self._ledger.healthy:
            self.forget(None)
            return
        now = self._now()
        self._assert_next([record for record in self.records.held() if now < record.expires])

    def _assert_next(self, records: list[Record]) -> None:
        """Assert a chunk of the records that are left. (Methods, for closures that call each other are a cycle.)"""
        chunk = records[-_RESTORE_ROWS:]
        del records[-_RESTORE_ROWS:]
        if chunk:
            self._store.issue([self._assertion(each) for each in chunk], partial(self._asserted, records, chunk))

    def _asserted(self, records: list[Record], chunk: Sequence[Record], answers: Sequence[Issued] | None) -> None:
        if answers is None:
            return  # away again; the next return starts anew
        for record, issued in zip(chunk, answers, strict=False):
            if issued.outcome is Outcome.REVOKED or issued.life != record.life:
                record.forget()
        self._assert_next(records)

    def _assertion(self, record: Record) -> IssueRow:
        life = record.life
        provisional = self._ledger is not None
        return IssueRow(record.id, life.ttl, Mode.ASSERT, life.generated, self.epoch_of(record.id), provisional)


def _no_epochs(done: Callable[[Mapping[str, int] | None], None]) -> None:
    """There is no ledger to remember any."""
    done({})
