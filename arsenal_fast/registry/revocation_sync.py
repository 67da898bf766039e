"""Applies revocations made elsewhere before this worker's next response.

Every admission returns the store's revision at no cost: the script that charges the clients reads it. While the
revision is unchanged, nothing was revoked, and the worker's cache is valid. When it differs, the responses of that
batch wait for one more round trip that fetches the changes. So there is no window in which a revoked identity counts
as living, and no traffic while nothing is revoked.

A store without a revision, or with a lower one than before, has lost its memory, perhaps with changes that this worker
had not fetched yet. Then the epochs are read from the ledger before any response leaves, and written to the store with
a higher revision. So the revision is 0 only where a memory was lost, or before the first request of all.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from arsenal_fast.identity.revocation import Changes
from arsenal_fast.stores.ports import Revocations

log = logging.getLogger(__name__)

NO_REVISION: Final = -1
"""The revision of a worker that has not read one yet; no store has it."""

ReadEpochs = Callable[[Callable[[Mapping[str, int] | None], None]], None]
"""Reads all epochs ever set; None: they can't be read now."""


@dataclass(eq=False)
class RevocationSync:
    """The newest revision that this worker has applied, and the epochs in force."""

    revocations: Revocations
    forget: Callable[[list[str] | None], None]
    """Drops the cache entries of revoked identities; None drops all."""
    restore: Callable[[], None]
    """Called when the store has lost its memory, to assert the cached identities again."""
    read_epochs: ReadEpochs
    known: int = NO_REVISION
    epochs: dict[str, int] = field(default_factory=dict)
    """``issued_before`` in ms by prefix; "" is the key for all identities."""
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def epoch_of(self, prefix: str) -> int:
        """Return the moment (ms) before which all lives of the prefix are revoked; 0: none are."""
        epochs = self.epochs
        if not epochs:
            return 0
        return max(epochs.get("", 0), epochs.get(prefix, 0))

    def is_known(self, revision: int) -> bool:
        """Whether this worker has applied all changes up to the revision."""
        return revision == self.known and not self._waiting

    def catch_up(self, revision: int, go: Callable[[], None]) -> None:
        """Call ``go`` once all changes up to ``revision`` are applied."""
        if self.is_known(revision):
            go()
            return
        self._waiting.append(go)
        if len(self._waiting) == 1:
            self.revocations.changes(max(self.known, 0), self._learn)

    def learn_epochs(self, epochs: Mapping[str, int]) -> None:
        """Merge epochs from elsewhere (the ledger, at the start); they only rise."""
        for prefix, before in epochs.items():
            if before > self.epochs.get(prefix, 0):
                self.epochs[prefix] = before

    def _learn(self, changes: Changes | None) -> None:
        # None: the store went away in between. Then the known state stays in use, and health reports the outage.
        if changes is not None and (changes.revision == 0 or changes.revision < self.known):
            self.read_epochs(partial(self._learn_anew, changes))
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
        if missing:  # the store has lost its memory, and another worker has restored it already
            self._restore_epochs(changes)
            self.restore()
        if risen or changes.ids is None:
            self.forget(None)
        elif changes.ids:
            self.forget(list(changes.ids))
        self.known = changes.revision

    def _learn_anew(self, changes: Changes, recalled: Mapping[str, int] | None) -> None:
        """Restore a store that has lost its memory, or never had one."""
        if self.known != NO_REVISION:
            log.warning("the shared store has lost its memory of revocations: they were written back")
        self.learn_epochs(changes.epochs)
        self.learn_epochs(recalled or {})
        self._restore_epochs(changes)
        self.restore()
        self.known = changes.revision or NO_REVISION
        self._release()

    def _restore_epochs(self, changes: Changes) -> None:
        self.revocations.restore_epochs(self.epochs, max(self.known, changes.revision), self._ignore)

    def _ignore(self, _revision: object) -> None:
        """Do nothing: the next admission reads the new revision."""
