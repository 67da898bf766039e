"""The cache of the identities that this worker knows to be living.

An entry is valid while it is in the cache. It is dropped to make room, when its identity is revoked (on any worker: the
revision shows it), or when another life replaces it. A dropped entry counts as expired, so that everything that still
refers to it queries the store.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, Final, TypeVar

from arsenal_fast.cache import GenerationalCache
from arsenal_fast.identity.amendments import Amendments
from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.validity import DEFAULT_TTL, Issued, IssueRow, Life, Mode, Outcome, Terms
from arsenal_fast.memory_budget import weigh_record
from arsenal_fast.registry.revocation_sync import ReadAmendments, ReadEpochs, RevocationSync
from arsenal_fast.stores.ports import IdentityStore, Ledger, Revocations

Row = TypeVar("Row")

_RESTORE_ROWS: Final = 200
"""Rows asserted at a time after an outage: small enough that Redis and the loop stay responsive."""

_CONFIRM: Final = Mode.CONFIRM  # looked up once, since this is each new row's

NO_LIFE: Final = Life(0, 0)

ISSUE_SCOPE: Final = "issue"
"""The scope that a service token needs to get an identity with a protected prefix."""


class CachedIdentity:
    """The entry of one life of one identity. Entries are compared by identity: one life has one entry."""

    __slots__ = ("expires_s", "fresh_until_s", "id", "life", "required_scope")

    def __init__(self, identity: str, required_scope: str | None = None) -> None:
        """``identity``: a valid id. ``required_scope``: the scope that a caller's token needs to get it."""
        self.id = identity
        self.required_scope = required_scope
        self.life = NO_LIFE
        self.fresh_until_s = 0.0
        """Wall clock: from here on the store is queried, since the life is due for renewal."""
        self.expires_s = 0.0

    def begin(self, life: Life) -> None:
        """Set the life from the store or the ledger."""
        self.life = life
        self.fresh_until_s, self.expires_s = _ends(life)

    def forget(self) -> None:
        """Count as expired from now on."""
        self.fresh_until_s = self.expires_s = 0.0


@lru_cache(maxsize=64)  # identities issued in one batch have equal lives
def _ends(life: Life) -> tuple[float, float]:
    return life.renew_at / 1000, life.expires / 1000


