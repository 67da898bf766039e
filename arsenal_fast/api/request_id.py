"""The ids of requests, as lines of ``X-Request-Id``: the id that the caller sent, or one that is made here.

One id goes into the response, the access log, the ledger and the problem document. One that is made has 64 random bits
and two numbers, ``9f86d081884c7d65012.000``: the first counts the parsed requests of a worker, the second the
recognised requests that follow on the same connection. So the line of a recognised request is two pieces that exist
already, and its id costs one step of an iterator.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain, product, repeat
from typing import Final

START: Final = b"X-Request-Id: "
_ALLOWED: Final = re.compile(rb"[\x21-\x7e]{1,128}+").fullmatch
"""An id that may be echoed: visible ASCII, so that it can end no line, of bounded length."""

_RANDOM_BYTES: Final = 8
END: Final = b"\r\n"
_FIRST: Final = b"000\r\n"
_NUMBERS: Final = tuple(b"%03x." % number + _FIRST for number in range(4096))
_FURTHER: Final = tuple(b"%03x\r\n" % number for number in range(1, 4096))


def line_of(sent: bytes | None) -> bytes:
    """Return the line that echoes an id; empty where none was sent, or it is not allowed."""
    return START + sent + END if sent is not None and _ALLOWED(sent) else b""


def id_of(lines: bytes) -> str:
    """Return the id in the last one of these header lines."""
    return lines.rpartition(START)[2][:-2].decode("ascii")


def lines(random: Callable[[int], bytes]) -> Iterator[bytes]:
    """Return an iterator without end over lines with a new id each; ``random``: bytes of the system's generator."""
    starts = (START + random(_RANDOM_BYTES).hex().encode("ascii") for _ in repeat(None))
    return chain.from_iterable(map(b"".join, product((start,), _NUMBERS)) for start in starts)


def further(line: bytes) -> tuple[bytes, Iterator[bytes]]:
    """Return the start of lines with further ids of this one, and an iterator over their ends, which has an end itself.

    ``line``: one of :func:`lines`, perhaps behind other header lines.
    """
    return line[: -len(_FIRST)], iter(_FURTHER)
