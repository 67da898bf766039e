"""The work of the two store threads: one writes groups of rows, the other serves reads."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, NamedTuple

from arsenal_fast.identity.validity import timestamp
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.errors import Refused, StoreError
from arsenal_fast.ledger.packed_rows import unpack
from arsenal_fast.ledger.store import PRUNE_ROWS, Answer, Item, Lives, Store
from arsenal_fast.ledger.writer import PING, Entry

PRUNE_PAUSE: Final = 0.05  # seconds between two steps of pruning while nothing else is to be done
PRUNE_PATIENCE: Final = 1.0  # seconds that pruning may wait while groups are written
PRUNE_EVERY: Final = PRUNE_ROWS // 2  # rows written after which it runs anyway: so rows are deleted faster than written
TRIM_LOG: Final = 3600.0  # seconds from one line about events without room to the next

log = logging.getLogger(__name__)


class GroupWriter:
    """Writes each group in one commit; between groups it prunes on request and trims events beyond ``max_rows``."""

    keeps: Final = True

    def __init__(self, counters: Counters, max_rows: int = 0, now: Callable[[], float] = time.time) -> None:
        """``max_rows``: events that are kept, 0 for all. ``now``: the wall clock, seconds."""
        self._counters = counters
        self._max_rows = max_rows
        self._now = now
        self.prune_before: int | None = None
        """Set from the event loop; taken by the thread."""
        self._pruning: Iterator[int] | None = None
        self._pruned = 0.0
        self._written = 0
        """Rows since the last step of pruning or trimming."""
        self._full = max_rows > 0
        """There may be more than ``max_rows`` events."""
        self._kept_since = 0
        """The retention keeps events from that moment (ms) on."""
        self._logged = -TRIM_LOG

    def serve(self, store: Store, group: Sequence[Entry]) -> list[Any]:
        items = [_item(entry) for entry in group]
        began = time.monotonic()
        answers = self._write(store, items)
        self._counters.commit_times.observe(time.monotonic() - began)
        self._written += sum([entry.rows for entry in group])
        self._full = self._full or (self._max_rows > 0 and self._written >= PRUNE_EVERY)
        if self._prunes() and (self._written >= PRUNE_EVERY or time.monotonic() - self._pruned > PRUNE_PATIENCE):
            with suppress(StoreError):  # the group is written; a lasting fault shows with the next one
                self._prune(store)
                while self._prunes() and self._written >= PRUNE_EVERY:  # a group may be a batch of 1,000 rows
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
        return self._full or self._pruning is not None or self.prune_before is not None

    def _prune(self, store: Store) -> None:
        if self._pruning is None and self.prune_before is not None:
            self._kept_since, self.prune_before = self.prune_before, None
            self._pruning = store.pruning(self._kept_since)
        self._pruned, self._written = time.monotonic(), max(self._written - PRUNE_EVERY, 0)
        if self._full:
            self._trim(store)
        try:
            if self._pruning is not None and next(self._pruning, None) is None:
                self._pruning = None
        except StoreError:
            self._pruning = None  # the next pruning begins where this one has ended
            raise

    def _trim(self, store: Store) -> None:
        deleted, newest = store.trim(self._max_rows, int(self._now() * 1000))
        self._full = deleted > 0
        if not deleted or newest < self._kept_since:
            return
        self._counters.trimmed += deleted
        if self._pruned - self._logged >= TRIM_LOG:
            self._logged = self._pruned
            log.warning(
                "the ledger is full (LEDGER_MAX_ROWS is %d): its oldest events leave before their retention is over,"
                " up to %s so far",
                *(self._max_rows, timestamp(newest)),
            )


def _item(entry: Entry) -> Item:
    work: Item | bytes = entry.work
    if isinstance(work, bytes):
        entry.late = True
        return Lives(unpack(work), late=True)
    return work


class Find(NamedTuple):
    """Look these identities up."""

    ids: Sequence[str]


class GroupReader:
    """Serves reads: look-ups (Find), all of a group in one query, and functions of the store."""

    keeps: Final = False

    def serve(self, store: Store, group: Sequence[Entry]) -> list[Any]:
        waiting = [entry for entry in group if not entry.answered]
        finds = [entry for entry in waiting if isinstance(entry.work, Find)]
        answers = dict(zip(finds, self._find(store, finds), strict=True))
        for entry in waiting:
            if entry not in answers:
                with suppress(Refused):
                    answers[entry] = entry.work(store)
        return [answers.get(entry) for entry in group]

    def rest(self, store: Store) -> None:
        store.ping()

    def pause(self) -> float:
        return PING

    def _find(self, store: Store, entries: Sequence[Entry]) -> list[Any]:
        try:
            records = iter(store.find([each for entry in entries for each in entry.work.ids]) if entries else ())
        except Refused:
            if len(entries) == 1:
                return [None]
            return [answer for entry in entries for answer in self._find(store, [entry])]
        return [list(islice(records, len(entry.work.ids))) for entry in entries]
