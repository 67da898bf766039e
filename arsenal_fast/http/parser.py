"""Parses the octets of a connection into requests, independent of how the stream is cut.

Feed received data, then take requests until there is none. A fault is raised in its place in the stream, after the
complete requests before it. Nothing behind it, or behind the last request of the connection, is read.

Nearly always one feed is one whole message without a body. It is not copied, its request line is one match, and its
field block is equal to the last one (one comparison) or one match that proves it valid and finds its end. All other
heads go to ``HeadScanner``, which scans octet by octet, raises the faults, and handles the rarer forms. These paths
differ only in cost, which tests hold. (Requests that repeat a template are not parsed here: ``template.py``.)
"""

import re
from enum import Enum, auto
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
_REMEMBERED_OCTETS: Final = 2048


class _Phase(Enum):
    START = auto()
    """Before a message, or at one of which nothing was parsed."""
    HEAD = auto()
    """Within a head that arrives in pieces."""
    BODY = auto()
    """Behind a head with Content-Length, before the end of the body."""
    CHUNKS = auto()
    ENDED = auto()
    """Behind a fault or the last request of the connection: all data is dropped."""


_START: Final = _Phase.START
_HEAD: Final = _Phase.HEAD
_BODY: Final = _Phase.BODY
_CHUNKS: Final = _Phase.CHUNKS
_ENDED: Final = _Phase.ENDED


