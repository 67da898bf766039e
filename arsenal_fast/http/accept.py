"""Content negotiation by ``Accept`` (RFC 9110 12.5.1), with bounds for such fields.

An invalid range is ignored, as if absent: a bad ``Accept`` is no reason to refuse a request. Parameters other than
``version`` and ``q`` don't distinguish our representations and are ignored.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

MAX_BYTES: Final = 1024
"""Bytes of a field that selects a representation (Accept, Accept-Encoding, If-None-Match); browsers send some 150.
A longer one counts as absent: these requests are not charged, and 16 KiB took 6 ms."""

MAX_MEMBERS: Final = 16
"""Members of such a list; browsers send up to eight, Prometheus five."""

# RFC 9110 12.4.2: qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )
_QUALITY: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?").fullmatch


class _Range(NamedTuple):
    """One media range. ``version`` is empty where it names none."""

    name: str
    version: str
    quality: float


def bounded(field: bytes) -> bytes:
    """Return a field that selects a representation; empty, as if absent, where it is too long."""
    return field if len(field) <= MAX_BYTES and field.count(b",") < MAX_MEMBERS else b""


def quality(accept: bytes, media_type: str, version: str = "") -> float:
    """Return the quality of a media type, from 0 (not acceptable) to 1. No ``Accept``: 1 for all.

    ``version``: of the media type; a range with another version does not match. The most specific range decides.
    """
    found = _ranges(bounded(accept))
    if found is None:
        return 1.0
    names = ("*/*", media_type.partition("/")[0] + "/*", media_type)
    best = (0, 0.0)
    for each in found:
        if each.name in names and not (version and each.version and each.version != version):
            specific = len(names) if version and each.version else names.index(each.name)
            best = max(best, (specific, each.quality))
    return best[1]


def prefers(accept: bytes, media_type: str, to: str) -> bool:
    """Return whether the first has a higher quality than the other."""
    return quality(accept, media_type) > quality(accept, to)


@lru_cache(maxsize=128)
def _ranges(accept: bytes) -> tuple[_Range, ...] | None:
    """Return the valid ranges, or None where there is no range at all."""
    members = [each for each in accept.decode("latin-1").lower().split(",") if each.strip(" \t")]
    if not members:
        return None
    return tuple(found for member in members if (found := _range(member)) is not None)


def _range(member: str) -> _Range | None:
    name, *parameters = member.split(";")
    version, weight = "", 1.0
    for parameter in parameters:
        key, _, value = parameter.strip(" \t").partition("=")
        if key == "q":
            if _QUALITY(value) is None:
                return None
            weight = float(value)
        elif key == "version":
            version = value.strip('"')
    return _Range(name.strip(" \t"), version, weight)
