"""What is logged, in which form, and how much of it.

Modules log through ``logging.getLogger(__name__)``; further fields go in ``extra={"fields": {...}}`` under
their ECS names. ``setup`` decides once: one handler on the root logger, as JSON lines in the Elastic Common
Schema or as plain text, written to stderr by the thread of ``log_writer``. Rules of this file:

* one event is one line, whatever is in it: control characters are escaped in both forms, a traceback in text
  form is indented, so that nothing a client sends can look like a line of ours;
* the configuration's secrets are masked in every line, wherever they came from, and so is whatever looks
  like a token or like a password in a URL: a client may have put its own into a path or a request id;
* a message that repeats (an outage says the same thing thousands of times) is written BURST times in a
  WINDOW; then one line says how many were left out;
* to log never raises and never waits: a full disk, a closed pipe or one that nobody reads is not the service's end;
* what Python itself writes to stderr (warnings, uncaught exceptions of any thread) is logged instead.

The lines of answered requests are made in ``access_log.py``.
"""

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final

from arsenal_fast import __version__
from arsenal_fast.observability.log_writer import STDERR, LogWriter
from arsenal_fast.secret import MASK, without_passwords

SERVICE: Final = "arsenal-identity"
ECS_VERSION: Final = "8.11.0"
ACCESS: Final = "arsenal_fast.access"

BURST: Final = 5
WINDOW: Final = 10.0  # seconds
MAX_KEYS: Final = 256  # different messages watched at a time; more than the source has

_MIN_SECRET: Final = 4  # characters; to mask shorter ones would mask half of every line

# A JWT, whole or cut: base64url of '{"' (RFC 7515 section 3.1), and up to two further parts.
_JWT: Final = r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}"


class RepeatLimit:
    """How often a message may be written: at most ``burst`` times in a window of ``window`` seconds.

    Pure: time is an argument. A key's window begins with its first message; when it is over, ``ended`` returns
    how many were left out. Beyond ``max_keys`` keys the oldest window is closed early.
    """

    __slots__ = ("_burst", "_max_keys", "_seen", "_window")

    def __init__(self, burst: int = BURST, window: float = WINDOW, max_keys: int = MAX_KEYS) -> None:
        self._burst, self._window, self._max_keys = burst, window, max_keys
        self._seen: dict[tuple[str, int, str], list[float]] = {}  # [end of window, messages]; oldest first

    def admit(self, key: tuple[str, int, str], now: float) -> bool:
        """Whether this one is written. Call ``ended`` before: a window that has ended is not closed here."""
        entry = self._seen.setdefault(key, [now + self._window, 0])
        entry[1] += 1
        return entry[1] <= self._burst

    def ended(self, now: float) -> Iterator[tuple[tuple[str, int, str], int]]:
        """Close the windows that have ended; yields the key and the number of messages left out, if any were."""
        while self._seen:
            key, (end, count) = next(iter(self._seen.items()))
            if end > now and len(self._seen) < self._max_keys:
                return
            del self._seen[key]
            if (left_out := int(count) - self._burst) > 0:
                yield key, left_out