class RequestParser:
    """Parses the requests of one connection."""

    __slots__ = (
        "_body",
        "_chunks",
        "_continue",
        "_data",
        "_empty_line_skipped",
        "_field_block",
        "_fields",
        "_limits",
        "_minor",
        "_phase",
        "_position",
        "_request",
        "_scanner",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._field_block = field_block(limits.fields)
        self._phase = _START
        self._data = b""
        self._position = 0
        self._empty_line_skipped = False
        # The last block and the minor version it was admitted with.
        self._fields: Fields | None = None
        self._minor = -1
        # State of the unfinished message.
        self._scanner: HeadScanner | None = None
        self._request: Request | None = None
        self._body: bytearray | None = None
        self._chunks: ChunkedBody | None = None
        self._continue = False

    @property
    def idle(self) -> bool:
        """Whether no octet of an unfinished message is held, except a leading CRLF."""
        if self._phase is _START:
            return not self._data or self._data[self._position :] in (b"\r", b"\r\n")
        return self._phase is _ENDED

    @property
    def untouched(self) -> bool:
        """Whether nothing of the next message has arrived, not even the empty line allowed before it."""
        return self._phase is _START and not self._data and not self._empty_line_skipped

    @property
    def in_body(self) -> bool:
        """Whether the head is complete and the body is not."""
        return self._phase is _BODY or self._phase is _CHUNKS

    @property
    def held(self) -> int:
        """The octets held: of the unfinished message, and of data that waits for ``next_request``."""
        size_bytes = len(self._data)  # including parsed octets: it is one object
        if self._body is not None:
            size_bytes += len(self._body)
        elif self._chunks is not None:
            size_bytes += len(self._chunks.content)
        return size_bytes

    @property
    def missing(self) -> int:
        """The octets that the unfinished body still needs at least; 0 for chunks."""
        if self._request is None:
            return 0
        length = self._request.fields.content_length
        return self._limits.body if self._body is None or length is None else length - len(self._body)

    @property
    def unfinished(self) -> Request | None:
        """The head of the message whose body is not complete."""
        return self._request

    @property
    def ended(self) -> bool:
        """Whether there will be no further request."""
        return self._phase is _ENDED

    def feed(self, data: bytes) -> None:
        """Add received data. Call ``next_request`` until it returns None before the next feed."""
        if not self._data:
            if self._phase is not _ENDED:
                self._data = data
        else:
            self._data = self._data[self._position :] + data
            self._position = 0

    def end(self) -> None:
        """Drop all data; there will be no further request."""
        self._end()

    def take_continue(self) -> bool:
        """Return True once for each head that expects 100 (Continue), before its body (RFC 9110 10.1.1)."""
        if not self._continue:
            return False
        self._continue = False
        return not self._data

    def next_request(self) -> Request | None:
        """Return the next complete request, or None when more octets are needed.

        Raises ``MessageError`` 400, 413, 414, 417, 431, 501 or 505, once; afterwards there are no more requests.
        """
        data = self._data
        if not data:
            return None
        try:
            return self._start_message(data) if self._phase is _START else self._go_on()
        except MessageError as error:
            error.origin = self._origin()
            self._end()
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
        block_end = block + len(fields.block)
        keep_alive = not fields.connection_close and (minor == 1 or fields.connection_keep_alive)
        request = Request(method, target, path, query, minor, fields, b"", keep_alive)
        if fields.content_length or fields.chunked:
            return self._start_body(request, block_end)
        return self._complete(request, block_end)

    def _read_fields(self, data: bytes, block: int, block_end: int, minor: int) -> Fields:
        """Return the fields of a valid block, checked for this version, and keep them."""
        fields = read_fields(data, block, block_end)
        if minor and fields.host is None:
            raise MessageError(400, "A request of HTTP/1.1 has a Host field.")
        if fields.chunked and not minor:
            raise MessageError(400, "HTTP/1.0 has no Transfer-Encoding.")
        if fields.content_length is not None and fields.content_length > self._limits.body:
            raise self._body_too_long()
        if block_end - block <= _REMEMBERED_OCTETS:
            self._fields = fields
            self._minor = minor
        return fields

    def _body_too_long(self) -> MessageError:
        return MessageError(413, f"The body is longer than {self._limits.body} octets.")

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
        self._phase = _HEAD
        return self._go_on()

    def _go_on(self) -> Request | None:
        if self._scanner is not None:
            return self._go_on_with_head(self._scanner)
        self._continue = False
        assert self._request is not None
        if self._chunks is not None:
            return self._go_on_with_chunks(self._request, self._chunks)
        assert self._body is not None
        return self._go_on_with_body(self._request, self._body)

    def _go_on_with_head(self, scanner: HeadScanner) -> Request | None:
        data = self._data
        start = self._position
        head_end = scanner.scan(data, start)
        if head_end == MORE:
            return None
        assert scanner.line is not None
        method, target, path, query, minor, authority = scanner.line
        fields = self._read_fields(data, start + scanner.block, head_end, minor)
        if authority is not None:
            fields = fields.with_host(authority)
        keep_alive = not fields.connection_close and (minor == 1 or fields.connection_keep_alive)
        request = Request(method, target, path, query, minor, fields, b"", keep_alive)
        self._scanner = None
        if fields.content_length or fields.chunked:
            return self._start_body(request, head_end)
        return self._complete(request, head_end)

    def _start_body(self, request: Request, start: int) -> Request | None:
        data = self._data
        fields = request.fields
        length = fields.content_length
        if length is not None and len(data) - start >= length:
            request.body = data[start : start + length]
            return self._complete(request, start + length)
        self._request = request
        self._move_to(start)
        if length is not None:
            self._phase = _BODY
            self._body = bytearray()
        else:
            self._phase = _CHUNKS
            self._chunks = ChunkedBody(self._limits)
        if self._data:
            return self._go_on()
        self._continue = fields.expect_continue and request.minor == 1
        return None

    def _go_on_with_body(self, request: Request, body: bytearray) -> Request | None:
        length = request.fields.content_length
        assert length is not None
        end = self._position + length - len(body)
        body += self._data[self._position : end]
        if len(body) < length:
            self._move_to(len(self._data))
            return None
        request.body = bytes(body)
        return self._complete(request, end)

    def _go_on_with_chunks(self, request: Request, chunks: ChunkedBody) -> Request | None:
        end = chunks.take(self._data, self._position)
        if not chunks.done:
            self._move_to(end)
            return None
        request.body = bytes(chunks.content)
        return self._complete(request, end)

    def _complete(self, request: Request, end: int) -> Request:
        if not request.keep_alive:
            self._end()
            return request
        if end == len(self._data):
            self._data = b""
            self._position = 0
        else:
            self._position = end
        if self._phase is not _START:
            self._phase = _START
            self._request = self._body = self._chunks = None
        self._empty_line_skipped = False
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
        if self._request is not None:
            return self._request.fields.origin
        data, start = self._data, self._position
        last_line = data.find(b"\r\n\r\n", start)
        if last_line < 0:
            last_line = data.rfind(b"\r\n", start)
        lines = _ORIGIN.findall(data, start, last_line + 2)
        return lines[0] if len(lines) == 1 else None

    def _end(self) -> None:
        self._phase = _ENDED
        self._data = b""
        self._position = 0
        self._fields = self._scanner = self._request = self._body = self._chunks = None
        self._continue = False