class IdentityCache:
    """The identities of one worker, by id."""

    def __init__(
        self,
        *,
        store: IdentityStore,
        revocations: Revocations,
        ledger: Ledger | None,
        capacity: int,
        room: int,
        now: Callable[[], float],
        make: Callable[[str, str | None], CachedIdentity] = CachedIdentity,
        protected: Container[str] = (),
        shard_of: Callable[[str], int] | None = None,
    ) -> None:
        """
        Args:
            capacity: identities of a generation at most.
            room: bytes of a generation.
            now: the wall clock, seconds since the epoch.
            make: makes an entry of an id and the scope that it requires.
            protected: prefixes, in lower case, whose identities require the scope ``issue``.
            shard_of: the shard of the store that has an id; None: the store has no shards.
        """
        self._store = store
        self._ledger = ledger
        self._now = now
        self.usual_terms = Terms(DEFAULT_TTL * 1000, provisional=ledger is not None)
        """How the store is to issue an id that is not here, if no epoch is in force."""
        self._make = make
        self._protected = protected
        self._entries: GenerationalCache[str, CachedIdentity] = GenerationalCache(
            capacity, _forget, weigh=weigh_record, room=room
        )
        self.invalidations = 0
        """The number of revocations that dropped entries."""
        self._shard_of = shard_of
        self._read_epochs: ReadEpochs = _nothing if ledger is None else ledger.epochs
        self._read_amendments: ReadAmendments = _nothing if ledger is None else ledger.amendments
        self._epochs: dict[str, int] = {}
        self._amendments = Amendments()
        self._syncs: list[RevocationSync] = []
        self.sync = self.follow(revocations)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, identity: str) -> CachedIdentity | None:
        """Return the entry of an id, fresh or not; or None."""
        return self._entries.get(identity)

    def get_all(self, ids: Sequence[str]) -> list[CachedIdentity | None]:
        """Return the entries of ids, fresh or not."""
        return list(map(self._entries.get, ids))

    def put(self, identity: str, life: Life) -> CachedIdentity:
        """Return the entry of this life of a valid id: the existing one, else a new one."""
        scope = None
        if self._protected and split(identity).prefix.lower() in self._protected:
            scope = ISSUE_SCOPE
        entry = self._make(identity, scope)
        replaced = self._entries.swap(identity, entry)
        if replaced is not None:
            # One entry for one life, one life for one identity: so forgetting an entry takes effect everywhere.
            if replaced.life == life and replaced.fresh_until_s:
                self._entries.put(identity, replaced)
                return replaced
            replaced.forget()
        entry.begin(life)
        return entry

    def drop(self, entry: CachedIdentity) -> None:
        """Forget an entry whose identity may have been revoked before it was cached."""
        self._entries.discard(entry.id)
        entry.forget()

    def invalidate(self, ids: Sequence[str] | None) -> None:
        """Drop the entries of revoked identities; None: all entries."""
        self.invalidations += 1
        if ids is None:
            self._entries.clear()
            return
        for identity in ids:
            entry = self._entries.peek(identity)
            if entry is not None:
                self.drop(entry)

    def follow(self, revocations: Revocations) -> RevocationSync:
        """Return what follows the revocations of a store, or of one more shard; all share epochs and amendments."""
        sync = RevocationSync(
            revocations,
            self.invalidate,
            self.restore,
            self._read_epochs,
            self._read_amendments,
            epochs=self._epochs,
            amendments=self._amendments,
        )
        self._syncs.append(sync)
        return sync

    def share_amendments(self) -> None:
        """Give the store, and each of its shards, the amendments of service tokens that it lacks."""
        for sync in self._syncs:
            sync.share_amendments()

    def in_shards(self, rows: Sequence[Row], id_of: Callable[[Row], str]) -> Iterable[Sequence[Row]]:
        """Group rows by the shard of the store that has their identities, which may be away by itself."""
        if self._shard_of is None:
            return (rows,)
        groups: dict[int, list[Row]] = {}
        for row in rows:
            groups.setdefault(self._shard_of(id_of(row)), []).append(row)
        return groups.values()

    def learn_epochs(self, epochs: Mapping[str, int]) -> None:
        """Merge epochs from the ledger; if one has risen, drop all entries."""
        before = dict(self.sync.epochs)
        self.sync.learn_epochs(epochs)
        if self.sync.epochs != before:
            self.invalidate(None)

    def epoch_ms(self, identity: str) -> int:
        """Return the moment before which all lives of this id are revoked; 0: none are."""
        return self.sync.epoch_of(split(identity).prefix) if self.sync.epochs else 0

    def terms(self, identity: str) -> Terms:
        """Return how the store is to issue an id that is not here."""
        usual = self.usual_terms
        return usual._replace(epoch=self.epoch_ms(identity)) if self.sync.epochs else usual

    def confirmation(self, identity: str, life: Life) -> IssueRow:
        """Return the row that confirms a life of the ledger in the store."""
        generated, expires = life
        epoch_ms = self.epoch_ms(identity) if self.sync.epochs else 0
        return IssueRow(identity, expires - generated, _CONFIRM, generated, epoch_ms)

    def restore(self) -> None:
        """Make cache and shared store agree again, after the store was away or has lost its memory.

        A healthy ledger also has the revocations made meanwhile: then all entries are dropped and looked up again.
        Otherwise the living entries are asserted in the store.
        """
        if self._ledger is not None and self._ledger.healthy:
            self.invalidate(None)
            return
        now_s = self._now()
        living = [entry for entry in self._entries.held() if now_s < entry.expires_s]
        for entries in self.in_shards(living, attrgetter("id")):
            self._assert_next(list(entries))

    def _assert_next(self, entries: list[CachedIdentity]) -> None:
        """Assert one chunk of the remaining entries. (Closures that call each other would be a reference cycle.)"""
        chunk = entries[-_RESTORE_ROWS:]
        del entries[-_RESTORE_ROWS:]
        if chunk:
            self._store.issue([self._assertion(each) for each in chunk], partial(self._asserted, entries, chunk))

    def _asserted(
        self, entries: list[CachedIdentity], chunk: Sequence[CachedIdentity], answers: Sequence[Issued] | None
    ) -> None:
        if answers is None:
            return  # away again; the next return starts anew
        for entry, issued in zip(chunk, answers, strict=False):
            if issued.outcome is Outcome.REVOKED or issued.life != entry.life:
                entry.forget()
        self._assert_next(entries)

    def _assertion(self, entry: CachedIdentity) -> IssueRow:
        life = entry.life
        provisional = self._ledger is not None
        return IssueRow(entry.id, life.ttl, Mode.ASSERT, life.generated, self.epoch_ms(entry.id), provisional)


def _forget(entry: CachedIdentity) -> None:
    entry.forget()


def _nothing(done: Callable[[Mapping[str, Any] | None], None]) -> None:
    """Return no epochs and no amendments: there is no ledger."""
    done({})
