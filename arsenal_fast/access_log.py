"""The access log: a line for an answered request, made here and written by a thread.

ACCESS_LOG decides which requests have one. The rules of this file:

* a request without a line costs one comparison; of one with a line, that field block is searched for its trace;
* nobody waits for the reader of the log: a line goes into a bounded queue, and when that is full, lines are left
  out and counted (``LineWriter``). A pipe that nobody empties would otherwise stop every connection;
* with "errors" the lines of one method and status are bounded in time like any message that repeats;
* a line is not longer than PIPE_BUF and written in one piece, so that the lines of several workers on one pipe
  stay whole, and none begins within another one's;
* no query, no body and no credentials: of a request a line has its method, path, id and trace.
"""

import logging
import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from arsenal_fast.http.request import Request
from arsenal_fast.logs import ACCESS, WINDOW, Repeats
from arsenal_fast.trace_context import trace_context

MAX_PATH: Final = 512  # octets: a path of ours has under 40, a request target may have 8192
MAX_REQUEST_ID: Final = 128  # octets; a UUID has 36
MAX_SUBJECT: Final = 128  # characters of a service token's subject, which we minted
# An octet becomes five characters at most ("\\\\xff" in JSON), so that a line stays below PIPE_BUF.

CAPACITY: Final = 10_000  # lines that wait, some 5 MB: half a second of a worker that logs all of its requests
CLOSE_SECONDS: Final = 2.0  # that the end waits for what is still to be written

_STDERR: Final = 2


class AccessLog:
    """The port of the same name (``service.ports``); belongs to the event loop's thread."""

    def __init__(
        self,
        wanted: str,
        formatter: logging.Formatter,
        writer: "LineWriter",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``wanted``: "errors" or "all", as ACCESS_LOG says."""
        self._least = 400 if wanted == "errors" else 0
        self._repeats = Repeats() if wanted == "errors" else None
        self._formatter = formatter
        self._writer = writer
        self._clock = clock
        writer.left_out = lambda count: self._line(f"{count} access lines left out: the log is read too slowly", {})

    def __call__(self, request: Request, client: str, status: int, seconds: float) -> None:
        """Log the answer to a request, if it is wanted."""
        if status < self._least:
            return
        method = request.method
        # Known shapes only, so that a client can't make up messages without end.
        message = f"{_text(method) if len(method) <= 7 and method.isalpha() else 'other'} {status}"
        if self._repeats is not None and not self._admits(self._repeats, message):
            return
        fields: dict[str, object] = {
            "http.request.method": _text(method[:MAX_REQUEST_ID]),
            "url.path": _text(request.path[:MAX_PATH]),
            "http.response.status_code": status,
            "event.duration": int(seconds * 1e9),
            **_client(client),
        }
        if request.fields.request_id is not None:
            fields["http.request.id"] = _text(request.fields.request_id[:MAX_REQUEST_ID])
        if (trace := trace_context(request.fields.traceparent)) is not None:
            # We make no span of our own: the one that the line belongs to is the caller's request to us.
            fields["trace.id"], fields["span.id"] = trace
        self._writer.put(self._line(message, fields))

    def close(self) -> None:
        """Write what waits, for a bounded time, and say how many lines were left out of late."""
        if self._repeats is not None:
            self._tell(self._repeats, float("inf"))
        self._writer.close()

    def _admits(self, repeats: Repeats, message: str) -> bool:
        now = self._clock()
        self._tell(repeats, now)
        return repeats.admit((ACCESS, logging.INFO, message), now)

    def _tell(self, repeats: Repeats, now: float) -> None:
        for (_, _, message), count in repeats.over(now):
            self._writer.put(self._line(f"{count} more in {WINDOW:g} s left out: {message}", {}))

    def _line(self, message: str, fields: dict[str, object]) -> str:
        # As it stands: a "%" in a method is none of logging's.
        record = logging.LogRecord(ACCESS, logging.INFO, "", 0, message, None, None)
        record.__dict__["fields"] = fields
        return self._formatter.format(record)


class LineWriter:
    """Takes lines from one thread and writes them from another, which starts with the first line.

    ``write`` takes octets that end with a line, at most PIPE_BUF of them unless it is one line alone; what it
    raises as OSError is passed over. Without the GIL held it may block for as long as it likes.
    """

    def __init__(self, write: Callable[[bytes], object], capacity: int = CAPACITY) -> None:
        self.left_out: Callable[[int], str] = str
        """Makes the line that says how many were left out for want of room; called in the writing thread."""
        self._write = write
        self._capacity = capacity
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._dropped = 0  # counted by who puts
        self._told = 0  # of them, by the writing thread

    def put(self, line: str) -> None:
        """Have it written, or left out where too many wait; never waits."""
        if self._queue.qsize() >= self._capacity:
            self._dropped += 1
            return
        if self._thread is None:
            self._thread = Thread(target=self._run, name="access log", daemon=True)
            self._thread.start()
        self._queue.put(line)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Write what waits; give up after ``timeout`` seconds."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout)

    def _run(self) -> None:
        more = True
        while more:
            lines = [self._queue.get()]
            with suppress(Empty):
                while len(lines) < self._capacity:
                    lines.append(self._queue.get_nowait())
            more = None not in lines
            for piece in _pieces(line for line in (*lines, *self._untold()) if line is not None):
                with suppress(OSError, ValueError):  # a full disk, a closed pipe
                    self._write(piece)

    def _untold(self) -> Iterator[str]:
        dropped = self._dropped
        if dropped > self._told:
            yield self.left_out(dropped - self._told)
            self._told = dropped


def to_stderr(octets: bytes) -> None:
    """Write all of them."""
    while octets:
        octets = octets[os.write(_STDERR, octets) :]


def _pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Whole lines, joined to pieces that a pipe takes without tearing them (POSIX, write: PIPE_BUF)."""
    piece = b""
    for line in lines:
        octets = line.encode("utf-8", "backslashreplace") + b"\n"
        if piece and len(piece) + len(octets) > select.PIPE_BUF:
            yield piece
            piece = b""
        piece += octets
    if piece:
        yield piece


def _client(key: str) -> dict[str, object]:
    """Whom the request was charged to (``limiting.client``), under the name that ECS has for it."""
    if key.startswith("sub:"):
        return {"client.user.id": key.removeprefix("sub:")[:MAX_SUBJECT]}
    if "/" in key or not (key[:1].isdigit() or ":" in key):  # an IPv6 network, or no address at all
        return {"client.address": key}
    return {"client.address": key, "client.ip": key}


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace")
