"""The clock of responses: the wall clock, and the header lines and time stamps made from it.

The clock is read once for all responses of an admission batch. The Date line is built once a second, the time stamp of
verdicts and batches at most once per reading.
"""

from collections.abc import Callable
from typing import Final

from arsenal_fast.http.response import ResponseHeads
from arsenal_fast.identity.validity import timestamp

STAMP_END: Final = '"}'
STAMP_BYTES: Final = len(timestamp(0) + STAMP_END)
"""Bytes of :meth:`ResponseClock.stamp`."""


class ResponseClock:
    """The wall clock for responses, as of the last :meth:`refresh`."""

    __slots__ = ("_heads", "_now", "_stamp", "now_s", "ok")

    def __init__(self, now: Callable[[], float], heads: ResponseHeads) -> None:
        """``now``: wall clock, seconds since the epoch."""
        self._now = now
        self._heads = heads
        self._stamp = b""
        self.now_s = 0.0
        self.ok = heads.ok
        """Head of a 200."""
        self.refresh()

    def refresh(self) -> None:
        """Read the clock."""
        self.now_s = now_s = self._now()
        self._stamp = b""
        heads = self._heads
        second = int(now_s)
        if second != heads.second:
            heads.at(second)
            self.ok = heads.ok

    def head(self, status: int) -> bytes:
        """Return the status line, Date and the lines of every response."""
        return self._heads.head(status)

    def stamp(self) -> bytes:
        """Return the end of a JSON body, with its time stamp."""
        if not self._stamp:
            self._stamp = (timestamp(int(self.now_s * 1000)) + STAMP_END).encode("ascii")
        return self._stamp
