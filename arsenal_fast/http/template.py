"""A field block with holes: how a block that differs from the last one in a few values is read without parsing it.

Behind a proxy no block comes twice: a request id, a trace context, a client's address are others each time. The rest is
the same octets, line by line. So from two blocks of a connection a template is learned: literals, and between them
holes, where a value differed. Matching it is one comparison for a literal and one run of the field-value class for a
hole, less than half of what proving and searching the whole block costs.

Why it is sound: the base was proven valid and read. A block that has the base's octets outside of the holes, and legal
field values in them, is valid too, has the same lines, and reads the same but for the fields of the holes. A hole is
only made where its value is taken as it comes, in a field that stands once in the block: never in one that decides
where a message ends, where it goes or whether the connection lives on.
"""

from typing import Final

from arsenal_fast.http.grammar import FIELD_VALUE
from arsenal_fast.http.request import Fields

# More holes than this cost as much as parsing.
_MOST_HOLES: Final = 8

# What fields.py gives to the service as it came: name and attribute. Any other name that fields.py reads has no hole.
PLAIN: Final = {
    b"accept": "accept",
    b"accept-encoding": "accept_encoding",
    b"access-control-request-headers": "request_headers",
    b"access-control-request-method": "request_method",
    b"authorization": "authorization",
    b"content-type": "content_type",
    b"if-none-match": "if_none_match",
    b"origin": "origin",
    b"traceparent": "traceparent",
    b"x-forwarded-for": "forwarded_for",
    b"x-request-id": "request_id",
}
JUDGED: Final = frozenset((b"host", b"connection", b"content-length", b"transfer-encoding", b"expect"))


class BlockTemplate:
    """Literals and holes in turn, then a tail; ``minor`` is the version that the base was admitted with."""

    __slots__ = ("_base", "_holes", "_tail", "lines", "minor")

    def __init__(self, base: Fields, minor: int, holes: set[int]) -> None:
        """``holes`` are indices of lines; none of them of a field whose value is judged."""
        self._base = base
        self.minor = minor
        self.lines = frozenset(holes)
        pieces: list[tuple[bytes, int, str | None]] = []
        literal = b""
        for index, line in enumerate(base.block.split(b"\r\n")[:-2]):
            if index in holes:
                name, colon, _ = line.partition(b":")
                literal += name + colon
                pieces.append((literal, len(literal), PLAIN.get(name.lower())))
                literal = b"\r\n"
            else:
                literal += line + b"\r\n"
        self._holes = tuple(pieces)
        self._tail = literal + b"\r\n"

    def match(self, data: bytes, block: int) -> Fields | None:
        """The fields of the block that begins at ``block``, if it is the base but for the holes."""
        position = block
        values = []
        for literal, length, attribute in self._holes:
            if not data.startswith(literal, position):
                return None
            position += length
            run = FIELD_VALUE.match(data, position)
            if run is None:
                return None
            end = run.end()
            if attribute is not None:
                values.append((attribute, data[position:end].strip(b" \t")))
            position = end
        if not data.startswith(self._tail, position):
            return None
        fields = self._base.copy(data[block : position + len(self._tail)])
        for attribute, value in values:
            setattr(fields, attribute, value)
        return fields


def learn(last: Fields, base: Fields, minor: int, known: BlockTemplate | None) -> BlockTemplate | None:
    """A template of ``base`` with holes where ``last`` differs and, if they fit, where the ``known`` one has some.

    None where a difference is not one of values alone, or is in a value that is judged.
    """
    lines = base.block.split(b"\r\n")[:-2]
    last_lines = last.block.split(b"\r\n")[:-2]
    if len(lines) != len(last_lines):
        return None
    holes = {index for index, line in enumerate(lines) if line != last_lines[index]}
    if any(_name(lines[index]) != _name(last_lines[index]) for index in holes):
        return None
    names = [_name(line).lower() for line in lines]
    wider = holes | known.lines if known is not None else holes
    for wanted in (wider, holes):
        if len(wanted) <= _MOST_HOLES and all(_may_have_hole(names, index) for index in wanted):
            return BlockTemplate(base, minor, wanted)
    return None


def _may_have_hole(names: list[bytes], index: int) -> bool:
    if index >= len(names) or names[index] in JUDGED:
        return False
    return names[index] not in PLAIN or names.count(names[index]) == 1


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0]
