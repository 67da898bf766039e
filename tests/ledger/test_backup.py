"""Backup and restore of a ledger, also during writes."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from arsenal_fast.ledger.admin import LedgerError
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.backup import backup, restore
from arsenal_fast.ledger.model import LedgerRecord
from arsenal_fast.ledger.verify import verify
from tests.ledger.test_migrations import Execute, execute, fixture_of
from tests.support.ledger import T0, find, id_of, opened, put, record, revoked, row, running
from tests.support.ledger_copies import exported, fill
from tests.support.loops import run, until
from tests.support.postgres_server import PASSWORD, QUOTED, PostgresServer

__all__ = ["execute"]


def other_of(url: str, tmp_path: Path, server: Callable[[], PostgresServer]) -> str:
    """Another database of the same kind, empty."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/other/identity.db"
    return server().new_database("ledger_other")


def test_a_backup_restores_all_that_was_known(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    other = other_of(url, tmp_path, lambda: request.getfixturevalue("postgres_server"))
    fill(url)
    with closing(opened(other)) as store:
        put(store, row("of no backup"))
    file = str(tmp_path / "backup")
    backup(url, file)
    restore(other, file)
    assert verify(other) == verify(url)
    assert exported(other) == exported(url)
    with closing(opened(other)) as store:
        assert store.find([id_of(1), id_of("of no backup")]) == [LedgerRecord(row(1, T0 + 101).life, T0 + 100), None]
        assert put(store, row("new")) == [row("new").life], "and it goes on from there"


def test_a_backup_while_it_is_written_is_sound(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    other = other_of(url, tmp_path, lambda: request.getfixturevalue("postgres_server"))
    file = str(tmp_path / "backup")

    async def main() -> int:
        async with running(Ledger(url, timeout=5.0)) as ledger:
            written = 0
            await record(ledger, *(row(f"first.{number}") for number in range(5_000)))
            copying = asyncio.ensure_future(asyncio.to_thread(backup, url, file))
            while not copying.done():
                lives = await record(ledger, *(row(f"{written}.{part}") for part in range(50)))
                assert lives is not None, "no request waits for a backup"
                written += 1
            await copying
            return written

    assert run(main(), deadline=60) > 0
    restore(other, file)
    report = verify(other)
    assert report.faults == []
    assert report.lives >= 5_000
    assert (report.lives - 5_000) % 50 == 0, "a commit is in it whole or not at all"


def test_restoring_under_a_running_service_is_seen_by_it(url: str, tmp_path: Path) -> None:
    file = str(tmp_path / "backup")
    fill(url)
    backup(url, file)

    async def main() -> None:
        async with running(Ledger(url, timeout=5.0)) as ledger:
            await record(ledger, row("of no backup"))
            await asyncio.to_thread(restore, url, file)
            assert await find(ledger, id_of("of no backup"), id_of(2)) == [None, LedgerRecord(row(2, T0 + 2).life, 0)]
            assert await record(ledger, row("new")) == [row("new").life]
            await until(lambda: ledger.healthy)

    run(main(), deadline=60)
    assert verify(url).faults == []


def test_an_older_backup_is_brought_up_to_date(url: str, execute: Execute, tmp_path: Path) -> None:
    execute(fixture_of(url))
    backup(url, str(tmp_path / "backup"))
    restore(url, str(tmp_path / "backup"))
    assert verify(url).faults == []
    with closing(opened(url)) as store:
        store.write([revoked(1, T0 + 5)])
    assert verify(url).faults == []


def test_a_backup_appears_whole_or_not_at_all(sqlite_url: str, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    target.write_text("the one before")
    with pytest.raises(LedgerError, match="no ledger"):
        backup(sqlite_url, str(target))
    assert target.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_backup_tells_its_progress(sqlite_url: str, tmp_path: Path) -> None:
    fill(sqlite_url, 20_000)
    told: list[tuple[int, int]] = []
    backup(sqlite_url, str(tmp_path / "backup"), lambda done, whole: told.append((done, whole)))
    assert told[-1][0] == told[-1][1] > 0


def test_a_backup_of_sqlite_is_one_file_that_anybody_can_open(sqlite_url: str, tmp_path: Path) -> None:
    fill(sqlite_url)
    backup(sqlite_url, str(tmp_path / "backup.db"))
    with closing(sqlite3.connect(tmp_path / "backup.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (55,)
    assert {path.name for path in tmp_path.iterdir()} == {"backup.db", "data"}


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_a_restored_ledger_is_not_for_everybody_to_read(sqlite_url: str, tmp_path: Path) -> None:
    fill(sqlite_url)
    backup(sqlite_url, str(tmp_path / "backup.db"))
    restore(f"sqlite:///{tmp_path}/other/identity.db", str(tmp_path / "backup.db"))
    assert [mode_of(path) for path in (tmp_path / "backup.db", tmp_path / "other/identity.db")] == ["0o600", "0o640"]


def test_a_backup_does_not_take_the_place_of_a_device_or_a_pipe(sqlite_url: str, tmp_path: Path) -> None:
    fill(sqlite_url)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LedgerError, match="is not a file"):
        backup(sqlite_url, str(tmp_path / "pipe"))
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("content", [b"", b"not a database at all, but of some length" * 200])
def test_a_backup_that_is_none_changes_nothing(url: str, tmp_path: Path, content: bytes) -> None:
    fill(url)
    before = exported(url)
    file = tmp_path / "backup"
    file.write_bytes(content)
    with pytest.raises(LedgerError, match=r"^[^\n]+$"):
        restore(url, str(file))
    assert exported(url) == before


def test_a_backup_that_is_not_there_is_one_sentence(url: str) -> None:
    with pytest.raises(LedgerError, match="no backup at /nowhere"):
        restore(url, "/nowhere/at/all")


@pytest.mark.integration
def test_no_tool_of_postgresql_is_given_the_password_openly(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in its arguments, which every user can see, nor in messages."""
    import subprocess

    seen: list[str] = []
    real = subprocess.run

    def spy(command: list[str], **options: Any) -> Any:
        seen.extend(command)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", spy)
    fill(postgres_url)
    backup(postgres_url, str(tmp_path / "backup"))
    assert any("--dbname" in argument for argument in seen)
    assert not any(PASSWORD in argument or QUOTED in argument for argument in seen)
    with pytest.raises(LedgerError) as caught:
        backup(postgres_url.replace("ledger_test", "nowhere"), str(tmp_path / "other"))
    assert PASSWORD not in str(caught.value)
