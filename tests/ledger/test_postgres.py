"""Properties of PostgreSQL: the session, statements of a group, locks of others, a foreign database."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from arsenal_fast.ledger.dialect import POSTGRES_SCHEMA
from arsenal_fast.ledger.errors import Busy, Unavailable, Unfit
from arsenal_fast.ledger.model import AuditQuery
from arsenal_fast.ledger.postgres import PostgresStore
from arsenal_fast.ledger.store import Item, Lives
from tests.support.ledger import T0, id_of, revoked, revoked_prefix, row

pytestmark = pytest.mark.integration


@pytest.fixture
def store(postgres_url: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(postgres_url)) as store:
        yield store


def shown(store: PostgresStore, name: str) -> str:
    found = store.connection.execute(f"SHOW {name}".encode()).fetchone()
    assert found is not None
    return str(found[0])


SESSION = [
    ("synchronous_commit", "on"),
    ("lock_timeout", "1s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("jit", "off"),
    ("application_name", "arsenal-fast"),
]


@pytest.mark.parametrize(("name", "value"), SESSION)
def test_the_session_does_not_depend_on_the_servers_settings(store: PostgresStore, name: str, value: str) -> None:
    assert shown(store, name) == value


@pytest.mark.parametrize(("reader", "limit"), [(False, "5s"), (True, "500ms")])
def test_a_reader_is_cut_off_earlier_than_a_writer(postgres_url: str, reader: bool, limit: str) -> None:
    with closing(PostgresStore(postgres_url, reader=reader)) as store:
        assert shown(store, "statement_timeout") == limit


def test_a_group_of_every_kind_is_answered_in_its_order_and_is_one_transaction(store: PostgresStore) -> None:
    reading = AuditQuery(T0, "ops")
    group: list[Item] = [
        Lives([row(1), row(2)]),
        revoked(1, T0),
        Lives([row(1, T0 + 1)]),
        reading,
        revoked_prefix("bot", T0),
    ]
    answers = store.write(group)
    assert answers == [[row(1).life, row(2).life], T0 + 1, [row(1, T0 + 1).life], 0, T0]
    stamps = store.connection.execute(f"SELECT count(DISTINCT xmin::text) FROM {POSTGRES_SCHEMA}.events".encode())
    assert stamps.fetchone() == (1,)


def test_one_identity_twice_in_a_run_is_settled_one_after_the_other(store: PostgresStore) -> None:
    assert store.write([Lives([row(1), row(1, T0 + 1), row(2)])]) == [[row(1).life, row(1).life, row(2).life]]


def test_nothing_of_a_group_that_fails_is_written(store: PostgresStore, postgres_url: str) -> None:
    store.write([Lives([row(1)])])
    with psycopg.connect(postgres_url) as other:
        other.execute(f"SELECT 1 FROM {POSTGRES_SCHEMA}.lives FOR UPDATE".encode())
        store.connection.execute(b"SET lock_timeout = '10ms'")
        with pytest.raises(Busy, match=r"^The ledger is locked by somebody else\.$"):
            store.write([Lives([row(2)]), revoked(1, T0)])
        other.rollback()
    assert store.find([id_of(2)]) == [None]
    assert store.write([revoked(1, T0)]) == [T0 + 1], "the connection can be used again"


def test_a_meta_table_without_a_version_is_no_ledger(postgres_url: str) -> None:
    PostgresStore(postgres_url).close()
    with psycopg.connect(postgres_url) as other:
        other.execute(f"DELETE FROM {POSTGRES_SCHEMA}.meta".encode())
    with pytest.raises(Unfit, match=r"^The database is not a ledger: it tells no schema version\.$"):
        PostgresStore(postgres_url)


def test_a_connection_that_was_closed_says_so_and_closes_twice(store: PostgresStore) -> None:
    store.close()
    with pytest.raises(Unavailable):
        store.ping()
    store.close()
