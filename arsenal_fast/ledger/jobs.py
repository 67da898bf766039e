"""What the two threads do with their stores: one writes groups, the other answers questions."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from arsenal_fast.identity.history import AuditQuery
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.faults import Refused, StoreError
from arsenal_fast.ledger.store import Answer, Item, Lives, Store
from arsenal_fast.ledger.threads import PING, Entry

PRUNE_PAUSE: Final = 0.05  # seconds between two steps of pruning while nothing else is to be done
PRUNE_PATIENCE: Final = 1.0  # seconds that pruning gives way to work


class Writing:
    """Writes each group in one commit; prunes, when asked to, between the groups."""

    keeps: Final = True

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.prune_before: int | None = None
        """Set from the event loop; taken by the thread."""
        self._pruning: Iterator[int] | None = None
        self._pruned = 0.0

    def serve(self, store: Store, group: Sequence[Entry]) -> list[Any]:
        items = [_item(entry) for entry in group]
        began = time.monotonic()
        answers = self._write(store, items)
        self._counters.commit_times.observe(time.monotonic() - began)
        if self._prunes() and time.monotonic() - self._pruned > PRUNE_PATIENCE:
            with suppress(StoreError):  # the group is written; the next one will see for itself
                self._prune(store)
        return answers

    def rest(self, store: Store) -> None:
        if self._prunes():
            self._prune(store)
        else:
            store.ping()

    def pause(self) -> float:
        return PRUNE_PAUSE if self._prunes() else PING

    def _write(self, store: Store, items: Sequence[Item]) -> list[Answer | None]:
        """Write all items; None for one with a row that can never be written: the others are."""
        try:
            return list(store.write(items))
        except Refused:
            if len(items) > 1:
                middle = len(items) // 2
                return self._write(store, items[:middle]) + self._write(store, items[middle:])
        item = items[0]
        if isinstance(item, Lives) and len(item.rows) > 1:
            self._write(store, [item._replace(rows=[row]) for row in item.rows])
        else:
            self._counters.refused += 1
        return [None]

    def _prunes(self) -> bool:
        return self._pruning is not None or self.prune_before is not None

    def _prune(self, store: Store) -> None:
        if self._pruning is None and self.prune_before is not None:
            self._pruning, self.prune_before = store.pruning(self.prune_before), None
        self._pruned = time.monotonic()
        try:
            if self._pruning is not None and next(self._pruning, None) is None:
                self._pruning = None
        except StoreError:
            self._pruning = None  # the next order to prune begins where this one has ended
            raise


def _item(entry: Entry) -> Item:
    work: Item = entry.work
    if entry.told and isinstance(work, Lives):
        entry.late = True
        return Lives(work.rows, late=True)
    return work


class Find(NamedTuple):
    """Look these identities up."""

    ids: Sequence[str]


class Epochs(NamedTuple):
    """Tell all epochs."""


class Reading:
    """Answers questions; look-ups that wait together are one."""

    keeps: Final = False

    def serve(self, store: Store, group: Sequence[Entry]) -> list[Any]:
        waiting = [entry for entry in group if not entry.told]
        finds = [entry for entry in waiting if isinstance(entry.work, Find)]
        answers = dict(zip(finds, self._find(store, finds), strict=True))
        for entry in waiting:
            if entry not in answers:
                answers[entry] = self._other(store, entry)
        return [answers.get(entry) for entry in group]

    def rest(self, store: Store) -> None:
        store.ping()

    def pause(self) -> float:
        return PING

    def _find(self, store: Store, entries: Sequence[Entry]) -> list[Any]:
        if not entries:
            return []
        ids = [each for entry in entries for each in entry.work.ids]
        try:
            pasts = store.find(ids)
        except Refused:
            if len(entries) == 1:
                return [None]
            return [answer for entry in entries for answer in self._find(store, [entry])]
        answers = []
        start = 0
        for entry in entries:
            end = start + len(entry.work.ids)
            answers.append(pasts[start:end])
            start = end
        return answers

    def _other(self, store: Store, entry: Entry) -> Any:
        try:
            return store.audit(entry.work) if isinstance(entry.work, AuditQuery) else store.epochs()
        except Refused:
            return None
