"""The two threads of a ledger, each with a store: they serve waiting entries in groups, and post results to the loop.

An idle thread waits on its queue, and the event loop never waits for a thread: so nothing can deadlock. A thread wakes
for work, for the end, and every PING seconds to check the database. None in the queue only wakes it.

What arrives during one commit is the next group. After a commit the thread waits half as long as the commit took,
``gap`` seconds at most: the callers that were answered can send their next rows, which share a commit with those that
arrived before. After a commit of several rows it waits SHARED seconds at least, since more will come and a commit
costs the processor as much as a dozen rows. The first row after a pause is written at once, and so, where commits are
quick, is each row of a lone caller.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from arsenal_fast.identity.validity import timestamp
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.errors import Busy, Refused, StoreError, Unavailable
from arsenal_fast.ledger.packed_rows import unpack
from arsenal_fast.ledger.store import PRUNE_ROWS, Answer, Item, Lives, Store

MAX_ROWS: Final = 512  # of one group: a commit of some ms, and the locks of others wait no longer
PING: Final = 5.0  # seconds
FIRST_DELAY: Final = 0.01  # seconds before a second try; doubled with each failure up to the last
LAST_DELAY: Final = 0.5  # seconds: the ledger is used again within this time of its return
PRUNE_PAUSE: Final = 0.05  # seconds between two steps of pruning while nothing else is to be done
PRUNE_PATIENCE: Final = 1.0  # seconds that pruning may wait while groups are written
PRUNE_EVERY: Final = PRUNE_ROWS // 2  # rows written after which it runs anyway: so rows are deleted faster than written
COMPANY: Final = 0.5  # of the time that a commit took: the wait for rows that share the next one
SHARED: Final = 0.002  # seconds of that wait, at least, after a commit of several rows
TRIM_LOG: Final = 3600.0  # seconds from one line about events without room to the next

log = logging.getLogger(__name__)


class Entry:
    """One piece of work, its caller's callback and deadline. ``answered``: ``done`` was called, if only with None.

    Only the event loop writes ``work`` and ``answered``; only the thread writes ``late``, from ``work`` as it found it.
    """

    __slots__ = ("answered", "deadline", "done", "late", "rows", "work")

    def __init__(self, work: Any, rows: int, done: Callable[[Any], None], deadline: float) -> None:
        self.work = work
        self.rows = rows
        self.done = done
        self.deadline = deadline
        self.answered = False
        self.late = False


class GroupHandler(ABC):
    """Serves the groups of a thread with its store."""

    keeps: ClassVar[bool]
    """Whether a group that failed is tried again until it succeeds (or its callers get None)."""

    @abstractmethod
    def serve(self, store: Store, group: Sequence[Entry]) -> list[Any]:
        """Return one answer for each entry; raises StoreError when none was served."""

    def rest(self, store: Store) -> None:
        """Check the store: called after ``pause()`` seconds without work."""
        store.ping()

    def pause(self) -> float:
        """Return the seconds to wait for work before ``rest`` is called."""
        return PING


class ThreadReports(Protocol):
    """Receives the reports of the thread, on the event loop."""

    def served(self, group: Sequence[Entry], answers: Sequence[Any], left: int) -> None:
        """The group is done; ``left`` entries wait. An empty group: the store can be used."""

    def failed(self, group: Sequence[Entry], fault: StoreError) -> None:
        """The store can't be used now."""

    def ended(self) -> None:
        """The thread has closed its store."""


