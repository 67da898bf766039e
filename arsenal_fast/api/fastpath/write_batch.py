"""Answers that are made one after the other leave one after the other.

The first write to a client that sleeps has to wake it, and on a virtual machine that costs several microseconds of
*our* time (an interrupt of another processor). A client or proxy that has many connections, and is still busy with
one answer when the next arrives, needs no waking. So where the answers of a batch take a while to make, all are made
first and then written in a row: ten rows of a batch for 64 connections cost a quarter less CPU time that way. (What
is answered with octets that are ready is written at once: nobody falls asleep within a microsecond.)
"""

import logging
from types import TracebackType

from arsenal_fast.api.context import Exchange

log = logging.getLogger(__name__)


class Departures:
    """Within ``with departures:`` answers are kept; the end of the outermost block writes them, in order."""

    __slots__ = ("_depth", "_waiting")

    def __init__(self) -> None:
        self._depth = 0
        self._waiting: list[tuple[Exchange, bytes, bytes]] = []

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth or not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for exchange, answer, rest in waiting:
            try:
                exchange.connection.answered(exchange, answer, rest)
            except Exception:
                give_up(exchange)

    def send(self, exchange: Exchange, answer: bytes, rest: bytes = b"") -> None:
        """Hand the connection what ends the exchange, now or at the end of the block."""
        if self._depth:
            self._waiting.append((exchange, answer, rest))
        else:
            exchange.connection.answered(exchange, answer, rest)


def give_up(exchange: Exchange) -> None:
    """Cut off a client that can't be answered: one exchange must not take the others of its batch with it.

    To be called where an exception is being handled.
    """
    log.exception("an exchange failed on its way to its answer")
    exchange.leave()
    exchange.connection.abort()
