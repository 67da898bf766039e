"""Scans the head of a message byte by byte for its first fault.

The parser matches a head with two patterns where it can. Heads that these refuse, and heads that arrive in pieces, are
scanned here, in the order of the bytes, so that the result does not depend on how the stream is cut:

    method (400, or 501 when longer than any we know), target (400, 414), version (400, 505), then of the whole request
    line the method (501) and the form of the target (400), then line by line the fields (400, 431) and the bound of
    their section (431). ``headers.py`` checks the values, when the section is complete.

A scan continues where the last one ended; an incomplete line is searched again only for its LF.
"""

from typing import Final, NamedTuple

from arsenal_fast.errors import MessageError
from arsenal_fast.http.grammar import (
    ABSOLUTE_FORM,
    FIELD_LINE,
    LATER_VERSION,
    METHODS,
    ORIGIN_FORM,
    TARGET_RUN,
    TOKEN,
    VERSION,
    VERSION_BYTES,
)
from arsenal_fast.http.headers import check_host
from arsenal_fast.http.limits import Limits

MORE: Final = -1
"""Returned instead of a position: no fault so far, and more bytes are needed."""

# RFC 9112 3: a method longer than any that is implemented SHOULD be answered 501. The longest registered one
# (UPDATEREDIRECTREF, RFC 4437) has 17 bytes.
_METHOD_BYTES: Final = 32
_SPACE: Final = 0x20


class RequestLine(NamedTuple):
    """A valid request line; ``authority``: the host in an absolute-form, else None."""

    method: bytes
    target: bytes
    path: bytes
    query: bytes
    minor: int
    authority: bytes | None


class HeadScanner:
    """Scans one head. All positions are kept relative to the head's first byte, since the buffer moves."""

    __slots__ = ("_fields", "_limits", "_target", "_target_scanned", "block", "line")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._target = 0
        self._target_scanned = 0
        self._fields = FieldScanner("fields", limits.head, limits.fields)
        self.line: RequestLine | None = None
        self.block = 0

    def scan(self, data: bytes, start: int) -> int:
        """Return the position behind the head that begins at ``start``, or ``MORE``; ``data`` only grows at its end.

        Raises ``MessageError`` 400, 414, 431, 501 or 505 for the first fault.
        """
        if self.line is None and not self._scan_request_line(data, start):
            return MORE
        return self._fields.scan(data, start + self.block)

    def _scan_request_line(self, data: bytes, start: int) -> bool:
        if not self._target and not self._scan_method(data, start):
            return False
        target = start + self._target
        target_end = self._scan_target(data, start, target)
        if target_end == MORE:
            return False
        version = data[target_end + 1 : target_end + 1 + VERSION_BYTES]
        if len(version) < VERSION_BYTES and b"\n" not in version:
            return False
        minor = _minor_version(version)
        method = data[start : target - 1]
        if method not in METHODS:
            raise MessageError(501, "The method is not known.")
        self.line = _request_line(method, data[target:target_end], minor)
        self.block = target_end + 1 + VERSION_BYTES - start
        return True

    def _scan_method(self, data: bytes, start: int) -> bool:
        run = TOKEN.match(data, start)
        end = start if run is None else run.end()
        if end - start > _METHOD_BYTES:
            raise MessageError(501, "The method is not known.")
        if end == len(data):
            return False
        if end == start or data[end] != _SPACE:
            raise MessageError(400, "The request line does not begin with a method and one space.")
        self._target = end + 1 - start
        return True

    def _scan_target(self, data: bytes, start: int, target: int) -> int:
        run = TARGET_RUN.match(data, max(target, start + self._target_scanned))
        end = target if run is None else run.end()
        if end - target > self._limits.target:
            raise MessageError(414, f"The request target is longer than {self._limits.target} bytes.")
        if end == len(data):
            self._target_scanned = end - start
            return MORE
        if end == target or data[end] != _SPACE:
            raise MessageError(400, "The request target is not valid, or no single space and version follow it.")
        return end


class FieldScanner:
    """Scans the field lines of a header or trailer section, up to its empty line."""

    __slots__ = ("_count", "_line", "_max_bytes", "_max_count", "_what")

    def __init__(self, what: str, max_bytes: int, max_count: int) -> None:
        """``what`` the lines are called in errors."""
        self._what = what
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._line = 0
        self._count = 0

    def scan(self, data: bytes, start: int) -> int:
        """Return the position behind the section that begins at ``start``, or ``MORE``; as ``HeadScanner.scan``."""
        bound = start + self._max_bytes
        line = start + self._line
        while line_end := data.find(b"\n", line, bound) + 1:
            if data[line:line_end] == b"\r\n":
                return line_end
            if FIELD_LINE.fullmatch(data, line, line_end) is None:
                raise MessageError(400, _field_line_fault(data[line:line_end]))
            self._count += 1
            if self._count > self._max_count:
                raise MessageError(431, f"There are more than {self._max_count} {self._what}.")
            line = line_end
        self._line = line - start
        if len(data) >= bound:
            raise MessageError(431, f"The {self._what} are longer than {self._max_bytes} bytes.")
        return MORE


def _minor_version(version: bytes) -> int:
    matched = VERSION.fullmatch(version)
    if matched is not None:
        return 0 if matched[1] == b"0" else 1
    if LATER_VERSION.fullmatch(version) is not None:
        raise MessageError(505, "This server speaks HTTP/1.1.")
    raise MessageError(400, "The request line does not end with HTTP/1.1 and CRLF.")


def _request_line(method: bytes, target: bytes, minor: int) -> RequestLine:
    """Parse the forms of a target (RFC 9112 3.2), except CONNECT's."""
    if target == b"*" and method == b"OPTIONS":
        return RequestLine(method, target, target, b"", minor, None)
    origin = ORIGIN_FORM.fullmatch(target)
    if origin is not None:
        return RequestLine(method, target, origin[1], origin[2] or b"", minor, None)
    absolute = ABSOLUTE_FORM.fullmatch(target)
    if absolute is None or absolute[1].startswith(b":"):
        raise MessageError(400, "The request target has no form that its method allows.")
    check_host(absolute[1])
    return RequestLine(method, target, absolute[2] or b"/", absolute[3] or b"", minor, absolute[1])


def _field_line_fault(line: bytes) -> str:
    if not line.endswith(b"\r\n"):
        return "A field line ends with a bare LF."
    if line.startswith((b" ", b"\t")):
        return "A field line is folded."
    name, colon, _ = line.partition(b":")
    if not colon or TOKEN.fullmatch(name) is None:
        return "A field name is not a token with a colon behind it."
    return "A field value holds a control character."
