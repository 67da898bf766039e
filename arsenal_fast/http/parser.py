"""Parses the bytes of a connection into requests, independent of how the stream is cut.

Feed received data, then take requests until there is none. A fault is raised in its place in the stream, after the
complete requests before it. Nothing behind it, or behind the last request of the connection, is read.

Nearly always one feed is one whole message without a body. It is not copied, its request line is one match, and its
field block is equal to the last one (one comparison) or one match that proves it valid and finds its end. All other
heads go to ``HeadScanner``, which scans byte by byte, raises the faults, and handles the rarer forms. These paths
differ only in cost, which tests hold. (Requests that repeat a template are not parsed here: ``template.py``.)
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from arsenal_fast.errors import MessageError
from arsenal_fast.http.chunked import ChunkedBody
from arsenal_fast.http.grammar import REQUEST_LINE, field_block
from arsenal_fast.http.headers import read_fields
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.http.scanner import MORE, HeadScanner

__all__ = ["Limits", "RequestParser"]

_ORIGIN: Final = re.compile(rb"\r\norigin:[ \t]*+([\x21-\x7e]++)[ \t]*+(?=\r\n)", re.IGNORECASE)

# A longer block is not kept: 5,000 idle connections would hold 80 MB of blocks of the largest size.
_REMEMBERED_BYTES: Final = 2048


class _SizedBody:
    """Collects a body of a known length."""

    __slots__ = ("_missing", "content")

    def __init__(self, length: int) -> None:
        self._missing = length
        self.content = bytearray()

    @property
    def done(self) -> bool:
        return not self._missing

    def take(self, data: bytes, start: int) -> int:
        """Consume ``data`` from ``start`` on; returns the position behind what was consumed."""
        part = data[start : start + self._missing]
        self.content += part
        self._missing -= len(part)
        return start + len(part)


@dataclass(slots=True, eq=False, repr=False)
class RequestParser:
    """Parses the requests of one connection.

    Nothing of a message is parsed while there is neither a scanner (its head arrives in pieces) nor a request (its body
    is not complete).
    """

    _limits: Limits
    ended: bool = False
    """Behind a fault or the last request of the connection: all data is dropped."""
    _data: bytes = b""
    _position: int = 0
    _empty_line_skipped: bool = False
    _fields: Fields | None = None
    """Of the last block, with the minor version it was admitted with."""
    _minor: int = -1
    _scanner: HeadScanner | None = None
    unfinished: Request | None = None
    """The head of the message whose body is not complete."""
    _body: _SizedBody | ChunkedBody | None = None
    _continue: bool = False
    """The head expects 100 (Continue), and nothing of its body has come."""
    _field_block: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._field_block = field_block(self._limits.fields)

    @property
    def idle(self) -> bool:
        """Whether no byte of an unfinished message is held, except a leading CRLF."""
        if self._scanner is not None or self.unfinished is not None:
            return False
        return not self._data or self._data[self._position :] in (b"\r", b"\r\n")

    @property
    def untouched(self) -> bool:
        """Whether nothing of the next message has arrived, not even the empty line allowed before it."""
        nothing_parsed = self._scanner is None and self.unfinished is None and not self._empty_line_skipped
        return nothing_parsed and not self._data and not self.ended

    @property
    def in_body(self) -> bool:
        """Whether the head is complete and the body is not."""
        return self.unfinished is not None

    @property
    def held(self) -> int:
        """The bytes held: of the unfinished message, and of data that waits for ``next_request``."""
        size_bytes = len(self._data)  # including parsed bytes: it is one object
        if self._body is not None:
            size_bytes += len(self._body.content)
        return size_bytes

    @property
    def missing(self) -> int:
        """The bytes that the unfinished body still needs at least; 0 for chunks."""
        if self.unfinished is None or self._body is None:
            return 0
        length = self.unfinished.fields.content_length
        return self._limits.body if length is None else length - len(self._body.content)

    def feed(self, data: bytes) -> None:
        """Add received data. Call ``next_request`` until it returns None before the next feed."""
        if not self._data:
            if not self.ended:
                self._data = data
        else:
            self._data = self._data[self._position :] + data
            self._position = 0

    def end(self) -> None:
        """Drop all data; there will be no further request."""
        self.ended = True
        self._data = b""
        self._position = 0
        self._fields = self._scanner = self.unfinished = self._body = None
        self._continue = False

    def take_continue(self) -> bool:
        """Return True once for each head that expects 100 (Continue), before its body (RFC 9110 10.1.1)."""
        if not self._continue:
            return False
        self._continue = False
        return not self._data

    def next_request(self) -> Request | None:
        """Return the next complete request, or None when more bytes are needed.

        Raises ``MessageError`` 400, 413, 414, 417, 431, 501 or 505, once; afterwards there are no more requests.
        """
        data = self._data
        if not data:
            return None
        try:
            if self._scanner is not None:
                return self._go_on_with_head(self._scanner)
            if self.unfinished is not None:
                return self._go_on_with_body(self.unfinished)
            return self._start_message(data)
        except MessageError as error:
            error.origin = self._origin()
            self.end()
            raise

    def _start_message(self, data: bytes) -> Request | None:
        line = REQUEST_LINE.match(data, self._position)
        if line is None:
            return self._start_scan()
        method, target, path, query, digit = line.groups(b"")
        if len(target) > self._limits.target:
            return self._start_scan()
        minor = 0 if digit == b"0" else 1
        block = line.end()
        fields = self._fields
        if fields is None or minor != self._minor or not data.startswith(fields.block, block):
            matched = self._field_block.match(data, block)
            if matched is None or matched.end() - block > self._limits.head:
                return self._start_scan()
            fields = self._read_fields(data, block, matched.end(), minor)
        return self._finish_head(method, target, path, query, minor, fields, block + len(fields.block))

    def _read_fields(self, data: bytes, block: int, block_end: int, minor: int) -> Fields:
        """Return the fields of a valid block, checked for this version, and keep them."""
        fields = read_fields(data, block, block_end)
        if minor and fields.host is None:
            raise MessageError(400, "A request of HTTP/1.1 has a Host field.")
        if fields.chunked and not minor:
            raise MessageError(400, "HTTP/1.0 has no Transfer-Encoding.")
        if fields.content_length is not None and fields.content_length > self._limits.body:
            raise MessageError(413, f"The body is longer than {self._limits.body} bytes.")
        if block_end - block <= _REMEMBERED_BYTES:
            self._fields = fields
            self._minor = minor
        return fields

    def _start_scan(self) -> Request | None:
        rest = self._data[self._position : self._position + 2]
        if rest[:1] == b"\r" and not self._empty_line_skipped:
            # RFC 9112 2.2: at least one empty line before a request line SHOULD be ignored; here it is exactly one.
            if rest == b"\r":
                return None
            if rest == b"\r\n":
                self._empty_line_skipped = True
                self._move_to(self._position + 2)
                return self._start_message(self._data) if self._data else None
        self._scanner = HeadScanner(self._limits)
        return self._go_on_with_head(self._scanner)

    def _go_on_with_head(self, scanner: HeadScanner) -> Request | None:
        start = self._position
        head_end = scanner.scan(self._data, start)
        if head_end == MORE:
            return None
        assert scanner.line is not None
        method, target, path, query, minor, authority = scanner.line
        fields = self._read_fields(self._data, start + scanner.block, head_end, minor)
        if authority is not None:
            fields = replace(fields, host=authority)  # RFC 9112 3.2.2
        self._scanner = None
        return self._finish_head(method, target, path, query, minor, fields, head_end)

    def _finish_head(
        self, method: bytes, target: bytes, path: bytes, query: bytes, minor: int, fields: Fields, end: int
    ) -> Request | None:
        keep_alive = not fields.connection_close and (minor == 1 or fields.connection_keep_alive)
        request = Request(method, target, path, query, minor, fields, b"", keep_alive)
        length = fields.content_length
        if not length and not fields.chunked:
            return self._complete(request, end)
        data = self._data
        if length is not None and len(data) - end >= length:
            request.body = data[end : end + length]
            return self._complete(request, end + length)
        self.unfinished = request
        self._body = ChunkedBody(self._limits) if length is None else _SizedBody(length)
        self._move_to(end)
        if self._data:
            return self._go_on_with_body(request)
        self._continue = fields.expect_continue and minor == 1
        return None

    def _go_on_with_body(self, request: Request) -> Request | None:
        self._continue = False
        body = self._body
        assert body is not None
        end = body.take(self._data, self._position)
        if not body.done:
            self._move_to(end)
            return None
        request.body = bytes(body.content)
        return self._complete(request, end)

    def _complete(self, request: Request, end: int) -> Request:
        if request.keep_alive:
            self._move_to(end)
            self.unfinished = self._body = None
            self._empty_line_skipped = False
        else:
            self.end()
        return request

    def _move_to(self, position: int) -> None:
        """Drop the data before ``position``; an empty buffer is freed."""
        if position == len(self._data):
            self._data = b""
            self._position = 0
        else:
            self._position = position

    def _origin(self) -> bytes | None:
        """Return the Origin of the faulty message, if it has one among the lines that have come."""
        if self.unfinished is not None:
            return self.unfinished.fields.origin
        data, start = self._data, self._position
        last_line = data.find(b"\r\n\r\n", start)
        if last_line < 0:
            last_line = data.rfind(b"\r\n", start)
        lines = _ORIGIN.findall(data, start, last_line + 2)
        return lines[0] if len(lines) == 1 else None
