"""The ledger behind PgBouncer: in transaction mode sessions change under it, and nothing of ours may stay in them."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.ledger.admin import LedgerError
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.backup import backup, restore
from arsenal_fast.ledger.errors import Busy, Unfit
from arsenal_fast.ledger.postgres import PostgresStore, is_pooled
from arsenal_fast.ledger.prune import export, prune, verify
from arsenal_fast.ledger.store import PRUNE_ROWS
from tests.support.ledger import T0, find, id_of, put, record, revoked_all, row, running
from tests.support.loops import run
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.integration

DAY = 86_400_000


@pytest.fixture
def direct(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database("pooled_test")


@pytest.fixture
def pooler(postgres_server: PostgresServer, direct: str) -> Iterator[PgBouncer]:
    with PgBouncer(postgres_server) as pooler:
        yield pooler


def sessions(url: str) -> set[tuple[Any, ...]]:
    """What clients of the pool find set in the sessions that they get: one of each session."""
    names = ("synchronous_commit", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "jit")
    select = ", ".join(f"current_setting('{name}')" for name in (*names, "client_min_messages", "search_path"))
    with psycopg.connect(url) as one, psycopg.connect(url) as other:  # each holds its session
        query = f"SELECT pg_backend_pid(), {select}, (SELECT count(*) FROM pg_prepared_statements)".encode()
        rows = [each.execute(query, prepare=False).fetchall()[0] for each in (one, other)]
    assert len({row[0] for row in rows}) == 2
    return {row[1:] for row in rows}


def test_what_is_written_through_a_pool_in_transaction_mode_is_there(pooler: PgBouncer, direct: str) -> None:
    url = pooler.url_of(direct)

    async def main() -> None:
        async with running(Ledger(url, timeout=5.0)) as one, running(Ledger(url, timeout=5.0)) as other:
            for number in range(50):
                for ledger in (one, other):
                    assert await record(ledger, row(f"{id(ledger)}.{number}")) is not None
            assert await record(other, row("shared", T0)) == [row("shared", T0).life]
            assert await record(one, row("shared", T0 + 1)) == [row("shared", T0).life]
            assert await find(one, id_of("absent")) == [None]
            assert (one.healthy, other.healthy) == (True, True)
            assert one.counters.failures == other.counters.failures == 0

    run(main(), deadline=60)
    assert (verify(url), verify(url).faults) == (verify(direct), [])
    assert verify(direct).events == 101


def test_no_setting_and_no_statement_of_ours_stays_in_the_pools_sessions(pooler: PgBouncer, direct: str) -> None:
    url = pooler.url_of(direct)
    before = sessions(url)
    with closing(PostgresStore(url)) as store, closing(PostgresStore(url, reader=True)) as reader:
        put(store, *(row(number, T0 - 2 * DAY) for number in range(PRUNE_ROWS + 5)))
        for number in range(5):  # often enough to be prepared
            put(store, row(number, T0 + number))
            reader.find([id_of(number)])
            reader.epochs()
            reader.ping()
        store.write([revoked_all(T0)])
        assert store.trim(10, T0)[0] == PRUNE_ROWS
    prune(url, T0 - DAY)
    verify(url)
    export(url, io.BytesIO())
    assert sessions(url) == before
    assert len(before) == 1


@pytest.mark.parametrize(("reader", "limit"), [(False, "5s"), (True, "500ms")])
def test_each_transaction_has_the_limits_that_a_session_would_have(
    pooler: PgBouncer, direct: str, reader: bool, limit: str
) -> None:
    with closing(PostgresStore(pooler.url_of(direct), reader=reader)) as store:
        assert is_pooled(store.connection)
        for transaction in (store.reading, store.writing):
            with transaction():
                found = store.read("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
            assert found == [(limit, "1s")]
            with transaction():
                assert store.read("SELECT current_setting('synchronous_commit')") == [("on",)]


def test_a_connection_without_a_pooler_is_known_as_one(direct: str) -> None:
    with closing(PostgresStore(direct)) as store:
        assert not is_pooled(store.connection)
        assert store.connection.prepare_threshold == 2


def test_of_many_that_start_through_a_pooler_one_migrates(pooler: PgBouncer, direct: str) -> None:
    def start(_: int) -> None:
        while True:
            try:
                PostgresStore(pooler.url_of(direct)).close()
            except Busy:
                continue  # as the threads do
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(8)))
    assert verify(direct).faults == []


def test_session_mode_works_too_and_a_backup_through_it(
    postgres_server: PostgresServer, direct: str, tmp_path: Path
) -> None:
    with PgBouncer(postgres_server, "session", 5) as pooler:
        url = pooler.url_of(direct)
        with closing(PostgresStore(url)) as store:
            assert put(store, row(1)) == [row(1).life]
        backup(url, str(tmp_path / "backup"))
        restore(url, str(tmp_path / "backup"))
        assert verify(url).events == 1


def test_a_backup_through_transaction_mode_is_refused_by_name(pooler: PgBouncer, direct: str, tmp_path: Path) -> None:
    """The settings of pg_dump (an empty search_path) would stay in the session for other clients."""
    url = pooler.url_of(direct)
    with closing(PostgresStore(url)) as store:
        put(store, row(1))
    backup(direct, str(tmp_path / "good"))
    before = sessions(url)
    with pytest.raises(LedgerError, match=r"^A pooler in transaction mode is in the way of pg_dump: [^.]+\.$"):
        backup(url, str(tmp_path / "backup"))
    with pytest.raises(LedgerError, match="in the way of pg_restore"):
        restore(url, str(tmp_path / "good"))
    assert sessions(url) == before


def test_statement_mode_is_refused_by_name(postgres_server: PostgresServer, direct: str) -> None:
    with PgBouncer(postgres_server, "statement") as pooler:
        with pytest.raises(Unfit, match=r"^The pooler lends sessions for single statements: [^.]+\.$"):
            PostgresStore(pooler.url_of(direct))

        async def main() -> None:
            with pytest.raises(ConfigurationError, match="pool_mode"):
                await Ledger(pooler.url_of(direct)).start()

        run(main())
