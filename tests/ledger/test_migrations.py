"""An older ledger is migrated once, by any of several processes; a newer one is refused."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger import migrations as schema
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.dialect import POSTGRES_SCHEMA
from arsenal_fast.ledger.errors import Busy, Unfit
from arsenal_fast.ledger.model import AuditQuery, LedgerRecord
from arsenal_fast.ledger.prune import backup, verify
from tests.support.ledger import HOUR, T0, id_of, opened, put, row
from tests.support.loops import run
from tests.support.postgres_server import PostgresServer

FIXTURES = Path(__file__).parent / "fixtures"

Execute = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def execute(request: pytest.FixtureRequest, url: str) -> Execute:
    """Run SQL on the database of ``url``, past the ledger."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir()

        def on_file(statements: str) -> list[tuple[Any, ...]]:
            with closing(sqlite3.connect(path)) as connection, connection:
                if statements.startswith("SELECT"):
                    return connection.execute(statements).fetchall()
                connection.executescript(statements)
                return []

        return on_file
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return lambda statements: server.execute(statements, url)


def table(url: str, name: str) -> str:
    return name if url.startswith("sqlite") else f"{POSTGRES_SCHEMA}.{name}"


def fixture_of(url: str) -> str:
    name = "sqlite" if url.startswith("sqlite") else "postgres"
    return (FIXTURES / f"{name}_1.sql").read_text()


def version(url: str, execute: Execute) -> int:
    ((number,),) = execute(f"SELECT value FROM {table(url, 'meta')} WHERE name = 'version'")
    return int(number)


def test_both_databases_have_the_same_versions() -> None:
    assert list(schema.MIGRATIONS) == list(range(1, schema.VERSION + 1))


def test_a_new_ledger_has_the_version_of_the_program(url: str, execute: Execute) -> None:
    opened(url).close()
    assert version(url, execute) == schema.VERSION


def test_a_ledger_of_version_1_is_brought_up_to_date_and_keeps_what_it_knows(url: str, execute: Execute) -> None:
    execute(fixture_of(url))
    assert verify(url)[:3] == (1, 2, 2)
    with closing(opened(url)) as store:
        assert version(url, execute) == schema.VERSION
        assert store.find([id_of(1), id_of(2)]) == [
            LedgerRecord(Life(T0, T0 + HOUR), 0),
            LedgerRecord(Life(T0 + 1, T0 + 1 + HOUR), T0 + 2),
        ]
        assert store.epochs() == {"other": T0 + 3}
        first, second = store.audit(AuditQuery(T0, "me")).events
        assert (first.run, first.request_id, first.issued_before) == ("2", "r-1", None)
        assert (second.run, second.environment, second.generated) == ("1", "prod", T0)
        assert put(store, row(1, T0 + 9), row(3, T0 + 9)) == [Life(T0, T0 + HOUR), row(3, T0 + 9).life]
    assert verify(url).faults == []


def test_an_older_ledger_gets_the_same_tables_as_a_new_one(sqlite_url: str, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path}/new.db"
    opened(new).close()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(fixture_of(sqlite_url))
    opened(sqlite_url).close()

    def tables(file: str) -> list[Any]:
        with closing(sqlite3.connect(file)) as connection:
            return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()

    assert tables(str(path)) == tables(f"{tmp_path}/new.db")


@pytest.mark.parametrize("begin", [0, 1])
def test_of_many_that_start_at_once_one_migrates(url: str, execute: Execute, begin: int) -> None:
    if begin:
        execute(fixture_of(url))

    def start(_: int) -> None:
        while True:
            try:
                opened(url).close()
            except Busy:
                continue  # as the threads do
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(8)))
    assert version(url, execute) == schema.VERSION
    assert verify(url).faults == []


def test_a_newer_ledger_is_refused_in_one_sentence_and_left_alone(url: str, execute: Execute) -> None:
    opened(url).close()
    execute(f"UPDATE {table(url, 'meta')} SET value = 99 WHERE name = 'version'")
    with pytest.raises(
        Unfit, match=r"^The ledger has schema version 99, but this program knows none above \d+: [^.]+\.$"
    ):
        opened(url)

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="version 99"):
            await Ledger(url).start()

    run(main())
    assert version(url, execute) == 99
    assert "99" in verify(url).faults[0]


def test_a_backup_is_taken_before_anything_is_migrated(url: str, execute: Execute, tmp_path: Path) -> None:
    execute(fixture_of(url))
    backup(url, str(tmp_path / "backup"))
    assert version(url, execute) == 1
