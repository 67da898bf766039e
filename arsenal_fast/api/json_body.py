"""Reads JSON bodies strictly; each fault has its JSON pointer (RFC 6901)."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from arsenal_fast.api.repeated_members import repeated_members
from arsenal_fast.errors import Fault, ProblemError
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.http.response import line

MAX_ROWS: Final = 1_000
"""Rows of one request: as many as one Redis script should take."""

_SHOWN: Final = 64
"""Characters of a member's name that a fault quotes."""

_JSON: Final = (b"application/json", b"")

_COLONS: Final = (b'":', b" :", b"\t:", b"\n:", b"\r:")
"""The end of a member's name and its colon, with any white space between (RFC 8259 section 2)."""


class MediaTypeError(ProblemError):
    """The media type is not JSON: 415 with ``Accept`` (RFC 9110 15.5.16)."""

    lines = line("Accept", "application/json")


class CodingError(ProblemError):
    """The body is compressed: 415 with ``Accept-Encoding``, which names the reason (12.5.3)."""

    lines = line("Accept-Encoding", "identity")


def read_object(request: Request, members: Mapping[str, str]) -> dict[str, Any]:
    """Return the body's object.

    ``members``: the allowed names and their types (for the fault of an unknown one).
    Raises ProblemError 415 or 400.
    """
    if not may_be_json(request.fields):
        if not _is_uncoded(request.fields):
            raise CodingError(415, "The body must not be compressed; send no Content-Encoding.")
        raise MediaTypeError(415, "The body must be application/json; send Content-Type: application/json.")
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        # orjson's text has line and column, and quotes nothing of the body.
        raise ProblemError(400, f"The body is not JSON: {error.msg}, at character {error.pos}.") from None
    if not isinstance(value, dict):
        raise ProblemError(400, "The body must be a JSON object.", [{"pointer": "", "detail": "must be an object"}])
    check_repeated(request.body, value)
    if not value.keys() <= members.keys():
        unknown = value.keys() - members.keys()
        known = ", ".join(members)
        raise ProblemError(
            400,
            "The body has members that are not known here.",
            [
                {"pointer": pointer(name), "detail": f"is not known; known are {known}"}
                for name in sorted(unknown)[:MAX_ROWS]
            ],
        )
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
    paths = repeated_members(body, MAX_ROWS + 1)
    if paths:
        faults: list[Fault] = [{"pointer": pointer(*path), "detail": "stands twice in its object"} for path in paths]
        raise ProblemError(400, "The body has members that stand twice.", faults)


def pointer(*parts: str | int) -> str:
    """Return a JSON pointer; a long name from the client is cut."""
    return "".join("/" + str(part)[:_SHOWN].replace("~", "~0").replace("/", "~1") for part in parts)


def raise_faults(faults: list[Fault]) -> None:
    """Raise ProblemError 400 if there are faults."""
    if faults:
        what = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ProblemError(400, f"The request has {what}; nothing was done.", faults)
