"""The trace that a request belongs to: its ``traceparent`` field, by W3C Trace Context.

It is read from the field block when a line of the log wants it, and not before: no other part of the service does.
Strict, for what is invalid joins lines that have nothing to do with each other (section 3.2.2):

* lower-case hexadecimal; neither id is all zeros; version ``ff`` is none;
* version 00 has four parts and nothing behind them; a later one may go on behind a further dash;
* a second ``traceparent`` makes it a guess which one is meant: none is.
"""

import re
from typing import Final, NamedTuple

# A line of a valid block: its name in any case, optional white space around the value (RFC 9112 section 5).
_LINES = re.compile(rb"(?<![^\n])traceparent:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)

_IDS: Final = rb"-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}"
_VERSION_00 = re.compile(rb"00" + _IDS)
_LATER = re.compile(rb"(?!00|ff)[0-9a-f]{2}" + _IDS + rb"(?:-.*)?", re.DOTALL)


class TraceContext(NamedTuple):
    """Both in hexadecimal, as they came."""

    trace_id: str
    """32 digits: the whole trace."""
    parent_id: str
    """16 digits: the caller's span, which is its request to us."""


def trace_context(block: bytes) -> TraceContext | None:
    """The trace of the request with this field block; None where the block names none, or no valid one."""
    values = _LINES.findall(block)
    return parse(values[0]) if len(values) == 1 else None


def parse(value: bytes) -> TraceContext | None:
    """The ids in the value of a ``traceparent`` field; None where it is invalid."""
    match = _VERSION_00.fullmatch(value) or _LATER.fullmatch(value)
    return None if match is None else TraceContext(match[1].decode("ascii"), match[2].decode("ascii"))
