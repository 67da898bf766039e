"""A thread with a database connection: it serves waiting entries in groups and posts results to the event loop.

The queue is a deque, whose ends are safe to use from both sides without a lock. There is one lock, that of the
condition on which an idle thread waits; no code calls out while it holds the lock, and the event loop never waits
for a thread. So nothing can deadlock. Nor is a wake-up lost: the thread sets ``_idle`` before it reads the queue, and
the others append to the queue before they read ``_idle``. A thread wakes for work, for the end, and every PING
seconds to check the database.

What arrives during one commit is the next group. Commits begin at least
``gap`` seconds apart, so that a commit's fixed cost is shared by many rows even where commits are quick; the
first row after a pause is written at once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from arsenal_fast.ledger.errors import Busy, StoreError, Unavailable
from arsenal_fast.ledger.store import Store

MAX_ROWS: Final = 512  # of one group: a commit of some ms, and the locks of others wait no longer
PING: Final = 5.0  # seconds
FIRST_DELAY: Final = 0.01  # seconds before a second try; doubled with each failure up to the last
LAST_DELAY: Final = 0.5  # seconds: the ledger is used again within this time of its return


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


class GroupHandler(Protocol):
    """Serves the groups of a thread with its store."""

    @property
    def keeps(self) -> bool:
        """Whether a group that failed is tried again until it succeeds (or its callers get None)."""

    def serve(self, store: Store, group: Sequence[Entry]) -> list[Any]:
        """One answer for each entry; raises StoreError when none was served."""

    def rest(self, store: Store) -> None:
        """Called after ``pause()`` seconds without work: check the store."""

    def pause(self) -> float:
        """Seconds to wait for work before ``rest`` is called."""


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
        self._queue: deque[Entry] = deque()
        self._idle = False
        self._closing = False
        self._condition = threading.Condition()
        self._aborted = threading.Event()
        self._store: Store | None = None
        # A daemon: a disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, entry: Entry) -> None:
        """Put an entry at the end of the queue."""
        self._queue.append(entry)
        if self._idle:
            self.nudge()

    def nudge(self) -> None:
        """Wake the thread if it is idle: for work, or to let the handler's ``rest`` be called."""
        with self._condition:
            self._condition.notify()

    def pop_oldest(self) -> Entry | None:
        """Take the oldest entry out of the queue; None where there is none."""
        try:
            return self._queue.popleft()
        except IndexError:  # the other side was quicker
            return None

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
        began = -self._gap
        while group is not None and not self._aborted.is_set():
            self._keep_gap(began)
            began = time.monotonic()
            fault = self._try(group)
            if fault is None:
                delay = FIRST_DELAY
                group = self._take(self._handler.pause())
                continue
            self._post(self._reports.failed, group, fault)
            self._drop_store(fault)
            if not self._handler.keeps:
                group = []
            if not group and self._ends():
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
            return Unavailable(f"The ledger has failed in a way that nobody foresaw ({type(error).__name__}).")
        self._post(self._reports.served, group, answers, len(self._queue))
        return None

    def _drop_store(self, fault: StoreError) -> None:
        if self._store is not None and not isinstance(fault, Busy):
            self._store.close()
            self._store = None

    def _keep_gap(self, began: float) -> None:
        left = began + self._gap - time.monotonic()
        if left > 0:
            time.sleep(left)

    def _ends(self) -> bool:
        return self._closing and not self._queue

    def _take(self, pause: float) -> list[Entry] | None:
        """The next group; an empty one when none came for so long; None at the end."""
        with self._condition:
            self._idle = True
            if not self._queue and not self._closing:
                self._condition.wait(pause)
            self._idle = False
        if self._ends():
            return None
        group = []
        rows = 0
        while rows < MAX_ROWS and (entry := self.pop_oldest()) is not None:
            rows += entry.rows
            group.append(entry)
        return group