class StoreThread:
    """A thread that serves a queue of entries. All public methods are thread-safe and return at once."""

    def __init__(
        self,
        name: str,
        opening: Callable[[], Store],
        handler: GroupHandler,
        gap: float,
        *,
        reports: ThreadReports,
        post: Callable[..., None],
    ) -> None:
        """``post(callback, *arguments)``: run the callback on the event loop."""
        self._opening = opening
        self._handler = handler
        self._reports = reports
        self._post = post
        self._gap = gap
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._closing = False
        self._aborted = threading.Event()
        self._store: Store | None = None
        # A daemon: a disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, entry: Entry) -> None:
        """Put an entry at the end of the queue."""
        self._queue.put(entry)

    def nudge(self) -> None:
        """Wake the thread if it is idle, to let the handler's ``rest`` be called."""
        self._queue.put(None)

    def pop_oldest(self) -> Entry | None:
        """Take the oldest entry out of the queue; None where there is none. A nudge stays."""
        nudged = False
        try:
            while (entry := self._queue.get_nowait()) is None:
                nudged = True
            return entry
        except Empty:
            return None
        finally:
            if nudged:
                self.nudge()

    def close(self) -> None:
        """Serve what waits, then end."""
        self._closing = True
        self.nudge()

    def abort(self) -> None:
        """End after the try that is under way, whatever waits."""
        self._aborted.set()
        self.close()

    def _run(self) -> None:
        group: list[Entry] | None = []  # the store is opened at once
        delay = FIRST_DELAY
        while group is not None and not self._aborted.is_set():
            began = time.monotonic()
            fault = self._try(group)
            if fault is None:
                delay = FIRST_DELAY
                if group and self._gap and not self._closing:
                    rows = sum([entry.rows for entry in group])
                    time.sleep(wait_for_company(time.monotonic() - began, rows, self._gap))
                group = self._take(self._handler.pause())
                continue
            self._post(self._reports.failed, group, fault)
            self._drop_store(fault)
            if not self._handler.keeps:
                group = []
            if not group and self._closing:
                group = self._take(0)
                if group is None:
                    break
            self._aborted.wait(delay)
            delay = min(delay * 2, LAST_DELAY)
        if self._store is not None:
            self._store.close()
        self._post(self._reports.ended)

    def _try(self, group: Sequence[Entry]) -> StoreError | None:
        used = self._store is not None
        fault = self._attempt(group)
        if fault is None or not used or isinstance(fault, Busy):
            return fault
        # Perhaps only the idle connection was closed: try once with a new one before reporting a fault.
        self._drop_store(fault)
        return self._attempt(group)

    def _attempt(self, group: Sequence[Entry]) -> StoreError | None:
        try:
            if self._store is None:
                self._store = self._opening()
            if group:
                answers = self._handler.serve(self._store, group)
            else:
                self._handler.rest(self._store)
                answers = []
        except StoreError as fault:
            return fault
        except Exception as error:
            # A fault of ours: report it, since an exception would end the thread and stop the ledger silently.
            return Unavailable(f"The ledger has failed in an unexpected way ({type(error).__name__}).")
        self._post(self._reports.served, group, answers, self._queue.qsize())
        return None

    def _drop_store(self, fault: StoreError) -> None:
        if self._store is not None and not isinstance(fault, Busy):
            self._store.close()
            self._store = None

    def _take(self, pause: float) -> list[Entry] | None:
        """The next group; an empty one when none came for so long; None at the end."""
        group: list[Entry] = []
        rows = 0
        with suppress(Empty):
            entry = self._queue.get(not self._closing, pause)
            while True:
                if entry is not None:
                    rows += entry.rows
                    group.append(entry)
                if rows >= MAX_ROWS:
                    break
                entry = self._queue.get_nowait()
        return None if self._closing and not group else group


def wait_for_company(took_s: float, rows: int, longest_s: float) -> float:
    """Return the seconds to wait after a commit: callers that were just answered send rows that can share the next."""
    wait_s = took_s * COMPANY
    return min(wait_s if rows == 1 else max(wait_s, SHARED), longest_s)


class GroupWriter(GroupHandler):
    """Writes each group in one commit; between groups it prunes on request and trims events beyond ``max_rows``."""

    keeps = True

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
            super().rest(store)

    def pause(self) -> float:
        return PRUNE_PAUSE if self._prunes() else super().pause()

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


class GroupReader(GroupHandler):
    """Serves reads: look-ups (Find), all of a group in one query, and functions of the store."""

    keeps = False

    def serve(self, store: Store, group: Sequence[Entry]) -> list[Any]:
        waiting = [entry for entry in group if not entry.answered]
        finds = [entry for entry in waiting if isinstance(entry.work, Find)]
        answers = dict(zip(finds, self._find(store, finds), strict=True))
        for entry in waiting:
            if entry not in answers:
                with suppress(Refused):
                    answers[entry] = entry.work(store)
        return [answers.get(entry) for entry in group]

    def _find(self, store: Store, entries: Sequence[Entry]) -> list[Any]:
        try:
            records = iter(store.find([each for entry in entries for each in entry.work.ids]) if entries else ())
        except Refused:
            if len(entries) == 1:
                return [None]
            return [answer for entry in entries for answer in self._find(store, [entry])]
        return [list(islice(records, len(entry.work.ids))) for entry in entries]
