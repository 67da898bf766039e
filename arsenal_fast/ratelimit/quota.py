"""The quota of a client: ``limit`` requests in a ``window``, under the name of a policy.

A quota is a value: equal by (limit, window, policy), derived integers made once. All arithmetic on it is in whole
microseconds, so that Lua's doubles (exact up to 2**53) and Python's integers agree to the last digit.
"""

from dataclasses import dataclass, field
from typing import Final

MAX_WINDOW: Final = 31_536_000  # seconds, a year: now + window stays under 2**53 us until the year 2254

POLICY: Final = "default"
"""The policy of addresses."""

TOKEN_POLICY: Final = "token"  # noqa: S105 a policy's name, no secret
"""The policy of service tokens; each token has its own quota."""

SUBJECT_POLICY: Final = "subject"
"""The policy of those on whose behalf a service token's holder sends requests."""

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """``limit`` requests at once, and again one each ``interval``; ValueError of one sentence if it can't be.

    ``interval``: the emission interval in us. ``tolerance``: limit * interval, the longest backlog in us; up
    to ``limit`` us shorter than the window where the limit does not divide it. ``step``: what a hit adds to the
    backlog, the interval of each of the requests that it costs.
    ``encoded``: an adapter's own encoding of this quota, made once; no part of the value.
    """

    limit: int
    window: int  # seconds
    policy: str = POLICY
    cost: int = 1
    """Requests that one hit counts for."""
    interval: int = field(init=False, repr=False, compare=False)
    step: int = field(init=False, repr=False, compare=False)
    tolerance: int = field(init=False, repr=False, compare=False)
    encoded: bytes | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if not 1 <= self.window <= MAX_WINDOW:
            raise ValueError(f"the window of a quota must be from 1 to {MAX_WINDOW} seconds.")
        if not 1 <= self.limit <= self.window * _MICROSECONDS:
            raise ValueError("the limit of a quota must be from 1 to 1000000 requests a second of its window.")
        interval = self.window * _MICROSECONDS // self.limit
        object.__setattr__(self, "interval", interval)
        object.__setattr__(self, "step", interval * self.cost)
        object.__setattr__(self, "tolerance", interval * self.limit)

    def keep_encoded(self, encoded: bytes) -> bytes:
        """Keep an adapter's encoding; the only attribute of a quota that is set later, once."""
        object.__setattr__(self, "encoded", encoded)
        return encoded


UNLIMITED: Final = Quota(1, 1)
"""The quota of a client that is not limited: the object, not the value. Nothing charges it."""
