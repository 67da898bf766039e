"""Databases that are really locked, full, damaged, replaced or gone; no row is lost."""

import asyncio
import os
import sqlite3
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.errors import Busy, Unavailable
from arsenal_fast.ledger.model import LedgerRecord
from arsenal_fast.ledger.prune import verify
from arsenal_fast.ledger.sqlite import SqliteStore
from arsenal_fast.ledger.store import Lives
from tests.support import ledger_rows
from tests.support.ledger import T0, find, id_of, record, row, running
from tests.support.loops import Answer, run, until
from tests.support.postgres_server import PostgresServer

HASTY = 0.05  # seconds
PATIENT = 5.0


def path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


async def all_written(ledger: Ledger) -> None:
    await until(lambda: ledger.counters.waiting == 0 and ledger.healthy)


async def writes_whatever_waits(ledger: Ledger, rows: int) -> None:
    """The ledger is faulty now. No request waits, no row is lost, and the number of waiting rows is known."""
    for number in range(rows):
        ledger.record([row(f"waits.{number}", T0 + number)], lambda _: None)
    assert ledger.counters.waiting >= rows
    assert not ledger.healthy


async def nothing_is_lost(ledger: Ledger, rows: int) -> None:
    await all_written(ledger)
    ids = [id_of(f"waits.{number}") for number in range(rows)]
    assert await find(ledger, *ids) == [LedgerRecord(row(f"waits.{n}", T0 + n).life, 0) for n in range(rows)]
    assert await record(ledger, row("after")) == [row("after").life]
    assert ledger.counters.dropped == 0


# SQLite


