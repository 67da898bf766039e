"""The order of two lives, and cursors."""

import pytest

from arsenal_fast.ledger.model import AuditEvent, Cursor, LedgerRecord, parse_cursor, settle, stands, write_cursor
from tests.ledger.moments import CASES, HELD, Case, new
from tests.support.ledger import T0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_life_that_stands_is_kept_and_facts_are_written(case: Case) -> None:
    settled = settle(case.held or LedgerRecord(None, 0), case.epoch, case.life, case.late)
    assert (settled.life, settled.record.life, settled.event) == (case.answer, case.newest, case.event)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_settling_again_gives_the_same_and_no_event(case: Case) -> None:
    first = settle(case.held or LedgerRecord(None, 0), case.epoch, case.life, case.late)
    again = settle(first.record, case.epoch, case.life, case.late)
    assert again.record == first.record
    assert not again.event or case.newest != case.life  # of an older life the store must look whether it is there


def test_a_floor_survives_a_new_life() -> None:
    assert settle(LedgerRecord(HELD, T0 + 7), 0, new(8), late=False).record == LedgerRecord(new(8), T0 + 7)


def test_nothing_stands_where_no_life_is_known() -> None:
    assert not stands(LedgerRecord(None, 0), 0, 0)


def test_a_cursor_comes_back_as_it_was_written() -> None:
    cursor = Cursor(1_790_000_000_000, 12)
    assert parse_cursor(write_cursor(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    ["", "1", "1-", "-1", "1-2-3", "1-2\n", " 1-2", "1_0-2", "+1-2", "١-2", "1" * 19 + "-2", "1-" + "2" * 19, "a-b"],
)
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="cursor must be"):
        parse_cursor(text)


def test_an_event_of_an_identity_tells_its_id_and_others_have_none() -> None:
    event = AuditEvent(1, "issued", 5, "player", "1", "a.example", "v1", 5, 6, None, None, "me", None)
    assert event.id == "player-1@a.example/v1:id"
    assert event._replace(run=None, domain=None, version=None).id is None
