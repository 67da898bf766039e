"""An older ledger is migrated once, by any of several processes; a newer one is refused."""

import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger import migrations as schema
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.dialect import POSTGRES_SCHEMA, for_sqlite
from arsenal_fast.ledger.errors import Busy, Unfit
from arsenal_fast.ledger.model import AuditQuery, LedgerRecord, TokenChange
from arsenal_fast.ledger.prune import backup, verify
from tests.support.ledger import DOMAIN, HOUR, T0, id_of, opened, put, row
from tests.support.loops import run
from tests.support.postgres_server import PostgresServer

FIXTURES = Path(__file__).parent / "fixtures"

Execute = Callable[[str], list[tuple[Any, ...]]]


def on_file(url: str) -> Execute:
    """Run SQL on a file that is made here."""
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir()

    def execute(statements: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            if statements.startswith("SELECT"):
                return connection.execute(statements).fetchall()
            connection.executescript(statements)
            return []

    return execute


@pytest.fixture
def execute_on_sqlite(sqlite_url: str) -> Execute:
    """Run SQL on the database of ``sqlite_url``."""
    return on_file(sqlite_url)


@pytest.fixture
def execute(request: pytest.FixtureRequest, url: str) -> Execute:
    """Run SQL on the database of ``url``, past the ledger."""
    if url.startswith("sqlite"):
        return on_file(url)
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


def test_a_ledger_of_version_3_gets_an_index_of_all_its_names(sqlite_url: str, execute_on_sqlite: Execute) -> None:
    for number in (1, 2, 3):
        execute_on_sqlite(for_sqlite(schema.MIGRATIONS[number]))
    execute_on_sqlite("UPDATE meta SET value = 3 WHERE name = 'version'")
    columns = "kind, at, prefix, run, domain, version, generated, expires, caller"
    for number in range(40):
        moments = f"{T0 + number}, {T0 + number + HOUR}"
        values = f"'issued', {T0 + number}, 'player', '{number}', '{DOMAIN}', 'v1', {moments}, 'me'"
        execute_on_sqlite(f"INSERT INTO events ({columns}) VALUES ({values})")
        execute_on_sqlite(f"INSERT INTO lives VALUES ('{id_of(number)}', {moments}, 0)")
    execute_on_sqlite(f"INSERT INTO events (kind, at, issued_before, caller) VALUES ('revoked_all', {T0}, 5, 'me')")
    execute_on_sqlite("INSERT INTO epochs VALUES ('', 5)")
    assert verify(sqlite_url) == (3, 41, 40, [])
    with closing(opened(sqlite_url)) as store:
        assert [event.run for event in store.audit(AuditQuery(T0, "me", run="7")).events] == ["7"]
        assert put(store, row(7, T0 + 99), row(40, T0 + 99)) == [row(7, T0 + 7).life, row(40, T0 + 99).life]
        assert store.find([id_of(7), id_of(41)]) == [LedgerRecord(row(7, T0 + 7).life, 0), None]
    assert verify(sqlite_url) == (schema.VERSION, 42, 41, [])
    assert execute_on_sqlite("SELECT count(*) FROM names") == [(40,)]
    assert execute_on_sqlite("SELECT value FROM meta WHERE name = 'folded'") == [(41,)]
    assert execute_on_sqlite("SELECT name FROM sqlite_master WHERE name = 'events_run'") == []


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


def test_the_documented_way_back_makes_a_ledger_of_version_2_that_can_be_brought_up_again(
    url: str, execute: Execute
) -> None:
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    (block,) = re.findall(r"```sql\n(.*?)```", text, re.S)
    with closing(opened(url)) as store:
        put(store, row(1))
        change = TokenChange("token_revoked", T0, "cli", None, None, "bot", None, None, "sub:bot", Amendment(T0, 0, T0))
        store.write([change])
    begin = "" if url.startswith("sqlite") else "SET search_path TO arsenal_ledger;"
    execute(begin + block)
    assert verify(url)[:3] == (2, 1, 1)
    assert verify(url).faults == []
    with closing(opened(url)) as store:
        assert store.amendments() == {}
        assert [event.kind for event in store.audit(AuditQuery(T0, "me")).events] == ["issued"]
    assert version(url, execute) == schema.VERSION
