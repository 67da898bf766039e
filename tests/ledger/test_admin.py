"""The common part of the ledger commands: a fault becomes one sentence."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from arsenal_fast.ledger.admin import LedgerError, as_ledger_error, private_file
from arsenal_fast.ledger.backup import backup, restore
from arsenal_fast.ledger.export import export
from arsenal_fast.ledger.prune import prune
from arsenal_fast.ledger.verify import verify


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
        with pytest.raises(
            LedgerError, match=r"^d at 127\.0\.0\.1: PostgreSQL refuses connections: nothing listens there\.$"
        ):
            command()


COMMANDS: list[Callable[[str, Path], object]] = [
    lambda url, directory: backup(url, str(directory / "copy.db")),
    lambda url, _: export(url, io.BytesIO()),
    lambda url, _: prune(url, 0),
    lambda url, _: verify(url),
]


@pytest.mark.parametrize("command", COMMANDS, ids=["backup", "export", "prune", "verify"])
def test_a_fault_names_the_file_and_an_empty_one_stays_empty(
    command: Callable[[str, Path], object], tmp_path: Path
) -> None:
    broken, empty = tmp_path / "broken.db", tmp_path / "empty.db"
    broken.write_bytes(b"no database" * 1000)
    empty.touch()
    with pytest.raises(LedgerError) as caught:
        command(f"sqlite:///{broken}", tmp_path)
    assert str(caught.value).startswith(f"{broken}: ")
    with pytest.raises(LedgerError) as caught:
        command(f"sqlite:///{empty}", tmp_path)
    assert str(caught.value) == f"There is no ledger at {empty}: the file is empty."
    assert sorted(tmp_path.iterdir()) == [broken, empty]
    assert not empty.stat().st_size


def test_a_fault_of_a_backup_names_the_backup(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1000)
    with pytest.raises(LedgerError) as caught:
        restore(f"sqlite:///{tmp_path}/identity.db", str(broken))
    assert str(caught.value).startswith(f"{broken}: ")
    assert list(tmp_path.iterdir()) == [broken]


def test_a_file_that_cannot_be_made_is_named_as_it_was_given() -> None:
    with (
        pytest.raises(LedgerError, match=r"^/nowhere/copy\.db can't be read or written: "),
        as_ledger_error(),
        private_file("/nowhere/copy.db"),
    ):
        pass
