"""The gate for requests about many rows: batches, and lists of identities to validate.

Every row in work takes memory, from the request's text to the answer that the client has not read, and time, in which
nobody else is served. So rows in work are bounded, for the worker and for each client, and few begin in one turn of the
event loop. Beyond that requests wait, in order for each client and clients in turn; those that wait too long, or find
too many waiting, are answered 503. All operations take constant time, but for the sweep over those that wait.

A request's rows are in work until its answer has left: ``leave``.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.ratelimit.client import Client


@dataclass(frozen=True, slots=True)
class GateBounds:
    """Rows of one worker, where no other unit is named. A row in work takes some 2.5 kB."""

    rows: int = 8_000
    rows_of_client: int = 4_000
    rows_of_turn: int = 1_000
    """Rows that begin in one turn of the loop; 1,000 take some 5 ms."""
    waiting: int = 4_096
    """Requests that may wait."""
    waiting_of_client: int = 256
    wait_s: float = 10.0
    """Seconds that a request may wait."""


class Share:
    """What one client has in work, and what waits, oldest first: the request, its rows, and when it came."""

    __slots__ = ("key", "queued", "rows", "waiting")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.rows = 0
        self.waiting: deque[tuple[Work, int, float]] | None = None
        """None before the first one waits."""
        self.queued = False
        """It is in the ring of those whose next request may begin."""


Place = tuple[Share, int]
"""Rows in work, and whose."""


class Work(Protocol):
    """A request."""

    client: Client
    place: Place | None

    @property
    def abandoned(self) -> bool:
        """Whether the client has disconnected."""

    def work(self) -> None:
        """Begin."""

    def turn_away(self) -> None:
        """Answer that there is no room."""


class Gate:
    """The rows in work of one worker."""

    def __init__(
        self,
        bounds: GateBounds,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        monotonic: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._bounds = bounds
        self._call_soon = call_soon
        self._monotonic = monotonic
        self._metrics = metrics
        self.rows = 0
        """Rows in work."""
        self._turn = 0
        """Rows that began in this turn of the loop."""
        self._waiting = 0
        self._shares: dict[bytes, Share] = {}
        self._ring: deque[Share] = deque()
        self._running = False
        """The loop will call back at the end of this turn."""

    def admits(self, work: Work, rows: int) -> bool:
        """Whether a request may begin now; if not, it begins in its turn, or is turned away."""
        key = work.client.key_bytes
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = Share(key)
        bounds = self._bounds
        if not share.waiting and not self._ring and self._fits(share, rows):
            self._place(share, work, rows)
            self._run_soon()
            return True
        if share.waiting is None:
            share.waiting = deque()
        if self._waiting >= bounds.waiting or len(share.waiting) >= bounds.waiting_of_client:
            self._turn_away(work)
            self._forget(share)
        else:
            share.waiting.append((work, rows, self._monotonic()))
            self._waiting += 1
            self._queue(share)
        return False

    def leave(self, place: Place) -> None:
        """The answer has left."""
        share, rows = place
        self.rows -= rows
        share.rows -= rows
        if share.waiting:
            self._queue(share)
        elif not share.rows and not share.queued:
            del self._shares[share.key]
        if self._ring:
            self._run_soon()

    def sweep(self, now_s: float) -> None:
        """Turn away what has waited too long; to be called about twice a second."""
        self._metrics.rows_in_work = self.rows
        if not self._waiting:
            return
        latest = now_s - self._bounds.wait_s
        for share in tuple(self._shares.values()):
            while share.waiting and share.waiting[0][2] <= latest:
                work = share.waiting[0][0]
                self._pop(share)
                if not work.abandoned:
                    self._turn_away(work)
            self._forget(share)

    def _fits(self, share: Share, rows: int) -> bool:
        bounds = self._bounds
        # One that is larger than a bound begins alone.
        return (
            (self.rows + rows <= bounds.rows or not self.rows)
            and (share.rows + rows <= bounds.rows_of_client or not share.rows)
            and (self._turn + rows <= bounds.rows_of_turn or not self._turn)
        )

    def _place(self, share: Share, work: Work, rows: int) -> None:
        self.rows += rows
        self._turn += rows
        share.rows += rows
        work.place = (share, rows)

    def _turn_away(self, work: Work) -> None:
        self._metrics.rows_refused += 1
        work.turn_away()

    def _forget(self, share: Share) -> None:
        if not share.rows and not share.waiting and not share.queued:
            self._shares.pop(share.key, None)

    def _queue(self, share: Share) -> None:
        if not share.queued:
            share.queued = True
            self._ring.append(share)
            self._run_soon()

    def _run_soon(self) -> None:
        if not self._running:
            self._running = True
            self._call_soon(self._run)

    def _run(self) -> None:
        """Let those begin whose turn it is; a client that has no room left is queued again when something leaves."""
        self._running = False
        self._turn = 0
        ring = self._ring
        while ring:
            share = ring.popleft()
            share.queued = False
            if not share.waiting:
                self._forget(share)
                continue
            work, rows, _ = share.waiting[0]
            if work.abandoned:
                self._pop(share)
            elif self._fits(share, rows):
                self._pop(share)
                self._place(share, work, rows)
                work.work()
            elif not share.rows or share.rows + rows <= self._bounds.rows_of_client:
                # It is the worker that has no room or no time: the others wait behind it.
                share.queued = True
                ring.appendleft(share)
                break
            else:
                continue
            if share.waiting:
                self._queue(share)
            else:
                self._forget(share)
        if self._turn:
            self._run_soon()  # the next turn has time again

    def _pop(self, share: Share) -> None:
        assert share.waiting
        share.waiting.popleft()
        self._waiting -= 1
