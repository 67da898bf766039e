"""Parses the query of a request target, strictly.

``application/x-www-form-urlencoded`` as browsers and ``curl`` send it: pairs separated by ``&``, ``+`` is a
space, ``%XX`` a byte, the whole UTF-8. Ambiguous input is refused:
a repeated known name, a bad escape, bytes that are not UTF-8. Unknown names are ignored, so that a
cache-buster or a tracking parameter does no harm.
"""

import re
from collections.abc import Container
from typing import Final

from arsenal_fast.errors import ProblemError

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def unescape(data: bytes) -> str:
    """Decode ``%XX`` and UTF-8; raises ValueError with one sentence."""
    if _BAD_ESCAPE.search(data):
        raise ValueError("a '%' must be followed by two hexadecimal digits")
    decoded = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), data)
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        raise ValueError("the bytes are not UTF-8") from None


def parse_query(query: bytes, known: Container[str]) -> dict[str, str]:
    """Return the known parameters.

    Raises ProblemError 400 naming the parameter that is repeated or badly escaped.
    """
    found: dict[str, str] = {}
    if not query:
        return found
    plain = b"%" not in query and b"+" not in query
    for pair in query.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        if plain:
            # The parser lets visible ASCII pass only.
            name, value = raw_name.decode("ascii"), raw_value.decode("ascii")
        else:
            name, value = _decode(raw_name, raw_value)
        if name not in known:
            continue
        if name in found:
            raise ProblemError(
                400,
                "A query parameter is given more than once.",
                [{"parameter": name, "detail": "must be given once"}],
            )
        found[name] = value
    return found


def _decode(raw_name: bytes, raw_value: bytes) -> tuple[str, str]:
    try:
        name = unescape(raw_name.replace(b"+", b" "))
    except ValueError as error:
        raise ProblemError(400, f"The name of a query parameter can't be read: {error}.") from None
    try:
        return name, unescape(raw_value.replace(b"+", b" "))
    except ValueError as error:
        # An unknown name may be anything; a message names only known ones.
        shown = name if name.isidentifier() and name.isascii() and len(name) <= 32 else "?"
        raise ProblemError(
            400,
            f"A query parameter can't be read: {error}.",
            [{"parameter": shown, "detail": str(error)}],
        ) from None
