"""The rules of issuing, by the millisecond; tests/conformance tests them in the stores."""

import pytest

from arsenal_fast.identity.issue_rules import is_living, settle
from arsenal_fast.identity.validity import (
    EXPIRED_RETENTION,
    MAX_TTL,
    Issued,
    IssueRow,
    Life,
    Mode,
    Outcome,
    StoreRecord,
)

ID = "player-1@a.example/v1:id"
LIFE = Life(1000, 1100)

# (floor, epoch, now, living)
MOMENTS = [
    (0, 0, 1000, True),
    (0, 0, 1099, True),
    (0, 0, 1100, False),
    (0, 1000, 1050, True),
    (0, 1001, 1050, False),
    (999, 0, 1050, True),
    (1000, 0, 1050, False),
]


@pytest.mark.parametrize(("floor", "epoch", "now", "living"), MOMENTS)
def test_a_life_ends_at_its_expiry_at_its_floor_and_before_its_epoch(
    floor: int, epoch: int, now: int, living: bool
) -> None:
    assert is_living(StoreRecord(LIFE, floor), epoch, now) is living


@pytest.mark.parametrize(
    ("floor", "epoch", "now", "begin"),
    [(0, 0, 5000, 5000), (4999, 0, 5000, 5000), (5000, 0, 5000, 5001), (5500, 6000, 5000, 6000), (0, 6000, 7000, 7000)],
)
def test_a_new_life_begins_now_after_its_floor_and_not_before_its_epoch(
    floor: int, epoch: int, now: int, begin: int
) -> None:
    issued, record = settle(StoreRecord(LIFE, floor), IssueRow(ID, 10, epoch=epoch), now)
    assert issued == (Outcome.ISSUED, (begin, begin + 10))
    assert record == StoreRecord(Life(begin, begin + 10), floor)


@pytest.mark.parametrize("mode", Mode)
def test_where_nothing_is_known_every_row_gets_a_life(mode: Mode) -> None:
    issued, record = settle(None, IssueRow(ID, 100, mode, 1000), 1000)
    assert issued == Issued(Outcome.ISSUED, LIFE)
    assert record == StoreRecord(LIFE)


@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.ASSERT])
def test_what_is_kept_is_not_written_again(mode: Mode) -> None:
    issued, record = settle(StoreRecord(LIFE), IssueRow(ID, 100, mode, 1000), 1010)
    assert issued.life == LIFE
    assert record is None


@pytest.mark.parametrize(
    ("record", "until"),
    [
        (StoreRecord(LIFE), 1100 + EXPIRED_RETENTION),
        (StoreRecord(LIFE, provisional=True), 1100 + EXPIRED_RETENTION),
        (StoreRecord(LIFE, 1000), 1000 + MAX_TTL * 1000 + EXPIRED_RETENTION),
        (StoreRecord(Life(1000, 1001 + MAX_TTL * 1000), 1), 1001 + MAX_TTL * 1000 + EXPIRED_RETENTION),
    ],
)
def test_a_record_is_kept_for_its_retention_and_as_long_as_its_floor_could_matter(
    record: StoreRecord, until: int
) -> None:
    assert record.kept_until == until
