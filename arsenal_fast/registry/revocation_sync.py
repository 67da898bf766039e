"""Revocations made elsewhere reach this worker before its next answer.

Every admission brings the store's revision home, for nothing: the script that charges the clients reads it.
While the revision is the one we know, nothing was revoked since, and what this worker remembers holds. When
it is another, the answers of that batch wait for one more round trip that tells what changed. So there is no
window in which a revoked identity is answered as living, and no traffic while nothing is revoked.

A store without a revision, or with a lower one than before, has lost its memory, and with it perhaps what this
worker had not heard yet. The ledger tells the epochs again before any answer leaves, and the store is told to
count on; so the revision is 0 only where a memory was lost, or before the first request of all.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from arsenal_fast.identity.revocation import Changes
from arsenal_fast.stores.ports import Revocations

log = logging.getLogger(__name__)

NOTHING: Final = -1
"""The revision of who knows nothing: no store's."""

Recall = Callable[[Callable[[Mapping[str, int] | None], None]], None]
"""Asks for all epochs ever set; None: they can't be read now."""


class RevocationSync:
    """The newest revision that this worker has caught up with, and the epochs in force.

    ``forget(ids)`` drops what is remembered of revoked identities; None is everything.
    """

    def __init__(
        self,
        revocations: Revocations,
        forget: Callable[[list[str] | None], None],
        restore: Callable[[], None],
        recall: Recall,
    ) -> None:
        """``restore``: the store has lost its memory; see to it that what this worker remembers still holds."""
        self._revocations = revocations
        self._forget = forget
        self._restore = restore
        self._recall = recall
        self.known = NOTHING
        self.epochs: dict[str, int] = {}
        """``issued_before`` in ms by prefix; "" is everything."""
        self._waiting: list[Callable[[], None]] = []

    def epoch_of(self, prefix: str) -> int:
        """Lives of the prefix that were generated before this moment (ms) are dead."""
        epochs = self.epochs
        if not epochs:
            return 0
        return max(epochs.get("", 0), epochs.get(prefix, 0))

    def is_known(self, revision: int) -> bool:
        """Whether nothing was revoked that this worker does not know."""
        return revision == self.known and not self._waiting

    def catch_up(self, revision: int, go: Callable[[], None]) -> None:
        """Call ``go`` once this worker knows all that was revoked up to ``revision``."""
        if self.is_known(revision):
            go()
            return
        self._waiting.append(go)
        if len(self._waiting) == 1:
            self._revocations.changes(max(self.known, 0), self._learn)

    def learn_epochs(self, epochs: Mapping[str, int]) -> None:
        """Take epochs from elsewhere (the ledger, at the start); they only rise."""
        for prefix, before in epochs.items():
            if before > self.epochs.get(prefix, 0):
                self.epochs[prefix] = before

    def _learn(self, changes: Changes | None) -> None:
        # None: the store went away in between. What it can't tell holds as it is known, and health says so.
        if changes is not None and (changes.revision == 0 or changes.revision < self.known):
            self._recall(partial(self._relearn, changes))
            return
        if changes is not None:
            self._apply(changes)
        self._release()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for go in waiting:
            go()

    def _apply(self, changes: Changes) -> None:
        risen = any(before > self.epochs.get(prefix, 0) for prefix, before in changes.epochs.items())
        missing = any(before > changes.epochs.get(prefix, 0) for prefix, before in self.epochs.items())
        self.learn_epochs(changes.epochs)
        if missing:  # the store has lost its memory, and another worker was the first to notice
            self._tell(changes)
            self._restore()
        if risen or changes.ids is None:
            self._forget(None)
        elif changes.ids:
            self._forget(list(changes.ids))
        self.known = changes.revision

    def _relearn(self, changes: Changes, recalled: Mapping[str, int] | None) -> None:
        """The store has lost its memory, or never had one."""
        if self.known != NOTHING:
            log.warning("the shared store has lost its memory of revocations: told it again")
        self.learn_epochs(changes.epochs)
        self.learn_epochs(recalled or {})
        self._tell(changes)
        self._restore()
        self.known = changes.revision or NOTHING
        self._release()

    def _tell(self, changes: Changes) -> None:
        self._revocations.restore_epochs(self.epochs, max(self.known, changes.revision), self._told)

    def _told(self, _revision: object) -> None:
        """Nothing to do: the next admission brings the new revision home."""
