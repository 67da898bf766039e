"""The validity of an identity: lives, TTLs, timestamps, and the records of issuing.

A moment is an integer: milliseconds since the epoch, UTC. A life is the half-open span [generated, expires):
at ``now == expires`` it is over. Nothing here reads a clock; the moment is an argument.
The stores (Redis, memory) and the registry exchange the records below.
"""

import re
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

MIN_TTL: Final = 1  # seconds
MAX_TTL: Final = 2_592_000  # seconds, 30 days: "disposable"
DEFAULT_TTL: Final = 3_600  # seconds

EXPIRED_RETENTION: Final = 300_000  # ms that a record outlives its expiry, so that expired differs from unknown

LAST_MOMENT: Final = 253_402_300_799_999  # ms, 9999-12-31T23:59:59.999Z: RFC 3339 has four-digit years only
LAST_GENERATED: Final = LAST_MOMENT - MAX_TTL * 1000  # ms: what begins by then ends by LAST_MOMENT, however long it is

TTL_RANGE: Final = f"ttl must be a whole number of seconds from {MIN_TTL} to {MAX_TTL}."

# int() would also take signs, spaces, "_" and other scripts' digits; seven digits hold MAX_TTL.
_TTL = re.compile(r"[1-9][0-9]{0,6}")


make_record: Final = tuple.__new__
"""Makes a named tuple in half the time of its class: there are tens of rows in a tick."""


class Life(NamedTuple):
    """One span of validity of an identity, both ends in ms since the epoch."""

    generated: int
    expires: int

    @property
    def ttl(self) -> int:
        """The length in ms."""
        return self.expires - self.generated

    @property
    def renew_at(self) -> int:
        """The first ms at which less than a quarter of the TTL is left: 4 * (expires - now) < ttl."""
        return self.expires - (self.expires - self.generated + 3) // 4 + 1


class Outcome(IntEnum):
    """The outcome of one row of an issue; the numbers are issue.lua's (3 was used by earlier releases)."""

    FOUND = 0  # a living life, unchanged
    ISSUED = 1  # none was living: a new one
    RENEWED = 2  # less than a quarter was left: a new one
    PROVISIONAL = 4  # as FOUND, but the life is not confirmed yet
    REVOKED = 5  # the row's life is dead by a floor or an epoch, and none is living: nothing changed


class Mode(IntEnum):
    """What one row of an issue requests; the numbers are issue.lua's (1 was used by earlier releases)."""

    PLAIN = 0  # the living life, renewed when it is due, else a new one
    ASSERT = 2  # the row's life, which was issued while the store was away, unless another is living
    CONFIRM = 3  # the row's life, which the ledger holds, unless a newer and confirmed one is living


class IssueRow(NamedTuple):
    """One identity to issue, ``ttl`` in ms.

    ``generated``: with ASSERT and CONFIRM the beginning of the row's own life, which ends ``ttl`` later.
    ``epoch``: a life generated before it is dead (ms; the greater of the prefix's epoch and that of everything).
    ``provisional``: write the life as not confirmed yet. CONFIRM always writes it as confirmed.
    """

    id: str
    ttl: int
    mode: Mode = Mode.PLAIN
    generated: int = 0
    epoch: int = 0
    provisional: bool = False


class StoreRecord(NamedTuple):
    """A store's record of an identity: its last life, living or not.

    ``floor``: every life generated at or before it is dead (ms; 0: this identity was never revoked).
    ``provisional``: the ledger has not confirmed the life yet.
    """

    life: Life
    floor: int = 0
    provisional: bool = False

    def is_living(self, now_ms: float) -> bool:
        """Whether the life is neither expired nor ended by the floor; an epoch may have ended it."""
        generated, expires = self.life
        return self.floor < generated and now_ms < expires

    @property
    def kept_until(self) -> int:
        """The ms from which a store may drop the record: its life and all lives ended by its floor are over by then.

        A life that the floor has ended began by the floor, so it is over one longest TTL after the floor.
        """
        ends = self.life.expires
        if self.floor:
            ends = max(ends, self.floor + MAX_TTL * 1000)
        return ends + EXPIRED_RETENTION


class Issued(NamedTuple):
    """The result of one ``IssueRow``: the life that holds from now on."""

    outcome: Outcome
    life: Life


class Terms(NamedTuple):
    """How a store is to fetch an identity. ``epoch`` and ``provisional``: as of ``IssueRow``.

    ``ttl``: of a new life, ms; 0: the identity is only looked up.
    """

    ttl: int = 0
    epoch: int = 0
    provisional: bool = False


LOOK_UP: Final = Terms()


class Wanted(Protocol):
    """An identity that a request needs, if it passes."""

    @property
    def id(self) -> str: ...
    @property
    def terms(self) -> Terms: ...


class LookedUp(NamedTuple):
    """The result of a look-up: the store's record; None: it has none."""

    record: StoreRecord | None


Fetched = Issued | LookedUp
"""What a store has answered to one of these terms."""


class Fetching(Wanted, Protocol):
    """An identity that one request needs, and what the store has said of it together with the admission."""

    fetched: Life | Fetched | None
    """A life holds, and is kept. None: the store is to be asked, or will have answered before the request goes on."""
    invalidations: int
    """Those of the cache when it was asked: where there are more by now, the answer may be used but not kept."""


def parse_ttl(text: str) -> int:
    """Return the seconds in the decimal text of a query; raises ValueError with one sentence that names the range."""
    if _TTL.fullmatch(text) is None or int(text) > MAX_TTL:
        raise ValueError(TTL_RANGE)
    return int(text)


def ttl_fault(value: object) -> str | None:
    """Return why a JSON value is no TTL, or None. Neither ``true`` nor ``60.0`` nor ``"60"`` is one."""
    if type(value) is int and MIN_TTL <= value <= MAX_TTL:
        return None
    return TTL_RANGE


def timestamp(ms: int) -> str:
    """Return the RFC 3339 timestamp in UTC, such as 2026-11-22T10:00:00.000Z; ValueError outside 1970..9999."""
    return _until_second(ms // 1000) + _FRACTIONS[ms % 1000]


_FRACTIONS: Final = tuple(f".{fraction:03d}Z" for fraction in range(1000))


@lru_cache(maxsize=8192)  # lives of an hour begin in the last one and end in the next
def _until_second(second: int) -> str:
    if not 0 <= second <= LAST_MOMENT // 1000:
        raise ValueError("the moment is not within the years 1970 to 9999")
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]
