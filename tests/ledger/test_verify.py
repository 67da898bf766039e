"""Verify finds inconsistencies of a ledger and changes nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from arsenal_fast.ledger.admin import LedgerError
from arsenal_fast.ledger.verify import verify
from tests.ledger.test_migrations import Execute, execute, table
from tests.support.ledger_copies import fill

__all__ = ["execute"]

DAMAGE = [
    ("UPDATE {events} SET kind = 'other' WHERE run = '3'", "kind"),
    ("UPDATE {events} SET expires = generated WHERE run = '3'", "end before they begin"),
    ("UPDATE {events} SET version = NULL WHERE run = '3'", "incomplete"),
    ("UPDATE {lives} SET expires = generated WHERE id LIKE 'player-3@%'", "end before they begin"),
    ("DELETE FROM {lives} WHERE id LIKE 'player-3@%'", "not known"),
    ("UPDATE {lives} SET generated = generated - 1 WHERE id LIKE 'player-3@%'", "not known"),
    ("DELETE FROM {events} WHERE run = '3'", "no event tells of"),
    ("UPDATE {lives} SET floor = 0", "identities are not in force"),
    ("DELETE FROM {epochs} WHERE prefix = 'other'", "of everything are not in force"),
    ("UPDATE {epochs} SET issued_before = 5 WHERE prefix = ''", "of everything are not in force"),
]


@pytest.mark.parametrize(("damage", "fault"), DAMAGE)
def test_verify_finds_what_does_not_agree(url: str, execute: Execute, damage: str, fault: str) -> None:
    fill(url)
    assert verify(url).faults == []
    names = {name: table(url, name) for name in ("events", "lives", "epochs")}
    execute(damage.format(**names))
    assert any(fault in sentence for sentence in verify(url).faults), verify(url).faults


def test_verify_finds_a_damaged_page(sqlite_url: str) -> None:
    fill(sqlite_url, 2_000)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096)
    try:
        faults: Any = verify(sqlite_url).faults
    except LedgerError as error:
        faults = [str(error)]
    assert faults


def test_verify_changes_nothing(sqlite_url: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        verify(sqlite_url)
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    before = file.read_bytes()
    assert verify(f"sqlite:///{file}").faults == ["It is no ledger: tables are missing."]
    assert file.read_bytes() == before
