"""The event loop's side of a thread: who waits, until when, and what they are told.

Rules: everything here runs on the event loop. Whoever waits is told once, within ``timeout``: the answer, or
None. From the first None on the lane is not ``ready``, and whoever comes is told None at once, until the thread
has shown that it serves again. So a database that is away costs one time-out, not one for each request.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.errors import Busy, StoreError
from arsenal_fast.ledger.model import LedgerRow
from arsenal_fast.ledger.packed_rows import pack, unpack
from arsenal_fast.ledger.store import Lives, Store
from arsenal_fast.ledger.writer import MAX_ROWS, Entry, Job, StoreThread
from arsenal_fast.memory_budget import LEDGER_ENTRY, LEDGER_ROW

SLOW: Final = "The ledger does not answer in time."


def forget(answer: object) -> None:
    """A ``done`` of nobody."""


class Lane:
    """One thread and those who wait for it."""

    def __init__(
        self,
        name: str,
        *,
        opening: Callable[[], Store],
        job: Job,
        timeout: float,
        counters: Counters,
        changed: Callable[[], None],
        gap: float = 0.0,
    ) -> None:
        """``changed``: called when ``ready`` may have changed."""
        self.counters = counters
        self.ready = False
        self.fault = ""
        """Why it is not ready, in words that may be shown."""
        self.unfit: StoreError | None = None
        self.tried = asyncio.Event()
        """The store was opened, or could not be."""
        self.done = asyncio.Event()
        """The thread has ended."""
        self._timeout = timeout
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Entry] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.thread = StoreThread(name, opening=opening, job=job, listener=self, post=self._post, gap=gap)

    def submit(self, work: Any, rows: int, done: Callable[[Any], None]) -> None:
        """Queue the work; ``done`` once: the answer in time, or None."""
        entry = Entry(work, rows, done, self._loop.time() + self._timeout)
        if self.ready:
            self._waiting.append(entry)
            if self._timer is None:
                self._timer = self._loop.call_at(entry.deadline, self._expire)
        else:
            entry.done = forget  # which holds the whole request
            self.give_up(entry)
        self.thread.submit(entry)
        if entry.told:
            done(None)

    def close(self) -> None:
        """No more work comes."""
        self.thread.close()

    def end(self) -> None:
        """Tell all who still wait that nobody will answer."""
        self._tell_all_none()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The thread's reports.

    def served(self, group: Sequence[Entry], answers: Sequence[Any], left: int) -> None:
        waiting = self._waiting
        for entry, answer in zip(group, answers, strict=True):
            if entry.told:
                self.too_late(entry, answer)
            else:
                entry.told = True
                self._tell(entry, answer)
            if waiting and waiting[0].told:
                waiting.popleft()
        self.tried.set()
        # While a backlog is worked off, whoever joined at its end would wait in vain.
        if not self.ready and left < MAX_ROWS:
            self._set_ready("")

    def give_up(self, entry: Entry) -> None:
        """Mark an entry whose caller is about to be told None."""
        entry.told = True

    def too_late(self, entry: Entry, answer: Any) -> None:
        """Called for work that was done after somebody was told None."""

    def failed(self, group: Sequence[Entry], fault: StoreError) -> None:
        self.counters.failures += 1
        if isinstance(fault, Busy):
            if self.ready:
                return  # somebody else's commit; those who wait have their deadlines
        else:
            self.tried.set()  # at the start many open one database: whoever is not the first tries again
        self._set_ready(str(fault) or SLOW)
        self._tell_all_none()

    def ended(self) -> None:
        self.tried.set()
        self.done.set()

    def _tell(self, entry: Entry, answer: Any) -> None:
        # A row may wait for long after that; what it waited for (the whole request) need not.
        done, entry.done = entry.done, forget
        try:
            done(answer)
        except Exception as error:
            # The others of the group must have their answers all the same.
            self._loop.call_exception_handler({"message": "A callback of the ledger has failed.", "exception": error})

    def _tell_all_none(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for entry in waiting:
            if not entry.told:
                self.give_up(entry)
                self._tell(entry, None)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        waiting = self._waiting
        while waiting and waiting[0].told:
            waiting.popleft()
        if not waiting:
            return
        if waiting[0].deadline > now:
            self._timer = self._loop.call_at(waiting[0].deadline, self._expire)
            return
        self.counters.timeouts += 1
        self._set_ready(SLOW)
        self._tell_all_none()

    def _set_ready(self, fault: str) -> None:
        if fault != self.fault or self.ready is bool(fault):
            self.ready = not fault
            self.fault = fault
            self._changed()

    def _post(self, callback: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *arguments)


class WriteLane(Lane):
    """Nothing that was submitted is lost: it waits, in bounded memory, whatever its caller was told.

    Rows whose caller was told None may wait for long: they are packed, and are late when they are written.
    """

    def __init__(self, name: str, *, capacity: int, **others: Any) -> None:
        """``capacity``: octets that may wait; beyond it the oldest go."""
        super().__init__(name, **others)
        self._capacity = capacity
        self._octets = 0

    def submit(self, work: Any, rows: int, done: Callable[[Any], None]) -> None:
        self.counters.waiting += rows
        self._octets += rows * LEDGER_ROW
        super().submit(work, rows, done)
        if self._octets > self._capacity:
            self._drop_oldest()

    def served(self, group: Sequence[Entry], answers: Sequence[Any], left: int) -> None:
        if group:
            rows = sum([entry.rows for entry in group])
            self.counters.commits += 1
            self.counters.rows += rows
            self.counters.waiting -= rows
            self._octets -= sum(map(_weigh, group))
        super().served(group, answers, left)

    def give_up(self, entry: Entry) -> None:
        super().give_up(entry)
        if isinstance(entry.work, Lives):
            self._octets -= _weigh(entry)
            entry.work = pack(entry.work.rows)
            self._octets += _weigh(entry)

    def too_late(self, entry: Entry, answer: Any) -> None:
        if answer is not None and not entry.late and isinstance(entry.work, bytes):
            self._repeat(unpack(entry.work), answer)

    def _drop_oldest(self) -> None:
        counters = self.counters
        while self._octets > self._capacity and (entry := self.thread.pop_oldest()) is not None:
            self._octets -= _weigh(entry)
            counters.waiting -= entry.rows
            counters.dropped += entry.rows
            if not entry.told:
                entry.told = True
                self._tell(entry, None)

    def _repeat(self, rows: Sequence[LedgerRow], lives: Sequence[Life]) -> None:
        """Write what was handed out in the end, after all: its caller was told None while the commit was under way."""
        rows = [row for row, life in zip(rows, lives, strict=True) if life != row.life]
        if rows:
            entry = Entry(pack(rows), len(rows), forget, 0.0)
            entry.told = True
            self.counters.waiting += entry.rows
            self._octets += _weigh(entry)
            self.thread.submit(entry)


def _weigh(entry: Entry) -> int:
    """Octets that an entry takes: the most that its rows can, or just what they do where they are packed."""
    work = entry.work
    return LEDGER_ENTRY + len(work) if isinstance(work, bytes) else entry.rows * LEDGER_ROW
