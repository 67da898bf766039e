"""Parses the query of a request target, strictly.

``application/x-www-form-urlencoded`` as browsers and ``curl`` send it: pairs separated by ``&``, ``+`` is a
space, ``%XX`` a byte, the whole UTF-8. Ambiguous input is refused:
a repeated known name, a bad escape, bytes that are not UTF-8, an unknown name: a misspelt ``prefx`` would issue
another identity than was meant. Names that trackers and caches add to any URL are ignored.
"""

import re
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from typing import Final

from arsenal_fast.errors import Fault, ProblemError

UNKNOWN: Final = "unknown-parameter"
"""The kind of problem of a name that is not known."""

MAX_UNKNOWN: Final = 8
"""Unknown names that a response has; bounds the response."""

_SHOWN: Final = 64
"""Characters of an unknown name that a response has, and that are compared with the known ones."""

_SIMILARITY: Final = 0.5
"""The least share of matching characters in a misspelt name."""

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


def names_of(patterns: Iterable[str]) -> Callable[[str], object]:
    """Return a function that says whether a name matches one of the patterns: a name, or its beginning and ``*``."""
    return re.compile("|".join(re.escape(each).replace(r"\*", ".*") for each in patterns) or "(?!)").fullmatch


def parse_query(query: bytes, known: Collection[str], ignored: Callable[[str], object]) -> dict[str, str]:
    """Return the known parameters. ``ignored``: whether an unknown name may stand in the query.

    Raises ProblemError 400 naming the parameter that is repeated or badly escaped, or those that are not known.
    """
    found: dict[str, str] = {}
    unknown: dict[str, None] = {}
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
            if name and not ignored(name):
                unknown[name] = None
            continue
        if name in found:
            raise ProblemError(
                400,
                "A query parameter is given more than once.",
                [{"parameter": name, "detail": "must be given once"}],
            )
        found[name] = value
    if unknown:
        faults: list[Fault] = [_unknown_fault(name[:_SHOWN], known) for name in list(unknown)[:MAX_UNKNOWN]]
        raise ProblemError(400, "The query has parameters that are not known here.", faults, kind=UNKNOWN)
    return found


def _unknown_fault(name: str, known: Collection[str]) -> Fault:
    near = get_close_matches(name.lower(), known, n=1, cutoff=_SIMILARITY)
    proposal = f"is {near[0]} meant? " if near else ""
    return {"parameter": name, "detail": f"is not known; {proposal}Known are {', '.join(known)}."}


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
