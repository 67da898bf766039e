"""Bridges from the event loop to the store threads: they queue work and call back with a result, or None on time-out.

Rules: everything here runs on the event loop. Each ``done`` is called once, within ``timeout``: with the answer, or
None. From the first None on the bridge is not ``ready`` and calls each ``done`` with None at once, until the thread has
served a group again. So a database that is away costs one time-out, not one for each request.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.errors import Busy, StoreError, Unfit
from arsenal_fast.ledger.model import LedgerRow
from arsenal_fast.ledger.packed_rows import pack, unpack
from arsenal_fast.ledger.store import Lives, Store
from arsenal_fast.ledger.threads import MAX_ROWS, Entry, GroupHandler, StoreThread
from arsenal_fast.memory_budget import LEDGER_ENTRY, LEDGER_ROW

SLOW: Final = "The ledger does not answer in time."


def forget(answer: object) -> None:
    """No-op callback."""


class Bridge:
    """One store thread and the callbacks that wait for it."""

    def __init__(
        self,
        name: str,
        opening: Callable[[], Store],
        handler: GroupHandler,
        gap: float = 0.0,
        *,
        timeout: float,
        counters: Counters,
        changed: Callable[[], None],
    ) -> None:
        """``changed``: called when ``ready`` may have changed."""
        self.counters = counters
        self.ready = False
        self.fault = ""
        """Why it is not ready, in words that may be shown."""
        self.unfit: Unfit | None = None
        self.tried = asyncio.Event()
        """The store was opened, or could not be."""
        self.done = asyncio.Event()
        """The thread has ended."""
        self._timeout = timeout
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Entry] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._keeps = handler.keeps
        self.thread = StoreThread(name, opening, handler, gap, reports=self, post=self._post)

    def submit(self, work: Any, rows: int, done: Callable[[Any], None]) -> None:
        """Queue the work; ``done`` once: the answer in time, or None."""
        if not self.ready and not self._keeps:
            done(None)
            return
        entry = Entry(work, rows, done, self._loop.time() + self._timeout)
        if self.ready:
            self._waiting.append(entry)
            if self._timer is None:
                self._timer = self._loop.call_at(entry.deadline, self._expire)
        else:
            entry.done = forget  # frees the request that the callback holds
            self.give_up(entry)
        self.thread.submit(entry)
        if entry.answered:
            done(None)

    def end(self) -> None:
        """Call every callback that still waits with None."""
        self._reply_none_to_all()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The thread's reports.

    def served(self, group: Sequence[Entry], answers: Sequence[Any], left: int) -> None:
        waiting = self._waiting
        for entry, answer in zip(group, answers, strict=True):
            if entry.answered:
                self.too_late(entry, answer)
            else:
                entry.answered = True
                self._reply(entry, answer)
            if waiting and waiting[0].answered:
                waiting.popleft()
        self.tried.set()
        # While a backlog is worked off, a new entry at its end would time out.
        if not self.ready and left < MAX_ROWS:
            self._set_ready("")

    def give_up(self, entry: Entry) -> None:
        """Mark an entry as answered; its callback gets None."""
        entry.answered = True

    def too_late(self, entry: Entry, answer: Any) -> None:
        """Called for work that was done after its callback got None."""

    def failed(self, group: Sequence[Entry], fault: StoreError) -> None:
        self.counters.failures += 1
        if isinstance(fault, Busy):
            if self.ready:
                return  # another process commits; the entries that wait have their deadlines
        else:
            self.tried.set()  # not for Busy: at the start many processes open one database and retry
        if isinstance(fault, Unfit):
            self.unfit = fault
        self._set_ready(str(fault) or SLOW)
        self._reply_none_to_all()

    def ended(self) -> None:
        self.tried.set()
        self.done.set()

    def _reply(self, entry: Entry, answer: Any) -> None:
        # The row may wait for long after that; the request that the callback holds need not.
        done, entry.done = entry.done, forget
        try:
            done(answer)
        except Exception as error:
            # The other callbacks of the group must be called all the same.
            self._loop.call_exception_handler({"message": "A callback of the ledger has failed.", "exception": error})

    def _reply_none_to_all(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for entry in waiting:
            if not entry.answered:
                self.give_up(entry)
                self._reply(entry, None)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        waiting = self._waiting
        while waiting and waiting[0].answered:
            waiting.popleft()
        if not waiting:
            return
        if waiting[0].deadline > now:
            self._timer = self._loop.call_at(waiting[0].deadline, self._expire)
            return
        self.counters.timeouts += 1
        self._set_ready(SLOW)
        self._reply_none_to_all()

    def _set_ready(self, fault: str) -> None:
        if fault != self.fault or self.ready is bool(fault):
            self.ready = not fault
            self.fault = fault
            self._changed()

    def _post(self, callback: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: no callback is left
            self._loop.call_soon_threadsafe(callback, *arguments)


class WriteBridge(Bridge):
    """The bridge to the writer thread: what was submitted is kept, in bounded memory, until it is written.

    Rows whose callback got None may wait for long: they are packed, and count as late when they are written.
    """

    def __init__(self, *arguments: Any, capacity: int, **others: Any) -> None:
        """``capacity``: bytes that may wait; beyond it the oldest entries are dropped."""
        super().__init__(*arguments, **others)
        self._capacity = capacity
        self._size_bytes = 0

    def submit(self, work: Any, rows: int, done: Callable[[Any], None]) -> None:
        self.counters.waiting += rows
        self._size_bytes += rows * LEDGER_ROW
        super().submit(work, rows, done)
        if self._size_bytes > self._capacity:
            self._drop_oldest()

    def served(self, group: Sequence[Entry], answers: Sequence[Any], left: int) -> None:
        if group:
            rows = sum([entry.rows for entry in group])
            self.counters.commits += 1
            self.counters.rows += rows
            self.counters.waiting -= rows
            self._size_bytes -= sum(map(_weigh, group))
        super().served(group, answers, left)

    def give_up(self, entry: Entry) -> None:
        super().give_up(entry)
        if isinstance(entry.work, Lives):
            self._size_bytes -= _weigh(entry)
            entry.work = pack(entry.work.rows)
            self._size_bytes += _weigh(entry)

    def too_late(self, entry: Entry, answer: Any) -> None:
        if answer is not None and not entry.late and isinstance(entry.work, bytes):
            self._repeat(unpack(entry.work), answer)

    def _drop_oldest(self) -> None:
        counters = self.counters
        while self._size_bytes > self._capacity and (entry := self.thread.pop_oldest()) is not None:
            self._size_bytes -= _weigh(entry)
            counters.waiting -= entry.rows
            counters.dropped += entry.rows
            if not entry.answered:
                entry.answered = True
                self._reply(entry, None)

    def _repeat(self, rows: Sequence[LedgerRow], lives: Sequence[Life]) -> None:
        """Write the lives that were handed out: the caller got None while the commit kept older ones in their place."""
        rows = [row for row, life in zip(rows, lives, strict=True) if life != row.life]
        if rows:
            entry = Entry(pack(rows), len(rows), forget, 0.0)
            entry.answered = True
            self.counters.waiting += entry.rows
            self._size_bytes += _weigh(entry)
            self.thread.submit(entry)


def _weigh(entry: Entry) -> int:
    """Bytes of an entry: an upper bound for its rows, or their exact size where they are packed."""
    work = entry.work
    return LEDGER_ENTRY + len(work) if isinstance(work, bytes) else entry.rows * LEDGER_ROW
