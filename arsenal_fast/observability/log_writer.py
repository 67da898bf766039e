"""Writes the lines of every log of this process to stderr, in a thread of its own.

The rules of this file:

* ``put`` never waits: a line goes into a bounded queue (lines and characters), and is dropped and counted if that
  is full. A pipe without a reader, or a stopped terminal, would otherwise block the event loop;
* once there is room again, a line has the number of dropped ones (``dropped_line``);
* lines are written in the order of ``put``, whole, in pieces of at most PIPE_BUF bytes (POSIX, write), so that
  the lines of several processes on one pipe don't mix; a line that is longer is one piece by itself;
* ``flush`` waits for a bounded time, and the thread is a daemon: a blocked stderr keeps no process from its exit;
* a forked child begins with an empty queue and no thread: the parent writes the lines in its queue.
"""

import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, RLock, Thread
from typing import Final

MAX_LINES: Final = 10_000
"""Lines in the queue, some 5 MB: half a second of a worker that logs all of its requests."""

MAX_CHARACTERS: Final = 16 << 20
"""Characters in the queue, for lines with long tracebacks."""

FLUSH_SECONDS: Final = 2.0
"""Seconds that the end of a process waits for its last lines."""

_STDERR: Final = 2


def to_stderr(data: bytes) -> None:
    """Write all data to stderr, however long it takes."""
    while data:
        try:
            data = data[os.write(_STDERR, data) :]
        except BlockingIOError:  # another process that shares the pipe has made it non-blocking
            select.select([], [_STDERR], [])


class LogWriter:
    """Takes lines from any thread and writes them from one, which starts with the first line.

    ``write`` takes bytes that end with a line. It may block, without the GIL; when it
    raises OSError or ValueError, the lines count as dropped.
    """

    def __init__(
        self,
        write: Callable[[bytes], object] = to_stderr,
        max_lines: int = MAX_LINES,
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        self.dropped_line: Callable[[int], str] = "{} log lines left out".format
        """Returns the line with the number of dropped lines; called in the writing thread."""
        self.dropped = 0
        """Lines that were not written: no room in the queue, or a write that failed."""
        self._write = write
        self._max_lines, self._max_characters = max_lines, max_characters
        self._reported = 0  # of ``dropped``; of the writing thread alone
        self.reset()

    def reset(self) -> None:
        """Drop lines and thread in a forked child: the parent's lock may be taken, its thread does not exist."""
        # Reentrant: a finalizer that logs may run within ``put`` itself.
        self._lock = RLock()
        self._queue: SimpleQueue[str | Event] = SimpleQueue()
        self._thread: Thread | None = None
        self._lines = self._characters = 0  # that wait in the queue
        self.dropped = self._reported = 0

    def put(self, line: str) -> None:
        """Queue the line, or drop it if the queue is full; never waits."""
        with self._lock:
            if self._lines >= self._max_lines or self._characters >= self._max_characters:
                self.dropped += 1
                return
            if self._thread is None:
                self._start()
            self._lines += 1
            self._characters += len(line)
            self._queue.put(line)

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Wait until all lines so far are written, ``timeout`` seconds at most; False if some were not."""
        if self._thread is None:
            return True
        written = Event()
        self._queue.put(written)
        return written.wait(timeout)

    def _start(self) -> None:
        thread = Thread(target=self._run, name="log writer", daemon=True)
        with suppress(RuntimeError):  # no thread can be started now; the next line tries again
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # signals are for the main thread
        while True:
            lines, flushed = self._take()
            dropped = self.dropped
            for piece, count in _pieces(lines):
                self._write_piece(piece, count)
            if dropped > self._reported and self._write_piece(_encoded(self.dropped_line(dropped - self._reported)), 0):
                self._reported = dropped
            for event in flushed:
                event.set()

    def _take(self) -> tuple[list[str], list[Event]]:
        """Wait for lines, then take all of them."""
        taken = [self._queue.get()]
        with suppress(Empty):
            while len(taken) < self._max_lines:
                taken.append(self._queue.get_nowait())
        lines = [each for each in taken if isinstance(each, str)]
        with self._lock:
            self._lines -= len(lines)
            self._characters -= sum(map(len, lines))
        return lines, [each for each in taken if not isinstance(each, str)]

    def _write_piece(self, piece: bytes, lines: int) -> bool:
        try:
            self._write(piece)
        except (OSError, ValueError):  # a full disk, a closed pipe
            with self._lock:
                self.dropped += lines
            return False
        return True


def _pieces(lines: Iterable[str]) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines joined to pieces that a pipe writes atomically, with the number of lines of each."""
    piece, count = b"", 0
    for line in lines:
        data = _encoded(line)
        if piece and len(piece) + len(data) > select.PIPE_BUF:
            yield piece, count
            piece, count = b"", 0
        piece += data
        count += 1
    if piece:
        yield piece, count


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace") + b"\n"


STDERR: Final = LogWriter()
"""The writer of the process: one stderr, one order of lines."""

os.register_at_fork(after_in_child=STDERR.reset)
