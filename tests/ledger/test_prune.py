"""The commands on a ledger: backup, restore, export, prune, verify, while it is being written or not."""

import asyncio
import csv
import io
import json
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

from arsenal_fast.ledger import export as exporting
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.model import LedgerRecord
from arsenal_fast.ledger.prune import LedgerError, backup, export, prune, restore, verify
from arsenal_fast.ledger.store import AuditRead, Lives
from tests.ledger.test_migrations import Execute, execute, fixture_of, table
from tests.ledger.test_stores import opened, put
from tests.support.ledger import T0, find, id_of, record, revoked, revoked_all, revoked_prefix, row, running
from tests.support.loops import run, until
from tests.support.postgres_server import PASSWORD, QUOTED, PostgresServer

__all__ = ["execute"]

DAY = 86_400_000


def fill(url: str, rows: int = 50) -> None:
    with closing(opened(url)) as store:
        put(store, *(row(number, T0 + number, environment="prod") for number in range(rows)))
        store.write([revoked(1, T0 + 100, at=T0 + 100), revoked_prefix("other", T0 + 100), revoked_all(T0 - DAY)])
        store.write([Lives([row(1, T0 + 101, kind="renewed")]), AuditRead(T0, "auditor", None, None, None)])


def other_of(url: str, tmp_path: Path, server: Callable[[], PostgresServer]) -> str:
    """Another database of the same kind, empty."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/other/identity.db"
    return server().new_database("ledger_other")


# Backup and restore


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
                assert lives is not None, "nobody waits for a backup"
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
        assert connection.execute("SELECT count(*) FROM lives").fetchone() == (50,)
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
    with pytest.raises(LedgerError, match="no such backup"):
        restore(url, "/nowhere/at/all")


@pytest.mark.integration
def test_no_tool_of_postgresql_is_given_the_password_openly(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in its arguments, where everybody sees it, nor in what it is quoted with."""
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


# Export


def exported(url: str, form: Literal["csv", "jsonl"] = "jsonl") -> str:
    out = io.BytesIO()
    export(url, out, form)
    return out.getvalue().decode()


def test_json_lines_tell_every_event_oldest_first(url: str) -> None:
    fill(url, 2)
    lines = [json.loads(line) for line in exported(url).splitlines()]
    assert [line["kind"] for line in lines] == [
        *("issued", "issued", "revoked", "revoked_prefix", "revoked_all", "renewed", "audit_read")
    ]
    assert lines[0] | {"seq": 1} == {
        "seq": 1,
        "kind": "issued",
        "at": "2026-09-21T14:13:20.000Z",
        "id": id_of(0),
        "prefix": "player",
        "run": "0",
        "domain": "sports.api.yourbook.com",
        "version": "v1",
        "generated": "2026-09-21T14:13:20.000Z",
        "expires": "2026-09-21T15:13:20.000Z",
        "issued_before": None,
        "environment": "prod",
        "caller": "203.0.113.9",
        "request_id": None,
    }


def test_csv_has_a_header_and_survives_hostile_text(url: str) -> None:
    hostile = 'a,"b"\r\n=c;\'d'
    with closing(opened(url)) as store:
        put(store, row(1, environment=hostile))
    header, line = csv.reader(io.StringIO(exported(url, "csv"), newline=""))
    told = dict(zip(header, map(restored, line), strict=True))
    assert (told["id"], told["environment"], told["request_id"]) == (id_of(1), hostile, "")


def restored(cell: str) -> str:
    """What docs/ledger.md says of reading a cell."""
    return re.sub(r"""(^|[,;|"\x00-\x1f])'""", r"\1", cell)


