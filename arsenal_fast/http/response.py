"""Builds responses as bytes from prepared parts.

A response is ``head + lines + tail``: *head* is the status line, Date and the lines of every response,
built once a second; *lines* are those of this request (rate limit, echoed id); *tail* is content type, length, empty
line and body, made once per body. The hot path joins these pieces.

Each header line must come from :func:`line` or be a constant, so that no value contains CR or LF (RFC 9110 5.5).
"""

from datetime import UTC, datetime
from typing import ClassVar, Final

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
NO_CONTENT: Final = 204
NO_STORE: Final = b"Cache-Control: no-store\r\n"

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# RFC 9110 15, RFC 6585 for 429 and 431. Not http.HTTPStatus, whose phrases change with the version of Python.
PHRASES: Final = {
    200: "OK",
    201: "Created",
    204: "No Content",
    302: "Found",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
"""Reason phrases of all statuses that are sent."""

STATUS_LINES: Final = {status: f"HTTP/1.1 {status} {phrase}\r\n".encode() for status, phrase in PHRASES.items()}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def http_date(seconds: int) -> bytes:
    """Return an IMF-fixdate (RFC 9110 5.6.7), whatever the locale."""
    at = datetime.fromtimestamp(seconds, UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at:%d} {month} {at.year:04d} {at:%H:%M:%S} GMT".encode()


def line(name: str, value: str | bytes) -> bytes:
    """Return one field line.

    Raises ValueError for a value with control characters: nothing that a client sent may end a line.
    """
    data = value.encode() if isinstance(value, str) else value
    if any(byte < 0x20 or byte == 0x7F for byte in data):
        raise ValueError(f"{name} may not hold control characters")
    return name.encode() + b": " + data + b"\r\n"


def tail(content_type: bytes, body: bytes, lines: bytes = b"") -> bytes:
    """Return the end of a response: its own header lines, type, length, empty line, body."""
    return b"%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (lines, content_type, len(body), body)


def without_body(answer: bytes) -> bytes:
    """Return a response or tail without its body, for HEAD: the same field lines (RFC 9110 9.3.2)."""
    end = answer.find(b"\r\n\r\n")
    return answer if end < 0 else answer[: end + 4]


class ResponseHeads:
    """The first part of every response, built once a second."""

    __slots__ = ("_common", "_date", "_memo", "ok", "second")

    def __init__(self, common: bytes) -> None:
        """``common``: the lines of every response, each ended by CRLF."""
        self._common = common
        self.second = -1
        """The second of the Date, since the epoch."""
        self._memo: dict[int, bytes] = {}
        self._date = b""
        self.ok = b""
        """The head of a 200."""
        self.at(0)

    def at(self, second: int) -> None:
        """Set the second of the wall clock."""
        self.second = second
        self._date = b"Date: " + http_date(second) + b"\r\n"
        self._memo.clear()
        self.ok = self.head(200)

    def head(self, status: int) -> bytes:
        """Return the status line, Date and common lines."""
        head = self._memo.get(status)
        if head is None:
            head = self._memo[status] = STATUS_LINES[status] + self._date + self._common
        return head


class PendingResponse:
    """The place of one response in the order of its connection."""

    __slots__ = ("close", "held", "place", "response", "rest")

    leaves_nothing: ClassVar[bool] = False
    """Whether it never closes, and occupies and holds nothing."""

    def __init__(self, *, close: bool) -> None:
        self.close = close
        """Whether the connection ends after this response."""
        self.place: object = None
        """What the request occupies until :meth:`leave`; None: nothing."""
        self.held = 0
        """Bytes of the request's body that the connection counts until the response is sent."""
        self.response: bytes | None = None
        """Kept by the connection while an earlier response is missing; ``rest`` is what follows it."""
        self.rest = b""

    def drop_body(self) -> None:
        """Free the request's body."""
        self.held = 0

    def leave(self) -> None:
        """Free the resources of the request: the response was sent, or never will be."""

    def leave_fast_path(self) -> None:
        """Let the handler respond instead of the response cache."""
