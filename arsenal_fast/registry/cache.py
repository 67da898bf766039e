"""The identities that this worker knows to live, and how that stays true.

An entry holds while it is in here. When it is dropped for want of room, when its identity is revoked (the revision of
the revocations tells, wherever it was revoked), or when another life takes its place, it is forgotten: everything that
still refers to the entry sees that it has expired and asks the store.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import lru_cache, partial
from typing import Final

from arsenal_fast.cache import GenerationalCache
from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.validity import Issued, IssueRow, Life, Mode, Outcome
from arsenal_fast.memory_budget import weigh_record
from arsenal_fast.registry.revocation_sync import Recall, RevocationSync
from arsenal_fast.stores.ports import IdentityStore, Ledger, Revocations

_RESTORE_ROWS: Final = 200
"""Rows asserted at a time after an outage: small enough that Redis and the loop stay responsive."""

NO_LIFE: Final = Life(0, 0)

ISSUE_SCOPE: Final = "issue"
"""What a service token must allow whose holder is to get an identity with a protected prefix."""


class CachedIdentity:
    """One life of one identity. Compared by identity: one entry for one life."""

    __slots__ = ("expires_s", "fresh_until_s", "id", "life", "required_scope")

    def __init__(self, identity: str, required_scope: str | None = None) -> None:
        """``identity``: a valid id. ``required_scope``: what the token of a caller must allow who is to get it."""
        self.id = identity
        self.required_scope = required_scope
        self.life = NO_LIFE
        self.fresh_until_s = 0.0
        """Wall clock: from here on the store has to be asked, for it is time to renew."""
        self.expires_s = 0.0

    def begin(self, life: Life) -> None:
        """Take the life that the store or the ledger tells."""
        self.life = life
        self.fresh_until_s, self.expires_s = _ends(life)

    def forget(self) -> None:
        """Count as expired from now on."""
        self.fresh_until_s = self.expires_s = 0.0


@lru_cache(maxsize=64)  # identities are issued many at a time, and then their lives are equal
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
    ) -> None:
        """
        Args:
            capacity: identities of a generation at most.
            room: octets of a generation.
            now: the wall clock, seconds since the epoch.
            make: makes an entry of an id and the scope that it requires.
            protected: prefixes, in lower case, whose identities require the scope ``issue``.
        """
        self._store = store
        self._ledger = ledger
        self._now = now
        self._make = make
        self._protected = protected
        self._entries: GenerationalCache[str, CachedIdentity] = GenerationalCache(
            capacity, _forget, weigh=weigh_record, room=room
        )
        self.get = self._entries.get
        """The entry of an id, fresh or not; or None."""
        self.invalidations = 0
        """How often entries were dropped because something was revoked."""
        recall: Recall = _no_epochs if ledger is None else ledger.epochs
        self.sync = RevocationSync(revocations, self.invalidate, self.restore, recall)

    def __len__(self) -> int:
        return len(self._entries)

    def get_all(self, ids: Sequence[str]) -> list[CachedIdentity | None]:
        """The entries of ids, fresh or not."""
        young = list(map(self._entries.young.get, ids))
        return list(map(self._entries.get, ids)) if None in young else young

    def holds_all(self, ids: Sequence[str]) -> bool:
        """Whether there is an entry of each id in the younger generation; quick, and sometimes wrongly False."""
        return None not in map(self._entries.young.get, ids)

    def put(self, identity: str, life: Life) -> CachedIdentity:
        """Return the one entry of this life of a valid id: the one that is there, else a new one."""
        scope = None
        if self._protected and split(identity).prefix.lower() in self._protected:
            scope = ISSUE_SCOPE
        entry = self._make(identity, scope)
        replaced = self._entries.swap(identity, entry)
        if replaced is not None:
            # One entry for one life, one life for one identity: what is forgotten is then forgotten everywhere.
            if replaced.life == life and replaced.fresh_until_s:
                self._entries.put(identity, replaced)
                return replaced
            replaced.forget()
        entry.begin(life)
        return entry

    def drop(self, entry: CachedIdentity) -> None:
        """Forget an entry that may have been revoked before it was here."""
        self._entries.discard(entry.id)
        entry.forget()

    def invalidate(self, ids: Sequence[str] | None) -> None:
        """Drop these identities, or all of them: they were revoked."""
        self.invalidations += 1
        if ids is None:
            self._entries.clear()
            return
        for identity in ids:
            entry = self._entries.peek(identity)
            if entry is not None:
                self.drop(entry)

    def learn_epochs(self, epochs: Mapping[str, int]) -> None:
        """Take epochs from the ledger; where one has risen, nothing that is remembered can be trusted."""
        before = dict(self.sync.epochs)
        self.sync.learn_epochs(epochs)
        if self.sync.epochs != before:
            self.invalidate(None)

    def epoch_ms(self, identity: str) -> int:
        """Lives of this id that were generated before this moment are dead."""
        return self.sync.epoch_of(split(identity).prefix) if self.sync.epochs else 0

    def confirmation(self, identity: str, life: Life) -> IssueRow:
        """The row that tells the store of a life that the ledger holds."""
        return IssueRow(identity, life.ttl, Mode.CONFIRM, life.generated, self.epoch_ms(identity))

    def restore(self) -> None:
        """Make what is remembered hold again, after the shared store was away or has lost its memory.

        A ledger that answers knows better, for it also has what was revoked meanwhile: then everything is dropped here
        and looked up again. Else what is remembered to live is asserted in the store.
        """
        if self._ledger is not None and self._ledger.healthy:
            self.invalidate(None)
            return
        now_s = self._now()
        self._assert_next([entry for entry in self._entries.held() if now_s < entry.expires_s])

    def _assert_next(self, entries: list[CachedIdentity]) -> None:
        """Assert a chunk of the entries that are left. (Closures that called each other would be a cycle.)"""
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


def _no_epochs(done: Callable[[Mapping[str, int] | None], None]) -> None:
    """Tell that no epoch is on record, where there is no ledger."""
    done({})
