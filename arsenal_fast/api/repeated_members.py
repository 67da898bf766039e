"""Finds repeated members of JSON objects.

RFC 8259 section 4: what a reader makes of such an object is unpredictable. Another one in front of this service may
take the other member. So they are refused, and here is where they are found, once there is reason to look.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from arsenal_fast.errors import ProblemError

MAX_NAMED: Final = 8
"""Repeated members that a response names; bounds the response."""

Path = tuple[str | int, ...]


class _Repeated(str):
    """Replaces an object with a repeated member; holds that member's name."""

    __slots__ = ()


class _Objects:
    """Builds the objects of a body, up to the number that a valid one can have."""

    def __init__(self, most: int) -> None:
        self._left = most

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
        self._left -= 1
        if self._left < 0:
            raise ProblemError(400, "The body has more objects than such a request may have.")
        value = dict(pairs)
        return value if len(value) == len(pairs) else _Repeated(_first_repeated(pairs))


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    return name


def repeated_members(body: bytes, most: int) -> list[Path]:
    """Return the paths of repeated members in a JSON text: one per object, outermost objects first.

    ``most``: objects of a good body; raises ProblemError 400 where there are more, or are nested too deeply.
    """
    try:
        # Numbers are not parsed: one of a million digits would cost more than all the rest.
        value = json.loads(body, object_pairs_hook=_Objects(most), parse_int=str, parse_float=str)
        return list(islice(_found(value, ()), MAX_NAMED))
    except RecursionError:
        raise ProblemError(400, "The body is nested too deeply.") from None


def _found(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, _Repeated):
        yield (*path, str(value))
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _found(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _found(each, (*path, index))
