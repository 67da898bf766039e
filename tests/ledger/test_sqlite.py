"""Properties of SQLite: its writes to the disk, and the indexes of its reads."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from arsenal_fast.ledger import sqlite
from arsenal_fast.ledger.dialect import for_sqlite
from arsenal_fast.ledger.errors import Refused
from arsenal_fast.ledger.model import AuditQuery, Cursor, LedgerRecord
from arsenal_fast.ledger.sqlite import SqliteStore
from arsenal_fast.ledger.store import audit_query
from tests.support.ledger import T0, put, row


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(f"{tmp_path}/deep/down/identity.db")) as store:
        yield store


def pragma(store: SqliteStore, name: str) -> object:
    return store.connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_commit_is_on_the_disk_before_it_is_told(store: SqliteStore) -> None:
    assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 2)


def test_nobody_else_on_the_machine_reads_the_addresses_of_clients(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(SqliteStore(f"{tmp_path}/identity.db")) as store:
            put(store, row(1))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["identity.db", "identity.db-wal", "identity.db-shm"], 0o640)


PLANS: list[tuple[dict[str, Any], str]] = [
    ({}, "events_at"),
    ({"since": T0, "until": T0 + 1}, "events_at"),
    ({"prefix": "player"}, "events_prefix"),
    ({"prefix": "player", "since": T0, "until": T0 + 1}, "events_prefix"),
]


@pytest.mark.parametrize("after", [None, Cursor(T0, 5)])
@pytest.mark.parametrize(("filters", "index"), PLANS, ids=str)
def test_a_page_costs_no_more_than_its_rows_however_long_the_history(
    store: SqliteStore, filters: dict[str, Any], index: str, after: Cursor | None
) -> None:
    """An index that gives just this order: nothing is sorted, nothing is passed over."""
    query = AuditQuery(T0, "me", after=after)._replace(**filters)
    statement, values = audit_query(query, sqlite._index(query))
    plan = " ".join(step[3] for step in store.connection.execute(for_sqlite(f"EXPLAIN QUERY PLAN {statement}"), values))
    assert f"INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("after", [None, Cursor(T0, 5)])
@pytest.mark.parametrize("filters", [{}, {"prefix": "player"}, {"prefix": "player", "since": T0}], ids=str)
def test_a_page_of_a_run_reads_its_entries_and_the_events_of_the_page(
    store: SqliteStore, filters: dict[str, Any], after: Cursor | None
) -> None:
    query = AuditQuery(T0, "me", run="1", after=after)._replace(**filters)
    statement, values = store._page_of_run(query)
    plan = [step[3] for step in store.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert "SEARCH names USING PRIMARY KEY (key>? AND key<?)" in plan
    assert "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)" in plan, "what is not folded"
    assert plan[-2:] == ["SCAN entries", "SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"], "in their order"


def test_a_question_that_takes_too_long_is_given_up(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for start in range(0, 50_000, 500):
        put(store, *(row(1, T0 + number, prefix=f"p{number}") for number in range(start, start + 500)))
    monkeypatch.setattr(sqlite, "AUDIT_SECONDS", 0.0)
    with pytest.raises(Refused, match="too long"):
        store.audit(AuditQuery(T0, "me", run="1", limit=1000))
    monkeypatch.undo()
    assert len(store.audit(AuditQuery(T0, "me", run="1", limit=1000)).events) == 1000


@pytest.mark.parametrize("count", [1, 2, 3, 5, 255, 256, 257, 511, 767])
def test_groups_of_every_size_are_written_whole(store: SqliteStore, count: int) -> None:
    rows = [row(number, T0 + number) for number in range(count)]
    assert put(store, *rows) == [each.life for each in rows]
    assert store.find([each.id for each in rows]) == [LedgerRecord(each.life, 0) for each in rows]
    assert store.connection.execute("SELECT count(*), max(seq) FROM events").fetchone() == (count, count)
