"""Coalesces response writes so that a sleeping client is woken once per batch.

The first write to a sleeping client wakes it, and on a virtual machine that costs this process several microseconds (an
interrupt of another processor). A client or proxy with many connections that is still busy with one response when the
next arrives needs no waking. So where handlers take a while to make the responses of a batch, all are made first and
then written in a row: ten rows of a batch for 64 connections cost a quarter less CPU time that way. (Those of
recognised requests are written at once: it costs the same.)
"""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from arsenal_fast.http.response import PendingResponse

log = logging.getLogger(__name__)


class Connection(Protocol):
    """A connection that writes responses in the order of its requests."""

    def respond(self, pending: PendingResponse, response: bytes, rest: bytes = b"") -> None:
        """Write a whole response, perhaps in two pieces."""

    def abort(self) -> None:
        """Abort the connection."""


class WriteBatch:
    """Collects responses within ``with write_batch:``; the end of the outermost block writes them in order."""

    __slots__ = ("_call_soon", "_depth", "_held", "_waiting")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """``call_soon``: calls back at the end of this event-loop tick."""
        self._call_soon = call_soon
        self._depth = 0
        self._held = False
        self._waiting: list[tuple[Connection, PendingResponse, bytes, bytes]] = []

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth or not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for connection, pending, response, rest in waiting:
            try:
                connection.respond(pending, response, rest)
            except Exception:
                pending.leave()
                cut_off(connection)

    def hold(self) -> None:
        """Collect responses until the end of this event-loop tick."""
        if not self._held:
            self._held = True
            self.__enter__()
            self._call_soon(self._release)

    def _release(self) -> None:
        self._held = False
        self.__exit__(None, None, None)

    def send(self, connection: Connection, pending: PendingResponse, response: bytes, rest: bytes = b"") -> None:
        """Write a response, now or at the end of the block."""
        if self._depth:
            self._waiting.append((connection, pending, response, rest))
        else:
            connection.respond(pending, response, rest)


def cut_off(connection: Connection) -> None:
    """Abort a connection whose request failed outside its handler: the others of its batch go on.

    Called while the exception is handled.
    """
    log.exception("a request failed on its way to its response")
    connection.abort()
