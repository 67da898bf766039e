"""Shows on a terminal how far a long command is, and in a log nothing.

A command that counts what it has done has a bar; before the first count, and where there is none, the seconds that it
takes are shown, so that nobody takes it for dead.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

BAR: Final = 30
"""Characters of the bar."""

TICK_S: Final = 1.0
"""Seconds between two looks at the clock, and before anything is shown: most commands have ended by then."""

Show = Callable[[int, int], None]
"""Takes what is done, and the whole."""


@contextmanager
def shown(
    out: TextIO | None = None, monotonic: Callable[[], float] = time.monotonic, tick_s: float = TICK_S
) -> Iterator[Show | None]:
    """Yield what shows the progress while the block runs; None without a terminal. ``out``: by default stderr."""
    stream = sys.stderr if out is None else out
    if not stream.isatty():
        yield None
        return
    line = _Line(stream, monotonic)
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(tick_s):
            line.show_seconds()

    ticking = threading.Thread(target=tick, name="progress", daemon=True)
    ticking.start()
    try:
        yield line.show
    finally:
        ended.set()
        ticking.join()
        line.end()


class _Line:
    """The line of the terminal that is written anew again and again."""

    def __init__(self, stream: TextIO, monotonic: Callable[[], float]) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._begun_s = monotonic()
        self._counted = False
        self._written = False

    def show(self, done: int, whole: int) -> None:
        """Show a part of the whole as a bar."""
        self._counted = True
        share = done / whole if whole else 1.0
        filled = round(share * BAR)
        self._write(f"[{'#' * filled}{'.' * (BAR - filled)}] {share:4.0%}")

    def show_seconds(self) -> None:
        """Show how long it takes, unless there is a bar."""
        if not self._counted:
            self._write(f"working, {self._monotonic() - self._begun_s:.0f} s")

    def end(self) -> None:
        """Leave the line as it is, for what is printed next."""
        if self._written:
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._written = True
        self._stream.write(f"\r{text}")
        self._stream.flush()
