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
from tests.support import ledger_rows
from tests.support.service import ServiceProcess

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
    assert main(["ledger", "prune", "--yes", "--days", "36500"]) == 0
    assert capsys.readouterr().out == "0 rows deleted\n"
    assert main(["ledger", "prune", "--yes", "--days", "0"]) == 0
    assert capsys.readouterr().out == "1 rows deleted\n"


def test_a_damaged_ledger_is_told_and_ends_with_1(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.write_bytes(b"this is no database" * 1000)
    assert main(["ledger", "verify"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("arsenal-fast: ")
    assert "sound" not in said.out


REFUSED = [
    (["ledger", "restore", "--yes", "/nowhere/copy.db"], 1),
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
    assert list(ledger_rows.lives(f"sqlite:///{ledger}")) == [ID]
    assert [file.name for file in ledger.parent.iterdir() if not file.name.startswith(ledger.name)] == []


def test_what_comes_through_a_pipe_and_is_no_backup_changes_nothing(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no backup")))
    assert main(["ledger", "restore", "--yes", "-"]) == 1
    assert capsys.readouterr().err.startswith("arsenal-fast: ")
    assert main(["ledger", "verify"]) == 0


ALREADY = "Nothing was done: there is no terminal to ask on; --yes does it."


@pytest.mark.parametrize("arguments", [["restore", "COPY"], ["prune", "--days", "0"], ["backup", "COPY"]])
def test_what_deletes_or_overwrites_needs_yes_without_a_terminal(
    arguments: list[str], ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    assert main(["ledger", "backup", str(copy)]) == 0
    before = (ledger.read_bytes(), copy.read_bytes())
    command = ["ledger", *(str(copy) if word == "COPY" else word for word in arguments)]
    assert main(command) == 2
    assert ALREADY in capsys.readouterr().err
    assert (ledger.read_bytes(), copy.read_bytes()) == before
    assert main([*command, "--yes"]) == 0


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("YES\n", 0), ("n\n", 2), ("\n", 2), ("", 2)])
def test_on_a_terminal_it_asks(
    answer: str, status: int, ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = io.StringIO(answer)
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", typed)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["ledger", "prune", "--days", "0"]) == status
    said = capsys.readouterr()
    assert "All that was over 0 days ago would be deleted. Go on? [y/N]" in said.err
    assert said.out == ("1 rows deleted\n" if status == 0 else "")


def test_a_restore_keeps_what_was_there(ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy, kept = tmp_path / "copy.db", Path(f"{ledger}.before-restore")
    assert main(["ledger", "backup", str(copy)]) == 0
    assert main(["ledger", "prune", "--yes", "--days", "0"]) == 0
    assert main(["ledger", "restore", "--yes", str(copy)]) == 0
    assert f"the ledger of before is in {kept}" in capsys.readouterr().err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with closing(sqlite3.connect(ledger)) as now, closing(sqlite3.connect(kept)) as before:
        assert now.execute("SELECT count(*) FROM events").fetchone() == (1,)
        assert before.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_a_restore_keeps_a_damaged_ledger_as_it_is(ledger: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert main(["ledger", "backup", str(copy)]) == 0
    ledger.write_bytes(b"this is no database" * 1000)
    main(["ledger", "restore", "--yes", str(copy)])
    assert Path(f"{ledger}.before-restore").read_bytes().startswith(b"this is no database")


@pytest.mark.integration
def test_a_ledger_that_is_served_is_restored_with_live_only(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    assert main(["ledger", "backup", str(copy)]) == 0
    with ServiceProcess(DATABASE_URL=f"sqlite:///{ledger}"):
        assert main(["ledger", "restore", "--yes", str(copy)]) == 1
        assert "A service has this ledger open: stop it" in capsys.readouterr().err
        assert main(["ledger", "restore", "--yes", "--live", str(copy)]) == 0
    assert main(["ledger", "restore", "--yes", str(copy)]) == 0


def test_programs_read_json(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["events"], report["lives"], report["faults"], report["sound"]) == (1, 1, [], True)
    assert main(["ledger", "prune", "--yes", "--days", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": 1}


@pytest.mark.parametrize("command", [["verify"], ["export"], ["backup", "copy.db"], ["prune", "--yes", "--days", "1"]])
def test_a_command_that_reads_never_makes_a_ledger(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///data/identity.db")
    assert main(["ledger", *command]) == 1
    assert "There is no ledger at data/identity.db." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_file(ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["backup", "/nowhere/copy.db"],
        ["export", "/nowhere/events"],
        ["restore", "--yes", "/nowhere/copy.db"],
    ):
        assert main(["ledger", *arguments]) == 1
        assert "/nowhere/" in capsys.readouterr().err, arguments
