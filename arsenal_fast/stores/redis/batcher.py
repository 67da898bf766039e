"""Gathers the rows of one event-loop tick and sends them as one command at its end.

The first row of a tick schedules the flush with ``call_soon``, after all callbacks that are ready now: no timer, no
added latency. Rows submitted together get their answers together, or None if any of them has none.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

Row = TypeVar("Row")
Answer = TypeVar("Answer")

Send = Callable[[Sequence[Row], Callable[[Sequence[Answer] | None], None]], None]


class Batcher(Generic[Row, Answer]):
    """Batches rows. ``send`` takes at most ``size`` rows and calls back once, with an answer each or None."""

    __slots__ = ("_rows", "_send", "_size", "_waiting")

    def __init__(self, send: Send[Row, Answer], size: int) -> None:
        self._send = send
        self._size = size
        self._rows: list[Row] = []
        self._waiting: list[tuple[int, Callable[[Sequence[Answer] | None], None]]] = []

    def submit(self, rows: Sequence[Row], done: Callable[[Sequence[Answer] | None], None]) -> None:
        """Add rows to the batch of this tick; ``done`` is called once, after the tick."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._rows += rows
        self._waiting.append((len(rows), done))

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        waiting, self._waiting = self._waiting, []

        def answered(answers: Sequence[Answer] | None) -> None:
            deal(waiting, answers)

        in_pieces(len(rows), self._size, lambda piece, done: self._send(rows[piece], done), answered)


def deal(
    waiting: Sequence[tuple[int, Callable[[Sequence[Answer] | None], None]]], answers: Sequence[Answer] | None
) -> None:
    """Call each callback with its part of the answers, in order, also after one that fails."""
    start = 0
    for count, done in waiting:
        try:
            done(None if answers is None else answers[start : start + count])
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a callback of the identity store failed", "exception": error}
            )
        start += count


def gather(
    groups: Mapping[int, Sequence[int]],
    send: Callable[[int, Sequence[int], Callable[[Sequence[Answer] | None], None]], None],
    done: Callable[[Sequence[Answer] | None], None],
) -> None:
    """Send groups of rows, each by its key and the indexes of its rows; ``done`` once: with all answers, or None."""
    answers: list[Answer] = [None] * sum(map(len, groups.values()))  # type: ignore[list-item]
    missing, whole = len(groups), True

    def keep(indexes: Sequence[int], part: Sequence[Answer] | None) -> None:
        nonlocal missing, whole
        missing -= 1
        if part is None:
            whole = False
        else:
            for index, answer in zip(indexes, part, strict=True):
                answers[index] = answer
        if missing == 0:
            done(answers if whole else None)

    if not groups:
        done([])
    for key, indexes in groups.items():
        send(key, indexes, partial(keep, indexes))


def in_pieces(
    total: int,
    size: int,
    send: Callable[[slice, Callable[[Sequence[Answer] | None], None]], None],
    done: Callable[[Sequence[Answer] | None], None],
) -> None:
    """Send ``total`` rows, at most ``size`` at a time; ``done`` once: with all answers in order, or None."""
    if total <= size:
        send(slice(0, total), done)
        return
    starts = range(0, total, size)
    answers: list[Sequence[Answer] | None] = [None] * len(starts)
    missing = len(starts)

    def keep(index: int, answer: Sequence[Answer] | None) -> None:
        nonlocal missing
        answers[index] = answer
        missing -= 1
        if missing == 0:
            whole: list[Answer] = []
            for piece in answers:
                if piece is None:
                    done(None)
                    return
                whole += piece
            done(whole)

    for index, start in enumerate(starts):
        send(slice(start, start + size), lambda answer, index=index: keep(index, answer))  # type: ignore[misc]
