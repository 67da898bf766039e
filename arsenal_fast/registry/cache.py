"""The cache of the identities that this worker knows to be living.

An entry is valid while it is in the cache. It is dropped to make room, when its identity is revoked (on any worker: the
revision shows it), or when another life replaces it. A dropped entry counts as expired, so that everything that still
refers to it queries the store.

Of an identity that was asked for once only the life is kept: most are never asked for again. Its entry is made when it
is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, Final, TypeVar, cast

from arsenal_fast.cache import GenerationalCache
from arsenal_fast.identity.amendments import Amendments
from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.validity import DEFAULT_TTL, Issued, IssueRow, Life, Mode, Outcome, Terms, make_record
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
        self._entries: GenerationalCache[str, CachedIdentity | Life] = GenerationalCache(
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
        found = self._entries.get(identity)
        if isinstance(found, Life):
            found = self._make_entry(identity, found)
            self._entries.put(identity, found)
        return found

    def living(self, identity: str) -> CachedIdentity | None:
        """Return the entry of an id whose life is not over; or None."""
        entry = self.get(identity)
        return entry if entry is not None and self._now() < entry.expires_s else None

    def get_all(self, ids: Sequence[str]) -> list[CachedIdentity | None]:
        """Return the entries of ids, fresh or not."""
        found = list(map(self._entries.get, ids))
        return list(map(self.get, ids)) if Life in map(type, found) else cast(list[CachedIdentity | None], found)

    def put(self, identity: str, life: Life, invalidations: int) -> CachedIdentity:
        """Return the entry of this life of a valid id: the existing one, else a new one.

        ``invalidations``: those when the life was asked for. If there are more by now, this identity may be the revoked
        one, which was not cached yet: then its entry counts as expired, and is not kept.
        """
        entry = self._make_entry(identity, life)
        replaced = self._entries.put(identity, entry)
        if replaced is not None:
            entry = self._prefer(identity, replaced, life) or entry
        if invalidations != self.invalidations:
            self._drop(identity)
        return entry

    def remember(self, identity: str, life: Life, invalidations: int) -> None:
        """Keep this life of a valid id, as :meth:`remember_all` does."""
        self.remember_all({identity: life}, invalidations)

    def remember_all(self, lives: Mapping[str, Life], invalidations: int) -> None:
        """Keep these lives of valid ids, as :meth:`put` does, without entries where there are none."""
        for identity, replaced in self._entries.put_all(lives):
            self._prefer(identity, replaced, lives[identity])
        if invalidations != self.invalidations:
            for identity in lives:
                self._drop(identity)

    def takes(self, identity: str) -> bool:
        """Say whether to keep a life that the store had, and that may never be asked for again; else one is new."""
        return self._entries.takes(identity)

    def offer(self, identity: str, life: Life, invalidations: int) -> None:
        """Keep this life, which was found, as :meth:`remember` does; in a full cache at the second time."""
        if self._entries.takes(identity):
            self.remember(identity, life, invalidations)

    def _prefer(self, identity: str, replaced: CachedIdentity | Life, life: Life) -> CachedIdentity | None:
        """Keep and return the entry that was replaced, if it is of this life; else forget it.

        One entry for one life, one life for one identity: so forgetting an entry takes effect everywhere.
        """
        if isinstance(replaced, Life):
            return None
        if replaced.life == life and replaced.fresh_until_s:
            self._entries.put(identity, replaced)
            return replaced
        replaced.forget()
        return None

    def _make_entry(self, identity: str, life: Life) -> CachedIdentity:
        protected = self._protected and split(identity).prefix.lower() in self._protected
        entry = self._make(identity, ISSUE_SCOPE if protected else None)
        entry.begin(life)
        return entry

    def _drop(self, identity: str) -> None:
        kept = self._entries.peek(identity)
        if kept is not None:
            self._entries.discard(identity)
            _forget(kept)

    def invalidate(self, ids: Sequence[str] | None) -> None:
        """Drop what is kept of revoked identities; None: of all."""
        self.invalidations += 1
        if ids is None:
            self._entries.clear()
            return
        for identity in ids:
            self._drop(identity)

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
        return make_record(IssueRow, (identity, expires - generated, _CONFIRM, generated, epoch_ms, False))

    def restore(self) -> None:
        """Make cache and shared store agree again, after the store was away or has lost its memory.

        A healthy ledger also has the revocations made meanwhile: then all entries are dropped and looked up again.
        Otherwise the living entries are asserted in the store.
        """
        if self._ledger is not None and self._ledger.healthy:
            self.invalidate(None)
            return
        now_ms = self._now() * 1000
        lives = ((identity, _life_of(kept)) for identity, kept in self._entries.held())
        living = [(identity, life) for identity, life in lives if now_ms < life.expires]
        for part in self.in_shards(living, itemgetter(0)):
            self._assert_next(list(part))

    def _assert_next(self, living: list[tuple[str, Life]]) -> None:
        """Assert one chunk of the remaining lives. (Closures that call each other would be a reference cycle.)"""
        chunk = living[-_RESTORE_ROWS:]
        del living[-_RESTORE_ROWS:]
        if chunk:
            rows = [self._assertion(identity, life) for identity, life in chunk]
            self._store.issue(rows, partial(self._asserted, living, chunk))

    def _asserted(
        self, living: list[tuple[str, Life]], chunk: Sequence[tuple[str, Life]], answers: Sequence[Issued] | None
    ) -> None:
        if answers is None:
            return  # away again; the next return starts anew
        for (identity, life), issued in zip(chunk, answers, strict=False):
            if issued.outcome is Outcome.REVOKED or issued.life != life:
                self._drop(identity)
        self._assert_next(living)

    def _assertion(self, identity: str, life: Life) -> IssueRow:
        provisional = self._ledger is not None
        return IssueRow(identity, life.ttl, Mode.ASSERT, life.generated, self.epoch_ms(identity), provisional)


def _life_of(kept: CachedIdentity | Life) -> Life:
    if isinstance(kept, Life):
        return kept
    return kept.life if kept.expires_s else NO_LIFE


def _forget(kept: CachedIdentity | Life) -> None:
    if not isinstance(kept, Life):
        kept.forget()


def _nothing(done: Callable[[Mapping[str, Any] | None], None]) -> None:
    """Return no epochs and no amendments: there is no ledger."""
    done({})
