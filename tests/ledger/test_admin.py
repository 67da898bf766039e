"""The common part of the ledger commands: a fault becomes one sentence."""

import io
from collections.abc import Callable

import pytest

from arsenal_fast.ledger.admin import LedgerError
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
        with pytest.raises(LedgerError, match=r"^PostgreSQL refuses connections: nothing listens there\.$"):
            command()
