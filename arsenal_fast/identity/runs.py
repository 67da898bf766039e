"""Drawn runs: random runs for requests that leave the run out.

::

    run    = "_" 9moment 16random    26 bytes, lower-case Crockford base32: 0-9 a-z without i l o u
    moment = 45 bits, ms since 1970, until 3084-12-12T12:41:28.831Z
    random = 80 bits of the system's generator, drawn anew for each run

With ``0`` in the place of ``_`` a run is a ULID (https://github.com/ulid/spec) in lower case, for the first character
of a ULID is 0 until then. Sorted as text, runs are in the order of their moments.

The form is reserved, in capitals too: a request that issues may leave the run out, but not name such a run. So only
the response to the request that drew a run has the token of its identity.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from arsenal_fast.identity.grammar import MAX_LOCAL

DRAWN: Final = "_[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}"
"""The form, as a pattern of the whole run: a longer run is free.

It includes capitals, so that no client can name a run that reads like a drawn one.
"""

LENGTH: Final = 26  # bytes
MAX_PREFIX: Final = MAX_LOCAL - len("-") - LENGTH  # bytes of a prefix that has room for a drawn run

RANDOM_BYTES: Final = 10  # 80 bits: with a billion living identities a guess finds one in 2**50
LAST_MOMENT: Final = (1 << 45) - 1  # ms, what nine characters hold

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)  # 10 bits each
_is_drawn = re.compile(DRAWN).fullmatch


def draw_run(now_ms: int, random: Callable[[int], bytes]) -> str:
    """Draw a new run; ``random(count)`` returns that many bytes of the system's generator.

    A clock out of range counts as the nearest moment within it: such runs are out of order, and as hard to guess.
    """
    return f"_{_moment(now_ms)}{_sixteen(int.from_bytes(random(RANDOM_BYTES)))}"


def is_drawn(run: str) -> bool:
    """Whether a run has the form that only the service makes."""
    return _is_drawn(run) is not None


@lru_cache(maxsize=1)  # a batch draws all of its runs in one millisecond or two
def _moment(now_ms: int) -> str:
    moment = min(max(now_ms, 0), LAST_MOMENT)
    return "".join(_ALPHABET[moment >> shift & 31] for shift in range(40, -1, -5))


def _sixteen(bits: int) -> str:
    # Unrolled, since it runs for each row of a batch: a loop takes twice as long.
    return (
        f"{_PAIRS[bits >> 70]}{_PAIRS[bits >> 60 & 1023]}{_PAIRS[bits >> 50 & 1023]}{_PAIRS[bits >> 40 & 1023]}"
        f"{_PAIRS[bits >> 30 & 1023]}{_PAIRS[bits >> 20 & 1023]}{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}"
    )
