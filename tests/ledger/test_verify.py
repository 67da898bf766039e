"""Verify finds inconsistencies of a ledger and changes nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from arsenal_fast.ledger import names
from arsenal_fast.ledger.admin import LedgerError
from arsenal_fast.ledger.verify import verify
from tests.ledger.test_migrations import Execute, execute, table
from tests.support.ledger import T0, opened, put, row
from tests.support.ledger_copies import fill

__all__ = ["execute"]

DAMAGE = [
    ("UPDATE {events} SET kind = 'other' WHERE run = '3'", "kind"),
    ("UPDATE {events} SET expires = generated WHERE run = '3'", "end before they begin"),
    ("UPDATE {events} SET version = NULL WHERE run = '3'", "incomplete"),
    ("UPDATE {lives} SET floor = 0", "identities are not in force"),
    ("DELETE FROM {epochs} WHERE prefix = 'other'", "of everything are not in force"),
    ("UPDATE {epochs} SET issued_before = 5 WHERE prefix = ''", "of everything are not in force"),
]

OF_LIVES = [
    ("UPDATE {lives} SET expires = generated WHERE id LIKE 'player-3@%'", "end before they begin"),
    ("DELETE FROM {lives} WHERE id LIKE 'player-3@%'", "not known"),
    ("UPDATE {lives} SET generated = generated - 1 WHERE id LIKE 'player-3@%'", "not known"),
    ("DELETE FROM {events} WHERE run = '3'", "no event tells of"),
]
"""Where each life is in the table."""

OF_NAMES = [
    ("INSERT INTO {lives} VALUES ('player-3@a.example/v1:id', 7, 7, 0)", "end before they begin"),
    ("INSERT INTO {lives} VALUES ('player-3@a.example/v1:id', 7, 9, 0)", "no event tells of"),
    ("DELETE FROM {names} WHERE seq = 4", "missing in the index"),
    ("UPDATE {names} SET key = key + 1 WHERE seq = 4", "missing in the index"),
    ("UPDATE {names} SET at = at + 1 WHERE seq = 4", "missing in the index"),
    ("UPDATE {events} SET run = '333' WHERE run = '3'", "missing in the index"),
    ("DELETE FROM {events} WHERE run = '3'", "lead to no event"),
]
"""Where the names are an index of their own."""


def check_damage(url: str, execute: Execute, damage: str, fault: str) -> None:
    assert verify(url).faults == []
    execute(damage.format(**{name: table(url, name) for name in ("events", "lives", "epochs", "names")}))
    assert any(fault in sentence for sentence in verify(url).faults), verify(url).faults


@pytest.mark.parametrize(("damage", "fault"), DAMAGE)
def test_verify_finds_what_does_not_agree(url: str, execute: Execute, damage: str, fault: str) -> None:
    fill(url)
    check_damage(url, execute, damage, fault)


@pytest.mark.integration
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize(("damage", "fault"), OF_LIVES)
def test_verify_finds_lives_that_do_not_agree(url: str, execute: Execute, damage: str, fault: str) -> None:
    fill(url)
    check_damage(url, execute, damage, fault)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("damage", "fault"), OF_NAMES)
def test_verify_finds_names_that_do_not_agree(
    url: str, execute: Execute, damage: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "SLICE", 16)
    fill(url)
    put_more(url)
    check_damage(url, execute, damage, fault)


def put_more(url: str) -> None:
    """Write as many rows as it takes to fold those of ``fill``."""
    with closing(opened(url)) as store:
        for number in range(60):
            put(store, row(f"more.{number}", T0 + 200 + number))


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