class BoundedLines:
    """Writes records as lines, a bounded number of those that repeat."""

    def __init__(
        self,
        line_of: Callable[[logging.LogRecord], str],
        put: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line_of, self._put, self._clock = line_of, put, clock
        self._limit = RepeatLimit()

    def write(self, record: logging.LogRecord, *, each: bool = False) -> None:
        """Write the line, or count it as left out; ``each``: write it however often it repeats."""
        now = self._clock()
        self._write_summaries(now)
        if each or self._limit.admit(_key(record), now):
            self._write(record)

    def close(self) -> None:
        """Write how many lines were left out since the last summary."""
        self._write_summaries(float("inf"))

    def _write_summaries(self, now: float) -> None:
        for (name, level, message), count in self._limit.ended(now):
            text = "%d more in %g s left out: %s"
            self._write(logging.LogRecord(name, level, "", 0, text, (count, WINDOW, message), None))

    def _write(self, record: logging.LogRecord) -> None:
        try:
            self._put(self._line_of(record))
        except Exception:  # a record that can't be formatted; there is no place to complain about it
            return


class LineHandler(logging.Handler):
    """Hands records to a writer as lines, fewer where they repeat; each of those with ``extra={"each": True}``."""

    def __init__(self, writer: LogWriter, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._writer = writer
        self._lines = BoundedLines(self.format, writer.put, clock)
        writer.dropped_line = self._dropped_line

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.write(record, each=getattr(record, "each", False))

    def close(self) -> None:
        """Write how many lines were left out of late, and wait for the writer, for a bounded time."""
        self._lines.close()
        self._writer.flush()
        super().close()

    def _dropped_line(self, count: int) -> str:
        text = "%d log lines left out: the log is read too slowly"
        return self.format(logging.LogRecord(__name__, logging.WARNING, "", 0, text, (count,), None))


def _key(record: logging.LogRecord) -> tuple[str, int, str]:
    """The message before its arguments are filled in: they differ where the message is the same."""
    return record.name, record.levelno, str(record.msg)[:256]


class MaskingFormatter(logging.Formatter):
    """A formatter whose lines show no secret."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._mask = masker(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(self.line(record))

    def line(self, record: logging.LogRecord) -> str:
        """Return the line before secrets are masked."""
        raise NotImplementedError


class EcsFormatter(MaskingFormatter):
    """JSON lines, ECS 8 with dotted names (the form of Elastic's own ecs-logging libraries)."""

    def line(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {
            "@timestamp": _timestamp(record.created),
            "log.level": record.levelname.lower(),
            "message": record.getMessage(),
            "ecs.version": ECS_VERSION,
            "service.name": SERVICE,
            "service.version": __version__,
            "event.dataset": f"{SERVICE}.{'access' if record.name == ACCESS else 'log'}",
            "process.pid": record.process,
            "log.logger": record.name,
            **_fields(record),
        }
        if record.exc_info and record.exc_info[0]:
            document["error.type"] = record.exc_info[0].__qualname__
            document["error.message"] = str(record.exc_info[1])
            document["error.stack_trace"] = self.formatException(record.exc_info)
        # ASCII only: U+2028, lone surrogates and other scripts are escapes, and any reader can read it.
        return json.dumps(document, default=str, separators=(",", ":"))


class TextFormatter(MaskingFormatter):
    """For people: time, level, logger, message, fields."""

    def line(self, record: logging.LogRecord) -> str:
        line = f"{_timestamp(record.created)} {record.levelname:<7} {record.name} {record.getMessage()}"
        for name, value in _fields(record).items():
            line += f" {name}={value}"
        line = escaped(line)
        if record.exc_info and record.exc_info[0]:
            for part in self.formatException(record.exc_info).split("\n"):
                line += f"\n    | {escaped(part)}"
        return line


def escaped(text: str) -> str:
    """The text with all escaped that is not printable: line ends, ESC, bidirectional marks, surrogates."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _timestamp(created: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    seconds, milliseconds = divmod(int(created * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03d}Z"


def masker(secrets: Sequence[str]) -> Callable[[str], str]:
    """Return a function that masks tokens, URL passwords, and the secrets, also as JSON or ``escaped`` write them."""
    plain = {
        form
        for secret in secrets
        if len(secret) >= _MIN_SECRET
        for form in (secret, repr(secret)[1:-1], escaped(secret))
    }
    forms = plain | {json.dumps(form)[1:-1] for form in plain}
    secret = [re.escape(form) for form in sorted(forms, key=len, reverse=True)]
    pattern = re.compile("|".join((*secret, _JWT)))
    return lambda text: without_passwords(pattern.sub(MASK, text))


def formatter(log_format: str, secrets: Sequence[str]) -> logging.Formatter:
    """Return the formatter of a value of LOG_FORMAT; it masks ``secrets``."""
    return (EcsFormatter if log_format == "ecs" else TextFormatter)(secrets)


def setup(lines: logging.Formatter, level: str, writer: LogWriter = STDERR) -> None:
    """Give the root logger our one handler, in place of all others. May be called again."""
    handler = LineHandler(writer)
    handler.setFormatter(lines)
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
        if isinstance(other, LineHandler):
            other.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    _take_over()


def _take_over() -> None:
    """Log what Python would write to stderr by itself, from any thread: it would wait for stderr's reader."""
    logging.captureWarnings(True)
    sys.excepthook = partial(_uncaught, "uncaught exception")
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread


def _uncaught(
    message: str, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    logging.getLogger(__name__).critical(message, exc_info=(kind, error or kind(), trace))


def _unraisable(unraisable: Any) -> None:
    message = unraisable.err_msg or "exception ignored"
    _uncaught(message, unraisable.exc_type, unraisable.exc_value, unraisable.exc_traceback)


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is not SystemExit:
        message = "uncaught exception in a thread"
        _uncaught(message, arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
