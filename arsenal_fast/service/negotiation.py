"""Which representation a client wants: the ``Accept`` field of RFC 9110 12.5.1.

A range that can't be read is passed over, as if it had not come: a bad ``Accept`` is no reason to answer
nothing. Parameters other than ``version`` and ``q`` don't tell our representations apart and are not looked at.
"""

import re
from typing import Final

# RFC 9110 12.4.2: qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )
_QUALITY: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def quality(accept: bytes, media_type: str, version: str = "") -> float:
    """Return how much a media type is wanted, from 0 (not at all) to 1. No ``Accept``: everything is, alike.

    ``version``: of the media type; a range with another one does not mean it. The most specific range decides.
    """
    ranges = [each for each in accept.decode("latin-1").lower().split(",") if each.strip(" \t")]
    if not ranges:
        return 1.0
    matches = [_match(each, media_type, version) for each in ranges]
    return max((each for each in matches if each is not None), default=(0, 0.0))[1]


def prefers(accept: bytes, media_type: str, to: str) -> bool:
    """Return whether the first is wanted more than the other; not if they are wanted alike."""
    return quality(accept, media_type) > quality(accept, to)


def _match(text: str, media_type: str, version: str) -> tuple[int, float] | None:
    """Return (how specific the range is, its quality), or None where it does not mean the media type."""
    name, *parameters = [part.strip(" \t") for part in text.split(";")]
    ranges = ("*/*", media_type.partition("/")[0] + "/*", media_type)
    if name not in ranges:
        return None
    specific = ranges.index(name)
    weight = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key == "q":
            if _QUALITY.fullmatch(value) is None:
                return None
            weight = float(value)
        elif key == "version" and version:
            if value.strip('"') != version:
                return None
            specific = len(ranges)
    return specific, weight
