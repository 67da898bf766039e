"""A body in chunks (RFC 9112 7.1): octets in, content out, with every length bounded.

``take`` consumes what it can of a buffer and leaves an unfinished line, or trailer section, in it, so the result does
not depend on how the stream is cut. A line is checked when its LF has come or its bound is reached. Extensions are
checked and ignored; the trailer section is checked and dropped, so that it changes neither framing nor fields.
"""

from typing import Final

from arsenal_fast.errors import MessageError
from arsenal_fast.http.grammar import CHUNK_LINE
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.scanner import MORE, FieldScanner

# Integers, since the look-up of an Enum member costs more than decoding a chunk of one octet.
_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class ChunkedBody:
    """Decodes one body; ``content`` grows with the chunks, ``done`` is True after the last CRLF."""

    __slots__ = ("_extensions", "_limits", "_missing", "_phase", "_trailer", "content")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._phase = _SIZE
        self._missing = 0
        self._extensions = 0
        self._trailer = FieldScanner("trailer fields", limits.trailer, limits.fields)
        self.content = bytearray()

    @property
    def done(self) -> bool:
        return self._phase == _DONE

    def take(self, data: bytes, start: int) -> int:
        """Consume ``data`` from ``start`` on; returns the position behind what was consumed.

        Raises ``MessageError`` 400, 413 or 431.
        """
        position = start
        while self._phase != _DONE:
            following = _STEPS[self._phase](self, data, position)
            if following == MORE:
                break
            position = following
        return position

    def _take_size(self, data: bytes, position: int) -> int:
        limits = self._limits
        line_end = data.find(b"\n", position, position + limits.chunk_line) + 1
        if not line_end:
            if len(data) - position >= limits.chunk_line:
                raise MessageError(400, "The size line of a chunk is too long.")
            return MORE
        line = CHUNK_LINE.fullmatch(data, position, line_end)
        if line is None:
            raise MessageError(400, "The size line of a chunk is not valid.")
        self._extensions += line.end(2) - line.start(2)
        if self._extensions > limits.chunk_extensions:
            raise MessageError(400, "The chunk extensions are too long.")
        size = int(line[1], 16)
        if len(self.content) + size > limits.body:
            raise MessageError(413, f"The body is longer than {limits.body} octets.")
        if not size:
            self._phase = _TRAILER
            return line_end
        end = line_end + size
        if data[end : end + 2] == b"\r\n":
            # The whole chunk is here, as nearly always: one step instead of three.
            self.content += data[line_end:end]
            return end + 2
        self._missing = size
        self._phase = _DATA
        return line_end

    def _take_data(self, data: bytes, position: int) -> int:
        part = data[position : position + self._missing]
        if not part:
            return MORE
        self.content += part
        self._missing -= len(part)
        if not self._missing:
            self._phase = _DATA_END
        return position + len(part)

    def _take_data_end(self, data: bytes, position: int) -> int:
        ending = data[position : position + 2]
        if ending == b"\r\n":
            self._phase = _SIZE
            return position + 2
        if ending in (b"", b"\r"):
            return MORE
        raise MessageError(400, "The data of a chunk does not end with CRLF.")

    def _take_trailer(self, data: bytes, position: int) -> int:
        end = self._trailer.scan(data, position)
        if end != MORE:
            self._phase = _DONE
        return end


_STEPS: Final = (
    ChunkedBody._take_size,
    ChunkedBody._take_data,
    ChunkedBody._take_data_end,
    ChunkedBody._take_trailer,
)
"""The step of each phase but the last."""
