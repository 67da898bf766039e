"""The living identities: what this worker remembers, what the shared store knows, and the way between.

Issuing never fails. With the store away the worker issues by itself from a spare store of its own memory
(`identity_issued_without_store` counts that); when the shared store is back, everything that this worker
knows to live is asserted there again, so that other replicas know it too.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, cast

from arsenal_fast.cache import GenerationalCache
from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.life import Found, Issued, IssueRow, Life, Mode, Outcome
from arsenal_fast.metrics import Metrics
from arsenal_fast.service.ports import IdentityStore
from arsenal_fast.service.records import Record

_RESTORE_ROWS: Final = 200
"""Rows asserted at a time after an outage: small enough that Redis and the loop stay responsive."""


class Wanted(NamedTuple):
    """An identity to issue; with ``redraw`` it must be new, and ``redraw`` makes another should it not be."""

    identity: Identity
    redraw: Callable[[], Identity] | None = None


class Directory:
    """Finds, issues and remembers identities."""

    def __init__(
        self,
        *,
        store: IdentityStore,
        spare: IdentityStore,
        capacity: int,
        now: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        """``now``: wall clock, seconds since the epoch."""
        self._store = store
        self._spare = spare
        self._now = now
        self._metrics = metrics
        self.records: GenerationalCache[str, Record] = GenerationalCache(capacity)
        """What this worker remembers, by id."""

    def issue(self, wanted: Sequence[Wanted], ttl: int, done: Callable[[Sequence[Record]], None]) -> None:
        """Hand ``done`` a living record for each wanted identity, in order. ``ttl``: seconds, for new lives."""
        now = self._now()
        get = self.records.get
        found: list[Record | None] = []
        missing: list[int] = []
        for index, (identity, redraw) in enumerate(wanted):
            record = get(identity.id)
            if record is None or record.fresh_until <= now or redraw is not None:
                missing.append(index)
            found.append(record)
        metrics = self._metrics
        metrics.identity_lookups += len(found)
        metrics.identity_lookup_hits += len(found) - len(missing)
        if missing:
            self._issue_missing(list(wanted), found, missing, ttl, done)
        else:
            done(cast(list[Record], found))

    def _issue_missing(
        self,
        wanted: list[Wanted],
        found: list[Record | None],
        missing: list[int],
        ttl: int,
        done: Callable[[Sequence[Record]], None],
    ) -> None:
        """Ask the store for the rows ``missing`` of ``wanted``, and again for those whose run was taken."""

        def settled(issued: Sequence[Issued]) -> None:
            taken = []
            for index, each in zip(missing, issued, strict=True):
                identity, redraw = wanted[index]
                if each.outcome is Outcome.TAKEN and redraw is not None:
                    # Another worker with the same node number drew the same run: once in a blue moon.
                    wanted[index] = Wanted(redraw(), redraw)
                    taken.append(index)
                else:
                    found[index] = self._remember(identity, each)
            if taken:
                self._issue_missing(wanted, found, taken, ttl, done)
            else:
                done(cast(list[Record], found))

        rows = [
            IssueRow(wanted[index].identity.id, ttl * 1000, Mode.PLAIN if wanted[index].redraw is None else Mode.FRESH)
            for index in missing
        ]
        self._issue(rows, settled)

    def find(self, identities: Sequence[Identity], done: Callable[[Sequence[Life | None], bool], None]) -> None:
        """Hand ``done(lives, readable)`` the life of each identity, None where none is known.

        ``readable`` is False where the store is away, so that a missing life means nothing. What this
        worker remembers to live is answered from memory.
        """
        now = self._now()
        get = self.records.get
        lives: list[Life | None] = []
        missing: list[int] = []
        for index, identity in enumerate(identities):
            record = get(identity.id)
            alive = record is not None and now < record.expires
            lives.append(record.life if record is not None and alive else None)
            if not alive:
                missing.append(index)
        metrics = self._metrics
        metrics.identity_lookups += len(lives)
        metrics.identity_lookup_hits += len(lives) - len(missing)
        if not missing:
            done(lives, True)
            return

        def found(answers: Sequence[Found | None] | None) -> None:
            if answers is None:
                done(lives, False)
                return
            for index, record in zip(missing, answers, strict=True):
                lives[index] = life = None if record is None else record.life
                if life is not None and now * 1000 < life.expires:
                    metrics.identity_lookup_hits += 1
            done(lives, True)

        self._store.find([identities[index].id for index in missing], found)

    def active(self, text: str) -> Record | None:
        """Return the record of an identity that this worker knows to live, counting the look-up if so."""
        record = self.records.get(text)
        if record is None or record.expires <= self._now():
            return None
        self._metrics.identity_lookups += 1
        self._metrics.identity_lookup_hits += 1
        return record

    def restore(self, others: Iterable[Record] = ()) -> None:
        """Assert in the shared store what this worker remembers to live (it was away, or lost its memory).

        ``others``: records that are remembered elsewhere, and here perhaps no more.
        """
        now = self._now()
        records = [record for record in {*self.records.values(), *others} if now < record.expires]

        def next_chunk(answers: Sequence[Issued] | None) -> None:
            if answers is None:
                return  # away again; the next return starts anew
            chunk = records[-_RESTORE_ROWS:]
            del records[-_RESTORE_ROWS:]
            if chunk:
                rows = [IssueRow(each.id, each.life.ttl, Mode.ASSERT, each.life.generated) for each in chunk]
                self._store.issue(rows, lambda issued: asserted(chunk, issued))

        def asserted(chunk: Sequence[Record], answers: Sequence[Issued] | None) -> None:
            for record, issued in zip(chunk, answers or (), strict=False):
                if issued.life != record.life or issued.outcome is Outcome.REVOKED:
                    self._forget(record)
            next_chunk(answers)

        next_chunk(())

    def _issue(self, rows: Sequence[IssueRow], done: Callable[[Sequence[Issued]], None]) -> None:
        def answered(issued: Sequence[Issued] | None) -> None:
            if issued is not None:
                done(issued)
                return
            self._metrics.identity_issued_without_store += len(rows)
            self._spare.issue(rows, lambda spare: done(spare or ()))

        self._store.issue(rows, answered)

    def _remember(self, identity: Identity, issued: Issued) -> Record:
        outcome, life = issued
        metrics = self._metrics
        if outcome is Outcome.ISSUED:
            metrics.identity_issued += 1
        else:
            metrics.identity_lookup_hits += 1
            if outcome is Outcome.RENEWED:
                metrics.identity_renewed += 1
        known = self.records.get(identity.id)
        if known is not None and known.life == life and known.fresh_until:
            return known  # one record for one life: whatever is forgotten is then forgotten everywhere
        record = Record(identity, life)
        self.records.put(record.id, record)
        return record

    def _forget(self, record: Record) -> None:
        # Whoever still holds the record (prepared answers do) sees that it has to ask again.
        record.fresh_until = record.expires = 0.0
