"""The moment of the responses that are written now: the wall clock, and what responses say of it.

One look at the clock serves all responses of an admission batch. The Date line is remade once a second, the time stamp
of verdicts and batches at most once a look.
"""

from collections.abc import Callable
from typing import Final

from arsenal_fast.http.response import ResponseHeads
from arsenal_fast.identity.validity import timestamp

STAMP_END: Final = '"}'
STAMP_OCTETS: Final = len(timestamp(0) + STAMP_END)
"""Octets of :meth:`ResponseClock.stamp`."""


class ResponseClock:
    """The wall clock as responses see it, at the moment of the last :meth:`refresh`."""

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
        """Look at the clock."""
        self.now_s = now_s = self._now()
        self._stamp = b""
        heads = self._heads
        second = int(now_s)
        if second != heads.second:
            heads.at(second)
            self.ok = heads.ok

    def head(self, status: int) -> bytes:
        """The status line, Date and the lines of every response."""
        return self._heads.head(status)

    def stamp(self) -> bytes:
        """The end of a JSON body that says when it was written."""
        if not self._stamp:
            self._stamp = (timestamp(int(self.now_s * 1000)) + STAMP_END).encode("ascii")
        return self._stamp
