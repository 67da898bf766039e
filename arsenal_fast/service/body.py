"""Reading JSON bodies: strict about shape, and every fault named by its pointer (RFC 6901)."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from arsenal_fast.errors import Fault, ProblemError
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.http.responses import line

MAX_ROWS: Final = 1_000
"""Rows of one request: as many as one Redis script should be asked at a time."""

_JSON: Final = (b"application/json", b"")

_SHOWN: Final = 64
"""Characters of an unknown member's name that a fault repeats."""


class MediaTypeError(ProblemError):
    """The body is no JSON by its own word; answered 415 with ``Accept`` (RFC 9110 15.5.16)."""

    lines = line("Accept", "application/json")


def read_object(request: Request, members: Mapping[str, str]) -> dict[str, Any]:
    """Return the body's object.

    ``members``: the names that may be there, and what each must be (for the fault on an unknown one).
    Raises ProblemError 415 or 400.
    """
    if not may_be_json(request.fields):
        raise MediaTypeError(415, "The body must be application/json; send Content-Type: application/json.")
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        # orjson says where (line, column), and repeats nothing of the body.
        raise ProblemError(400, f"The body is not JSON: {error.msg}, at character {error.pos}.") from None
    if not isinstance(value, dict):
        raise ProblemError(400, "The body must be a JSON object.", [{"pointer": "", "detail": "must be an object"}])
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
    """Whether a body that comes with these fields is JSON, or does not say what it is."""
    media_type = fields.content_type
    return media_type in _JSON or media_type.partition(b";")[0].strip(b" \t").lower() in _JSON


def pointer(*parts: str | int) -> str:
    """Return a JSON pointer; a long name is cut, for it is the client's."""
    return "".join("/" + str(part)[:_SHOWN].replace("~", "~0").replace("/", "~1") for part in parts)


def raise_faults(faults: list[Fault]) -> None:
    """Raise ProblemError 400 if there are faults."""
    if faults:
        what = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ProblemError(400, f"The request has {what}; nothing was done.", faults)