def test_a_lock_of_somebody_else_delays_rows_and_loses_none(sqlite_url: str) -> None:
    async def main() -> None:
        async with running(Ledger(sqlite_url, timeout=HASTY)) as ledger:
            with closing(sqlite3.connect(path_of(sqlite_url), isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                assert await record(ledger, row(1)) is None
                await writes_whatever_waits(ledger, 700)
                assert ledger.status == "degraded", "it can still be read"
                await until(lambda: ledger.counters.failures >= 3)
                assert "locked" in ledger.fault
                other.execute("COMMIT")
            await nothing_is_lost(ledger, 700)
            assert await find(ledger, id_of(1)) == [LedgerRecord(row(1).life, 0)]

    run(main())


def test_a_row_that_waits_does_not_keep_the_request_that_wrote_it(sqlite_url: str) -> None:
    """Thousands wait; a request with its fields takes more than twice as much as the row."""

    class Request:
        def answer(self, _lives: object) -> None:
            """As the callback of a request holds that request."""

    def write(ledger: Ledger, name: str) -> weakref.ref[Request]:
        request = Request()
        ledger.record([row(name)], request.answer)
        return weakref.ref(request)

    async def main() -> None:
        async with running(Ledger(sqlite_url, timeout=HASTY)) as ledger:
            with closing(sqlite3.connect(path_of(sqlite_url), isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                first = write(ledger, "first")
                await until(lambda: not ledger.healthy)
                second = write(ledger, "second")
                assert ledger.counters.waiting == 2
                await until(lambda: (first(), second()) == (None, None))
                other.execute("COMMIT")
            await all_written(ledger)
            assert ledger.counters.dropped == 0

    run(main())


def test_a_short_lock_is_not_even_noticed(sqlite_url: str) -> None:
    async def main() -> None:
        async with running(Ledger(sqlite_url, timeout=PATIENT)) as ledger:
            with closing(sqlite3.connect(path_of(sqlite_url), isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                answer: Answer[Any] = Answer()
                ledger.record([row(1)], answer)
                await until(lambda: ledger.counters.failures >= 1)
                assert ledger.healthy
                other.execute("COMMIT")
            assert await answer.wait() == [row(1).life]

    run(main())


def test_a_full_database_delays_rows_and_loses_none(sqlite_url: str) -> None:
    """PRAGMA max_page_count is a limit of the connection: here that of the writer, until it is changed."""
    limit = [40]

    def opening(purpose: str) -> SqliteStore:
        store = SqliteStore(path_of(sqlite_url))
        store.connection.execute(f"PRAGMA max_page_count = {limit[0]}")
        return store

    async def main() -> None:
        async with running(Ledger(sqlite_url, timeout=PATIENT, opening=opening)) as ledger:
            number = 0
            while await record(ledger, *(row(f"{number}.{part}") for part in range(100))) is not None:
                number += 1
            assert "full" in ledger.fault
            await writes_whatever_waits(ledger, 300)
            limit[0] = 1_000_000
            await nothing_is_lost(ledger, 300)
            assert await find(ledger, id_of(f"{number}.99")) == [LedgerRecord(row(0).life, 0)]

    run(main())
    assert verify(sqlite_url).faults == []


def fill(ballast: Path) -> None:
    """Leave no byte free on the file's disk."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; max_page_count is the test for other users")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path)], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.integration
def test_a_full_disk_delays_rows_and_loses_none(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/identity.db"
    ballast = small_disk / "ballast"

    async def main() -> None:
        async with running(Ledger(url, timeout=PATIENT)) as ledger:
            assert await record(ledger, row("first")) == [row("first").life]
            fill(ballast)
            number = 0
            while await record(ledger, *(row(f"{number}.{part}") for part in range(100))) is not None:
                number += 1
            assert ledger.fault in {
                "The disk of the ledger is full.",
                "The disk of the ledger can't be read or written.",
            }
            await writes_whatever_waits(ledger, 300)
            ballast.unlink()
            await nothing_is_lost(ledger, 300)
            assert await find(ledger, id_of("first")) == [LedgerRecord(row("first").life, 0)]

    run(main())
    assert verify(url).faults == []


def test_a_file_that_was_replaced_gets_the_rows(sqlite_url: str) -> None:
    path = Path(path_of(sqlite_url))

    async def main() -> None:
        async with running(Ledger(sqlite_url, timeout=PATIENT)) as ledger:
            await record(ledger, row(1))
            for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                name.rename(f"{name}.gone")
            answer: Answer[Any] = Answer()
            ledger.record([row(2)], answer)  # answered None, or in time by the new file: never by the old one
            await answer.wait()
            await all_written(ledger)

    run(main())
    assert list(ledger_rows.lives(sqlite_url)) == [id_of(2)]


def test_a_damaged_file_is_an_outage_that_says_so(sqlite_url: str) -> None:
    path = Path(path_of(sqlite_url))
    path.parent.mkdir()
    path.write_bytes(b"this is no database, whatever its name says\n" * 100)

    async def main() -> None:
        async with running(Ledger(sqlite_url)) as ledger:
            assert (ledger.status, ledger.fault) == ("unavailable", "The file of the ledger is no SQLite database.")
            await writes_whatever_waits(ledger, 10)
            path.unlink()  # noqa: ASYNC240 - nothing else runs
            await nothing_is_lost(ledger, 10)

    run(main())


def test_a_directory_that_can_not_be_made_is_an_outage_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        async with running(Ledger(f"sqlite:///{tmp_path}/file/identity.db")) as ledger:
            assert ledger.status == "unavailable"
            assert "can't be opened" in ledger.fault
            (tmp_path / "file").unlink()
            await until(lambda: ledger.healthy)

    run(main())


def test_a_file_that_can_only_be_read_is_told_from_one_that_is_locked(tmp_path: Path) -> None:
    path = str(tmp_path / "identity.db")
    with closing(SqliteStore(path)) as store, closing(SqliteStore(path)) as other:
        store.connection.execute("PRAGMA query_only = 1")
        with pytest.raises(Unavailable, match="only be read") as caught:
            store.write([Lives([row(1)])])
        assert not isinstance(caught.value, Busy)
        other.connection.execute("BEGIN IMMEDIATE")
        store.connection.execute("PRAGMA query_only = 0")
        with pytest.raises(Busy):
            store.write([Lives([row(1)])])


def test_the_database_of_something_else_is_left_alone(sqlite_url: str) -> None:
    path = Path(path_of(sqlite_url))
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    before = path.read_bytes()

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="not a ledger"):
            await Ledger(sqlite_url).start()

    run(main())
    assert path.read_bytes() == before


# PostgreSQL


@pytest.mark.integration
def test_a_restart_of_postgresql_delays_rows_and_loses_none(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database("restarted")

    async def main() -> None:
        async with running(Ledger(url, timeout=1.0)) as ledger:
            assert await record(ledger, row("first")) == [row("first").life]
            own_postgres.stop()
            assert await record(ledger, row(1)) is None
            await writes_whatever_waits(ledger, 1_500)
            assert await find(ledger, id_of("first")) is None
            await until(lambda: ledger.status == "unavailable")
            await asyncio.to_thread(own_postgres.start)
            await nothing_is_lost(ledger, 1_500)
            assert await find(ledger, id_of("first"), id_of(1)) == [LedgerRecord(row(0).life, 0)] * 2

    run(main(), deadline=60)
    assert verify(url).faults == []


@pytest.mark.integration
def test_a_connection_that_is_cut_in_the_middle_is_made_again(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database("cut")
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'arsenal-fast'"

    async def main() -> None:
        async with running(Ledger(url, timeout=1.0)) as ledger:
            for number in range(10):
                for part in range(50):
                    ledger.record([row(f"waits.{number * 50 + part}", T0 + number * 50 + part)], lambda _: None)
                await asyncio.to_thread(own_postgres.execute, cut)
            await nothing_is_lost(ledger, 500)

    run(main(), deadline=60)
    assert verify(url).faults == []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("ledger:", "ledger:wrong"), "PostgreSQL refuses the user or the password."),
        (("/postgres", "/nowhere"), "PostgreSQL has no such database, user or table."),
        (("127.0.0.1:", "127.0.0.2:"), "PostgreSQL refuses connections: nothing listens there."),
    ],
    ids=["password", "database", "host"],
)
def test_an_outage_says_why_and_shows_no_secret(
    postgres_server: PostgresServer, change: tuple[str, str], sentence: str
) -> None:
    url = postgres_server.url.replace(*change)

    async def main() -> None:
        async with running(Ledger(url)) as ledger:
            assert (ledger.status, ledger.fault) == ("unavailable", sentence)

    run(main())


@pytest.mark.integration
def test_a_lock_in_postgresql_delays_rows_and_loses_none(postgres_url: str) -> None:
    import psycopg

    async def main() -> None:
        async with running(Ledger(postgres_url, timeout=HASTY)) as ledger:
            with psycopg.connect(postgres_url) as other:
                other.execute(b"LOCK TABLE arsenal_ledger.events IN EXCLUSIVE MODE")
                assert await record(ledger, row(1)) is None
                await writes_whatever_waits(ledger, 200)
                assert ledger.status == "degraded"
                await until(lambda: ledger.counters.failures >= 1)
                other.rollback()
            await nothing_is_lost(ledger, 200)
            assert await find(ledger, id_of(1)) == [LedgerRecord(row(1).life, 0)]

    run(main())
