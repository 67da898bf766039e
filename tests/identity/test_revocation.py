"""Floors, epochs and first revisions, by the millisecond."""

import pytest

from arsenal_fast.identity.revocation import UNKNOWN, Revoked, first_revision, raised, revoke
from arsenal_fast.identity.validity import LAST_GENERATED, Life, StoreRecord

LIFE = Life(1000, 1100)
NEWER = Life(1050, 1150)

# (held, known to the caller, now, outcome, what is written)
REVOCATIONS: dict[str, tuple[StoreRecord | None, Life | None, int, Revoked, StoreRecord | None]] = {
    "nothing is known": (None, None, 1000, UNKNOWN, None),
    "of now": (StoreRecord(LIFE), None, 1020, Revoked(True, LIFE, 1020, False), StoreRecord(LIFE, 1020)),
    "at its first moment": (StoreRecord(LIFE), None, 1000, Revoked(True, LIFE, 1000, False), StoreRecord(LIFE, 1000)),
    "before its first moment": (
        StoreRecord(LIFE),
        None,
        990,
        Revoked(True, LIFE, 1000, False),
        StoreRecord(LIFE, 1000),
    ),
    "of a life that is over": (
        StoreRecord(LIFE),
        None,
        1200,
        Revoked(True, LIFE, 1200, False),
        StoreRecord(LIFE, 1200),
    ),
    "of a dead one": (StoreRecord(LIFE, 1000), None, 1020, Revoked(True, LIFE, 1000, True), None),
    "of one after a floor": (
        StoreRecord(LIFE, 999),
        None,
        1020,
        Revoked(True, LIFE, 1020, False),
        StoreRecord(LIFE, 1020),
    ),
    "that only the caller knows": (None, LIFE, 1020, Revoked(True, LIFE, 1020, False), StoreRecord(LIFE, 1020)),
    "the caller knows a newer": (
        StoreRecord(LIFE, 1000),
        NEWER,
        1020,
        Revoked(True, NEWER, 1050, False),
        StoreRecord(NEWER, 1050),
    ),
    "the caller knows an older": (
        StoreRecord(NEWER),
        LIFE,
        1020,
        Revoked(True, NEWER, 1050, False),
        StoreRecord(NEWER, 1050),
    ),
    "a provisional one": (
        StoreRecord(LIFE, 0, True),
        None,
        1020,
        Revoked(True, LIFE, 1020, False),
        StoreRecord(LIFE, 1020, True),
    ),
}


@pytest.mark.parametrize(("held", "life", "now", "outcome", "written"), REVOCATIONS.values(), ids=list(REVOCATIONS))
def test_a_revocation(
    held: StoreRecord | None, life: Life | None, now: int, outcome: Revoked, written: StoreRecord | None
) -> None:
    assert revoke(held, life, now) == (outcome, written)


@pytest.mark.parametrize(
    ("epoch", "before", "now", "after"),
    [
        (0, 0, 5000, 5001),
        (0, 7, 5000, 7),
        (8, 7, 5000, 8),
        (5001, 0, 5000, 5001),
        (6000, 0, 5000, 6000),
        (0, 10**18, 5000, LAST_GENERATED),
    ],
)
def test_an_epoch_rises_to_what_was_asked_for_or_to_just_after_now(
    epoch: int, before: int, now: int, after: int
) -> None:
    assert raised(epoch, before, now) == after


def test_a_revision_begins_at_the_clock_and_above_what_was_seen() -> None:
    assert first_revision(5) == 5000
    assert first_revision(5, 4000) == 5000
    assert first_revision(5, 5001) == 5001
