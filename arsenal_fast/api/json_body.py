"""Reads JSON bodies strictly, and the values of bodies and queries; a fault of a body has its JSON pointer (RFC 6901).

RFC 8259 section 4: what a reader makes of an object with a repeated member is unpredictable. Another one in front of
this service may take the other member, so such bodies are refused.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final, TypeVar

import orjson

from arsenal_fast.errors import Fault, ProblemError
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.http.response import line

MAX_ROWS: Final = 1_000
"""Rows of one request: as many as one Redis script should take."""

_SHOWN: Final = 64
"""Characters of a member's name that a fault quotes."""

MAX_NAMED: Final = 8
"""Repeated members that a response names; bounds the response."""

_Path = tuple[str | int, ...]

S = TypeVar("S")
T = TypeVar("T")

_JSON: Final = (b"application/json", b"")

_COLONS: Final = (b'":', b" :", b"\t:", b"\n:", b"\r:")
"""The end of a member's name and its colon, with any white space between (RFC 8259 section 2)."""


def read_object(request: Request, members: Collection[str]) -> dict[str, Any]:
    """Return the body's object.

    ``members``: the allowed names.
    Raises ProblemError 415 or 400.
    """
    if not may_be_json(request.fields):
        if not _is_uncoded(request.fields):
            # RFC 9110 12.5.3: the field names the reason.
            detail = "The body must not be compressed; send no Content-Encoding."
            raise ProblemError(415, detail, lines=line("Accept-Encoding", "identity"))
        # RFC 9110 15.5.16
        detail = "The body must be application/json; send Content-Type: application/json."
        raise ProblemError(415, detail, lines=line("Accept", "application/json"))
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        # orjson's text has line and column, and quotes nothing of the body.
        raise ProblemError(400, f"The body is not JSON: {error.msg}, at character {error.pos}.") from None
    if not isinstance(value, dict):
        raise ProblemError(400, "The body must be a JSON object.", [{"pointer": "", "detail": "must be an object"}])
    check_repeated(request.body, value)
    unknown = value.keys() - members
    if unknown:
        detail = f"is not known; known are {', '.join(members)}"
        faults: list[Fault] = [{"pointer": pointer(name), "detail": detail} for name in sorted(unknown)[:MAX_ROWS]]
        raise ProblemError(400, "The body has members that are not known here.", faults)
    return value


def may_be_json(fields: Fields) -> bool:
    """Whether a body with these fields is uncompressed JSON, or has no media type."""
    media_type = fields.content_type
    is_json = media_type in _JSON or media_type.partition(b";")[0].strip(b" \t").lower() in _JSON
    return is_json and _is_uncoded(fields)


def _is_uncoded(fields: Fields) -> bool:
    coding = fields.content_encoding
    return not coding or all(each.strip(b" \t").lower() in (b"identity", b"") for each in coding.split(b","))


def check_repeated(body: bytes, value: dict[str, Any]) -> None:
    """Raise ProblemError 400 for a repeated member in the body or a row: parsers differ in which one they use.

    ``value``: the parsed body, which keeps the last member of each name.
    """
    rows = [row for member in value.values() if type(member) is list for row in member if type(row) is dict]
    members = len(value) + sum(map(len, rows))
    # A quote or white space precedes the colon of each member, so there are no more members than such
    # colons. (Strings can only add some.) If there are no more colons than members, no member was repeated.
    if body.count(b":") == members or sum(map(body.count, _COLONS)) == members:
        return
    paths = _repeated_members(body, MAX_ROWS + 1)
    if paths:
        faults: list[Fault] = [{"pointer": pointer(*path), "detail": "stands twice in its object"} for path in paths]
        raise ProblemError(400, "The body has members that stand twice.", faults)


class _Repeated(str):
    """Replaces an object with a repeated member; holds that member's name."""

    __slots__ = ()


def _repeated_members(body: bytes, most: int) -> list[_Path]:
    """Return the paths of repeated members in a JSON text: one per object, outermost objects first.

    ``most``: objects of a good body; raises ProblemError 400 where there are more, or are nested too deeply.
    """
    left = most

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
        nonlocal left
        left -= 1
        if left < 0:
            raise ProblemError(400, "The body has more objects than such a request may have.")
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        times = Counter(name for name, _ in pairs)
        return _Repeated(next(name for name in times if times[name] > 1))

    try:
        # Numbers are not parsed: one of a million digits would cost more than all the rest.
        value = json.loads(body, object_pairs_hook=build, parse_int=str, parse_float=str)
        return list(islice(_found(value, ()), MAX_NAMED))
    except RecursionError:
        raise ProblemError(400, "The body is nested too deeply.") from None


def _found(value: object, path: _Path) -> Iterator[_Path]:
    if isinstance(value, _Repeated):
        yield (*path, str(value))
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _found(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _found(each, (*path, index))


def pointer(*parts: str | int) -> str:
    """Return a JSON pointer; a long name from the client is cut."""
    return "".join("/" + str(part)[:_SHOWN].replace("~", "~0").replace("/", "~1") for part in parts)


def raise_faults(faults: list[Fault]) -> None:
    """Raise ProblemError 400 if there are faults."""
    if faults:
        what = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ProblemError(400, f"The request has {what}; nothing was done.", faults)


class Values:
    """The members of a body, or the parameters of a query, and what is wrong with them."""

    def __init__(self, given: Mapping[str, Any], *, query: bool = False) -> None:
        self._given = given
        self._query = query
        self.faults: list[Fault] = []

    def read(self, name: str, reader: Callable[[Any], S], default: T) -> S | T:
        """Return what the reader makes of a value; the default where there is none, or the reader raises ValueError."""
        if name in self._given:
            try:
                return reader(self._given[name])
            except ValueError as error:
                self.add(name, str(error))
        return default

    def text(self, name: str, fault: Callable[[str], str | None], default: T) -> str | T:
        """Return a string that has no fault, or the default."""

        def reader(value: object) -> str:
            if not isinstance(value, str):
                raise ValueError(f"{name} must be a string")
            if detail := fault(value):
                raise ValueError(detail)
            return value

        return self.read(name, reader, default)

    def add(self, name: str, detail: str) -> None:
        """Add a fault of a value."""
        self.faults.append(
            {"parameter": name, "detail": detail} if self._query else {"pointer": pointer(name), "detail": detail}
        )


def check_strings(body: Mapping[str, Any], names: Collection[str]) -> None:
    """Raise ProblemError 400 where one of the members is there, and no string."""
    wrong = [name for name in names if name in body and not isinstance(body[name], str)]
    raise_faults([{"pointer": pointer(name), "detail": f"{name} must be a string"} for name in wrong])


def check_form(body: Mapping[str, Any], forms: Collection[AbstractSet[str]], sentence: str, needed: str) -> None:
    """Raise ProblemError 400 unless the body has the members of one of the forms, and no others."""
    if body.keys() not in forms:
        raise ProblemError(400, sentence, [{"pointer": "", "detail": f"must have {needed}"}])
