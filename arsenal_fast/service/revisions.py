"""Revocations made elsewhere reach this worker before its next answer.

Every admission brings the store's revision home, for nothing: the script that charges the clients reads it.
While the revision is the one we know, nothing was revoked since, and what this worker remembers holds. When
it is another, the answers of that batch wait for one more round trip that tells what changed. So there is no
window in which a revoked identity is answered as living, and no traffic while nothing is revoked.
"""

import logging
from collections.abc import Callable, Mapping

from arsenal_fast.identity.revocation import Changes
from arsenal_fast.service.ports import Revocations

log = logging.getLogger(__name__)


class Revisions:
    """The newest revision that this worker has caught up with, and the epochs in force.

    ``forget(ids, prefixes)`` drops what is remembered of revoked identities; None is everything.
    """

    def __init__(
        self,
        revocations: Revocations,
        forget: Callable[[list[str] | None], None],
        restore: Callable[[], None],
    ) -> None:
        """``restore``: the store has lost its memory; tell it what this worker knows to live."""
        self._revocations = revocations
        self._forget = forget
        self._restore = restore
        self.known = 0
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
            self._revocations.changes(self.known, self._learn)

    def learn_epochs(self, epochs: Mapping[str, int]) -> None:
        """Take epochs from elsewhere (the ledger, at the start); they only rise."""
        for prefix, before in epochs.items():
            if before > self.epochs.get(prefix, 0):
                self.epochs[prefix] = before

    def _learn(self, changes: Changes | None) -> None:
        # None: the store went away in between. What it can't tell holds as it is known, and health says so.
        if changes is not None:
            self._apply(changes)
        waiting, self._waiting = self._waiting, []
        for go in waiting:
            go()

    def _apply(self, changes: Changes) -> None:
        lost = changes.revision < self.known
        risen = any(before > self.epochs.get(prefix, 0) for prefix, before in changes.epochs.items())
        missing = {prefix: before for prefix, before in self.epochs.items() if before > changes.epochs.get(prefix, 0)}
        self.learn_epochs(changes.epochs)
        if lost or missing:
            log.warning("the shared store has lost its memory of revocations: told it again")
            self._revocations.restore_epochs(self.epochs, max(self.known, changes.revision), self._restored)
            self._restore()
        if risen or (changes.ids is None and not lost):
            self._forget(None)
        elif changes.ids:
            self._forget(list(changes.ids))
        self.known = changes.revision

    def _restored(self, _revision: object) -> None:
        """Nothing to do: the next admission brings the new revision home."""