# OWASP, "CSV Injection": the signs that begin a formula, the white space and the full-width forms that stand for them.
FORMULAS = [
    *(f"{sign}1+1|'cmd'!A0" for sign in "=+-@\t\r\n＝＋－＠"),
    *(f"{before}=HYPERLINK(1)" for before in (" ", "  ", "\u00a0", "\ufeff", '"', '""', "'", "\"' ", "\x0b")),
    *(f"harmless{end}=1+1" for end in (",", ";", "|", "\t", "\r\n", '"', '",', "; ", ";'", '";"')),
]
HARMLESS = ["production", "a=b", "sub:ci-4@x", "2001:db8::1", "it's", "50% - 3", "", "a;b,c", "x '=1'"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_csv_begins_a_formula_and_the_text_can_be_had_back(sqlite_url: str, text: str) -> None:
    with closing(opened(sqlite_url)) as store:
        put(store, row(1, environment=text, caller=text, request_id=text))
        store.write([revoked(2, T0, prefix=text)])
    _, line, parts = csv.reader(io.StringIO(exported(sqlite_url, "csv"), newline=""))
    cells = [*line[-3:], parts[3], parts[4]]
    # As any spreadsheet may split it, whatever its locale takes for a separator.
    pieces = [piece for cell in cells for piece in re.split(r"[,;|\t\r\n\x0b]", cell)]
    assert [piece for piece in pieces if piece.strip(' "\u00a0\ufeff')[:1] in [*"=+-@＝＋－＠"]] == []
    assert [cell for cell in cells if cell[0] in "=+-@＝＋－＠\t\r\n"] == []
    assert [restored(cell) for cell in line[-3:]] == [text] * 3
    assert restored(parts[4]) == text
    assert [json.loads(line)["caller"] for line in exported(sqlite_url).splitlines()] == [text, "ops"]


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_is_exported_to_csv_as_it_is(sqlite_url: str, text: str) -> None:
    with closing(opened(sqlite_url)) as store:
        put(store, row(1, environment=text))
    _, line = csv.reader(io.StringIO(exported(sqlite_url, "csv"), newline=""))
    assert line[-3] == text


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_goes_in_chunks_and_tells_its_progress(
    url: str, form: Literal["csv", "jsonl"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROWS", 10)
    with closing(opened(url)) as store:
        put(store, *(row(number) for number in range(25)))
    told: list[tuple[int, int]] = []
    out = io.BytesIO()
    assert export(url, out, form, lambda done, whole: told.append((done, whole))) == 25
    assert told == [(10, 25), (20, 25), (25, 25)]
    assert out.getvalue().count(b"\n") == 25 + (form == "csv")


def test_an_empty_ledger_exports_nothing(url: str) -> None:
    opened(url).close()
    assert exported(url) == ""


# Prune and verify


def test_pruning_deletes_what_was_over_and_leaves_the_ledger_sound(url: str) -> None:
    with closing(opened(url)) as store:
        put(store, *(row(number, T0 - 3 * DAY) for number in range(20)), row("new"))
        put(store, row("long", T0 - 3 * DAY, 9 * DAY))
        store.write([revoked(1, T0 - 3 * DAY, at=T0 - 3 * DAY), revoked_prefix("player", T0, at=T0)])
    told: list[int] = []
    deleted = prune(url, T0 - DAY, lambda done, _: told.append(done))
    assert deleted == told[-1] == 22 + 19
    report = verify(url)
    assert (report.events, report.lives, report.faults) == (2, 3, [])
    assert prune(url, T0 - DAY) == 0


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


@pytest.mark.parametrize(
    "command",
    [
        lambda url: backup(url, "/nowhere/x"),
        lambda url: restore(url, "/nowhere/x"),
        lambda url: export(url, io.BytesIO()),
        lambda url: prune(url, 0),
        verify,
    ],
    ids=["backup", "restore", "export", "prune", "verify"],
)
def test_no_command_runs_on_a_bad_url(command: Callable[[str], object]) -> None:
    for url in ("none", "mysql://u:hunter2@h/d"):
        with pytest.raises(ValueError, match=r"^[^\n]+\.$") as caught:
            command(url)
        assert "hunter2" not in str(caught.value)


@pytest.mark.integration
def test_a_server_that_is_away_is_one_sentence() -> None:
    url = "postgresql://u:hunter2@127.0.0.1:1/d"
    for command in (lambda: export(url, io.BytesIO()), lambda: prune(url, 0), lambda: verify(url)):
        with pytest.raises(LedgerError, match=r"^PostgreSQL refuses connections: nothing listens there\.$"):
            command()
