"""The ledger commands: output, refusals, exit status."""

import io
import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from arsenal_fast.cli.main import main
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.model import LedgerRow
from arsenal_fast.ledger.sqlite import SqliteStore
from arsenal_fast.ledger.store import Lives

ID = "player-1@sports.api.yourbook.com/v1:id"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with one event, named by DATABASE_URL."""
    path = tmp_path / "identity.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    store = SqliteStore(str(path))
    life = Life(1_763_805_600_000, 1_763_809_200_000)
    row = LedgerRow("issued", ID, life, None, "203.0.113.9", None)
    store.write([Lives([row])])
    store.close()
    return path


def test_a_backup_is_restored_whole(ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.db"
    assert main(["ledger", "backup", str(copy)]) == 0
    ledger.unlink()
    assert main(["ledger", "restore", str(copy)]) == 0
    assert main(["ledger", "verify"]) == 0
    assert "1 events, 1 identities\nthe ledger is sound" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_has_every_event(ledger: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "events"
    assert main(["ledger", "export", "--format", form, str(out)]) == 0
    lines = out.read_text().splitlines()
    if form == "csv":
        assert len(lines) == 2
        assert ID in lines[1]
    else:
        assert [json.loads(line)["id"] for line in lines] == [ID]


@pytest.mark.parametrize("before", [None, 0o666])
def test_an_export_is_for_its_owner_alone(ledger: Path, tmp_path: Path, before: int | None) -> None:
    out = tmp_path / "events"
    if before is not None:
        out.touch()
        out.chmod(before)
    assert main(["ledger", "export", str(out)]) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_an_export_that_fails_leaves_the_older_one(ledger: Path, tmp_path: Path) -> None:
    out = tmp_path / "events"
    out.write_text("the one before")
    ledger.write_bytes(b"this is no database" * 1000)
    assert main(["ledger", "export", str(out)]) == 1
    assert out.read_text() == "the one before"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_pruning_deletes_what_was_over_by_then(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "prune", "--days", "36500"]) == 0
    assert capsys.readouterr().out == "0 rows deleted\n"
    assert main(["ledger", "prune", "--days", "0"]) == 0
    assert capsys.readouterr().out == "2 rows deleted\n"


def test_a_damaged_ledger_is_told_and_ends_with_1(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.write_bytes(b"this is no database" * 1000)
    assert main(["ledger", "verify"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("arsenal-fast: ")
    assert "sound" not in said.out


REFUSED = [
    (["ledger", "restore", "/nowhere/copy.db"], 1),
    (["ledger", "backup", "/nowhere/copy.db"], 1),
    (["ledger", "export", "/nowhere/events"], 1),
    (["ledger"], 2),
]


@pytest.mark.parametrize(("arguments", "status"), REFUSED)
def test_what_can_not_be_done_is_one_sentence(
    ledger: Path, arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("days", ["-1", "1.5", "ten", "٣", "100000"])
def test_days_are_a_whole_number(ledger: Path, days: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ledger", "prune", "--days", days])
    assert ended.value.code == 2


def test_without_a_ledger_there_is_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "none")
    assert main(["ledger", "verify"]) == 1
    assert "DATABASE_URL is none" in capsys.readouterr().err


def test_a_backup_goes_through_a_pipe_there_and_back(ledger: Path) -> None:
    env = {"DATABASE_URL": f"sqlite:///{ledger}", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "arsenal_fast", "ledger"]
    written = subprocess.run([*command, "backup", "-"], env=env, capture_output=True, check=True)
    assert written.stdout.startswith(b"SQLite format 3\0")
    ledger.unlink()
    subprocess.run([*command, "restore", "-"], env=env, input=written.stdout, check=True)
    with closing(sqlite3.connect(ledger)) as file:
        assert file.execute("SELECT id FROM lives").fetchall() == [(ID,)]
    assert [file.name for file in ledger.parent.iterdir() if not file.name.startswith(ledger.name)] == []


def test_what_comes_through_a_pipe_and_is_no_backup_changes_nothing(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no backup")))
    assert main(["ledger", "restore", "-"]) == 1
    assert capsys.readouterr().err.startswith("arsenal-fast: ")
    assert main(["ledger", "verify"]) == 0
