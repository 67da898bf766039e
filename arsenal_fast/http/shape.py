"""A field block with holes: what a proxy repeats, and where each of its requests says something else.

A client's own connection repeats its field block octet for octet; a proxy's repeats all but a few values
(the client's address, a request id, a trace context). A shape is such a block cut at those values. A block
that fits it has the same fields, name by name and in the same order, with other values in the holes, so
that nothing needs to be parsed again. What may stand in a hole is narrower than what HTTP allows there:
visible ASCII and inner blanks. All else doesn't fit, and is judged by the parser.
"""

import re
from typing import Final, NamedTuple

from arsenal_fast.http.request import Fields

# Fields whose values change from request to request; all others have to be equal.
_HOLES: Final = re.compile(
    rb"(?:^|(?<=\n))(?:(x-forwarded-for)|(x-request-id)|x-real-ip|forwarded|via|traceparent|tracestate"
    rb"|x-b3-[a-z]{1,12}|x-correlation-id|x-amzn-trace-id|x-cloud-trace-context|cf-ray|cf-connecting-ip"
    rb"|x-envoy-[a-z-]{1,32}):[ \t]*([\x21-\x7e](?:[\x20\x21-\x7e]*[\x21-\x7e])?)(?=\r\n)",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*+(?<=[\x21-\x7e]))?+").fullmatch

_OTHER: Final = 0
_FORWARDED_FOR: Final = 1
_REQUEST_ID: Final = 2


class Holes(NamedTuple):
    """The values of a fitting block that somebody reads; None where the shape has no such field."""

    forwarded_for: bytes | None
    request_id: bytes | None


class BlockShape:
    """The shape of one valid block. ``holes`` is how many values may differ; without any it is of no use."""

    __slots__ = ("_end", "_parts", "holes")

    def __init__(self, fields: Fields) -> None:
        block = fields.block
        parts: list[tuple[bytes, int]] = []
        position = 0
        roles: list[int] = []
        for hole in _HOLES.finditer(block):
            role = _FORWARDED_FOR if hole[1] else _REQUEST_ID if hole[2] else _OTHER
            parts.append((block[position : hole.start(3)], role))
            roles.append(role)
            position = hole.end(3)
        if roles.count(_FORWARDED_FOR) != (fields.forwarded_for is not None) or roles.count(_REQUEST_ID) != (
            fields.request_id is not None
        ):
            # Lines that are joined or cancel each other, and values that no hole takes: the parser's work.
            parts = []
        self._parts = tuple(parts)
        self._end = block[position:]
        self.holes = len(parts)

    def match(self, data: bytes, start: int) -> Holes | None:
        """Return what stands in the holes if ``data`` from ``start`` to its end fits; else None."""
        position = start
        forwarded_for = request_id = None
        for literal, role in self._parts:
            if not data.startswith(literal, position):
                return None
            position += len(literal)
            end = data.find(b"\r", position)
            if _VALUE(data, position, end) is None:
                return None
            if role == _FORWARDED_FOR:
                forwarded_for = data[position:end]
            elif role == _REQUEST_ID:
                request_id = data[position:end]
            position = end
        if not position > start or data[position:] != self._end:
            return None
        return Holes(forwarded_for, request_id)
