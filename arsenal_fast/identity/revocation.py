"""The rules of revocation: a floor ends the lives of one identity, an epoch those of many.

Nothing here reads a clock or a store. All moments are ms since the epoch, by the clock of the store.

* A life is dead when generated <= floor(id), or generated < epoch(prefix), or generated < epoch(everything).
* A store counts what changes: the **revision** goes up by one with every revocation and every epoch that rises.
  A worker compares it with the last one it saw, and fetches the changes since then.
* A store without a revision begins at its clock's us, and not at 1: a store that has lost its memory would else
  count again through numbers that workers have seen, and they would miss the changes in between. (No store makes a
  change per us, so the clock is always ahead of the count.)
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.validity import LAST_GENERATED, Life, StoreRecord

EVERYTHING: Final = ""
"""The key of the epoch of everything among those of the prefixes: no prefix is empty."""

AMENDED: Final = "="
"""Stands before the key of an amendment among the ids of a store's list of changes: no id begins with it."""

_NONE: Final[Mapping[str, Amendment]] = MappingProxyType({})

LOG_LENGTH: Final = 1_000  # changes that a store lists; a worker further behind drops its whole cache


class Revoked(NamedTuple):
    """The outcome of the revocation of one identity.

    ``known``: False when nothing was known of it; then nothing has changed, and the rest says nothing.
    ``life``: the newest life known. ``floor``: the one in force. ``already``: it was dead by it before.
    """

    known: bool
    life: Life
    floor: int
    already: bool


class Changes(NamedTuple):
    """The changes since a revision.

    ``ids``: the identities revoked since then; None: not known any more, drop the whole cache.
    ``epochs``: all in force, by prefix; EVERYTHING is the key of the one for all identities.
    ``amendments``: of service tokens, those since the revision; all in force where ``ids`` is None.
    """

    revision: int
    ids: Sequence[str] | None
    epochs: Mapping[str, int]
    amendments: Mapping[str, Amendment] = _NONE


UNKNOWN: Final = Revoked(known=False, life=Life(0, 0), floor=0, already=False)


def revoke(held: StoreRecord | None, life: Life | None, now: int) -> tuple[Revoked, StoreRecord | None]:
    """End every life of an identity up to ``now``; returns the outcome and the record to write, None for no change.

    ``life``: the newest one that the caller knows. It ends too, and is the record where the store has none.
    """
    if life is not None and (held is None or life.generated > held.life.generated):
        held = StoreRecord(life, 0 if held is None else held.floor)
    if held is None:
        return UNKNOWN, None
    if held.life.generated <= held.floor:
        return Revoked(known=True, life=held.life, floor=held.floor, already=True), None
    after = held._replace(floor=max(now, held.life.generated))
    return Revoked(known=True, life=held.life, floor=after.floor, already=False), after


def raised(epoch: int, before: int, now: int) -> int:
    """Return the epoch in force after raising it to ``before``; 0: everything up to now ends."""
    return max(epoch, min(before if before > 0 else now + 1, LAST_GENERATED))


def first_revision(now: int, least: int = 0) -> int:
    """Return the first revision of an empty store at ``now`` (ms); ``least``: one above the last revision seen."""
    return max(now * 1000, least)
