"""A thread with a store: it takes what waits, serves it as one group, and posts the outcome to the event loop.

The queue is a deque, whose ends are safe to use from both sides without a lock. There is one lock, that of the
condition on which a thread without work waits; nobody calls anything while holding it, and the event loop never
waits for a thread. So nothing can deadlock. Nor is a wake-up lost: the thread says that it is idle and then looks
at the queue, the others put something in and then look whether it is idle. A thread wakes for work, for the end,
and every PING seconds to see whether the database is still there.

The groups make themselves: what arrives during one commit is the next one's group. Commits begin at least
``gap`` seconds apart, so that a commit's fixed cost is shared by many rows even where commits are quick; the
first row after a pause does not wait for company.
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
    """One piece of work, its caller's callback and deadline. ``told``: the caller has had its answer, if only None.

    ``work`` and ``told`` are written on the event loop alone; ``late`` by the thread, as ``work`` was when it was done.
    """

    __slots__ = ("deadline", "done", "late", "rows", "told", "work")

    def __init__(self, work: Any, rows: int, done: Callable[[Any], None], deadline: float) -> None:
        self.work = work
        self.rows = rows
        self.done = done
        self.deadline = deadline
        self.told = False
        self.late = False


class Job(Protocol):
    """What a thread does with its store."""

    @property
    def keeps(self) -> bool:
        """Whether a group that failed is tried again until it succeeds (or is told None and forgotten)."""

    def serve(self, store: Store, group: Sequence[Entry]) -> list[Any]:
        """One answer for each entry; raises StoreError when none was served."""

    def rest(self, store: Store) -> None:
        """Called when nothing has come for ``pause()`` seconds: see whether the store is there."""

    def pause(self) -> float:
        """Seconds to wait for work before ``rest`` is called."""


class Listener(Protocol):
    """Whom the thread tells, on the event loop."""

    def served(self, group: Sequence[Entry], answers: Sequence[Any], left: int) -> None:
        """The group is done; ``left`` entries wait. An empty group: the store is there."""

    def failed(self, group: Sequence[Entry], fault: StoreError) -> None:
        """The store can't be used now."""

    def ended(self) -> None:
        """The thread has given its store back."""


class StoreThread:
    """Everything public may be called by any thread, and returns at once."""

    def __init__(
        self,
        name: str,
        *,
        opening: Callable[[], Store],
        job: Job,
        listener: Listener,
        post: Callable[..., None],
        gap: float = 0.0,
    ) -> None:
        """``post(callback, *arguments)``: run the callback on the event loop."""
        self._opening = opening
        self._job = job
        self._listener = listener
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
        """Wake the thread if it is idle: for work, or to let the job's ``rest`` be called."""
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
                group = self._take(self._job.pause())
                continue
            self._post(self._listener.failed, group, fault)
            self._drop_store(fault)
            if not self._job.keeps:
                group = []
            if not group and self._ends():
                break
            self._aborted.wait(delay)
            delay = min(delay * 2, LAST_DELAY)
        if self._store is not None:
            self._store.close()
        self._post(self._listener.ended)

    def _try(self, group: Sequence[Entry]) -> StoreError | None:
        used = self._store is not None
        fault = self._attempt(group)
        if fault is None or not used or isinstance(fault, Busy):
            return fault
        # Perhaps only the connection had gone, while nobody looked: nobody needs to know of that.
        self._drop_store(fault)
        return self._attempt(group)

    def _attempt(self, group: Sequence[Entry]) -> StoreError | None:
        try:
            if self._store is None:
                self._store = self._opening()
            if group:
                answers = self._job.serve(self._store, group)
            else:
                self._job.rest(self._store)
                answers = []
        except StoreError as fault:
            return fault
        except Exception as error:
            # A fault of ours. Without its thread the ledger would be silent; like this it says that it is ill.
            return Unavailable(f"The ledger has failed in a way that nobody foresaw ({type(error).__name__}).")
        self._post(self._listener.served, group, answers, len(self._queue))
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
