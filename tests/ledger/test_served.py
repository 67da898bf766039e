"""Whether another process has the ledger open."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from arsenal_fast.ledger.admin import LedgerError
from arsenal_fast.ledger.served import is_served
from arsenal_fast.ledger.sqlite import SqliteStore
from arsenal_fast.ledger.url import PostgresAddress, SqliteAddress


def hold(path: str, pipe: Connection) -> None:
    """Open the ledger, say so, close it when told."""
    store = SqliteStore(path)
    pipe.send("open")
    pipe.recv()
    store.close()


def test_an_sqlite_ledger_is_served_while_another_process_has_it_open(tmp_path: Path) -> None:
    address = SqliteAddress(str(tmp_path / "identity.db"))
    assert not is_served(address)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(address.path, theirs))
    process.start()
    assert ours.recv() == "open"
    assert is_served(address)
    ours.send("close")
    process.join()
    assert not is_served(address)


def test_what_a_killed_process_has_left_is_not_served(tmp_path: Path) -> None:
    address = SqliteAddress(str(tmp_path / "identity.db"))
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(address.path, theirs))
    process.start()
    assert ours.recv() == "open"
    process.kill()
    process.join()
    assert Path(f"{address.path}-shm").exists()
    assert not is_served(address)


def test_a_postgresql_that_does_not_answer_is_a_ledger_error() -> None:
    with pytest.raises(LedgerError):
        is_served(PostgresAddress("127.0.0.1", "d", "postgresql://127.0.0.1:1/d?connect_timeout=2"))


@pytest.mark.integration
def test_a_postgresql_is_served_while_a_service_has_sessions(postgres_url: str) -> None:
    from arsenal_fast.ledger.admin import address_of
    from tests.support.service import ServiceProcess

    address = address_of(postgres_url)
    assert not is_served(address)
    with ServiceProcess(DATABASE_URL=postgres_url) as service:
        service.wait_for_log("the ledger is healthy")
        assert is_served(address)
