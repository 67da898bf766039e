"""Parses ``traceparent`` (W3C Trace Context): the trace of a request.

It is parsed only for a line of the log and for a span: no other part of the service reads it. Strict, since an invalid
id could join unrelated lines (section 3.2.2):

* lower-case hexadecimal; neither id is all zeros; version ``ff`` is none;
* version 00 has four parts and nothing behind them; a later one may go on behind a further dash;
* with two ``traceparent`` fields it is unknown which one is meant: then ``Fields`` has none.
"""

import re
from typing import Final, NamedTuple

_IDS: Final = rb"-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})"
_VERSION_00 = re.compile(rb"00" + _IDS)
_LATER = re.compile(rb"(?!00|ff)[0-9a-f]{2}" + _IDS + rb"(?:-.*)?", re.DOTALL)


class TraceContext(NamedTuple):
    """A span of a trace: its ids in hexadecimal, as received from the caller, or as made here."""

    trace_id: str
    """32 digits: the whole trace."""
    span_id: str
    """16 digits."""
    sampled: bool
    """Whether it is recorded."""


def trace_context(traceparent: bytes | None) -> TraceContext | None:
    """Return the ids in a ``traceparent`` field; None where it is absent or invalid."""
    if traceparent is None:
        return None
    match = _VERSION_00.fullmatch(traceparent) or _LATER.fullmatch(traceparent)
    if match is None:
        return None
    return TraceContext(match[1].decode("ascii"), match[2].decode("ascii"), bool(int(match[3], 16) & 1))
