"""A user with as few rights as possible: the administrator has made the schema, or all of it, beforehand."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.errors import Unavailable
from arsenal_fast.ledger.postgres import PostgresStore
from arsenal_fast.ledger.prune import prune, verify
from tests.support.ledger import T0, find, id_of, put, record, revoked, revoked_all, row, running
from tests.support.loops import run
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.integration


class Place:
    """A database of the administrator's, and the URL of a user who may connect to it and no more."""

    def __init__(self, server: PostgresServer) -> None:
        self.admin = server.new_database("rights_test")
        self._server = server
        self.execute("DROP ROLE IF EXISTS app")
        self.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
        self.url = f"postgresql://app:app@127.0.0.1:{server.port}/rights_test"

    def execute(self, statement: str) -> None:
        self._server.execute(statement, self.admin)


@pytest.fixture
def place(postgres_server: PostgresServer) -> Iterator[Place]:
    place = Place(postgres_server)
    yield place
    postgres_server.execute("DROP DATABASE rights_test WITH (FORCE)")
    postgres_server.execute("DROP ROLE app")


def used(url: str) -> None:
    """Everything that the service does with its ledger."""

    async def main() -> None:
        async with running(Ledger(url, timeout=5.0)) as ledger:
            assert await record(ledger, row("served")) == [row("served").life]
            assert await find(ledger, id_of("absent")) == [None]
            assert ledger.healthy

    run(main())
    with closing(PostgresStore(url)) as store:
        put(store, row(1), row(2))
        store.write([revoked(1, T0), revoked_all(T0)])
        assert store.trim(1, T0)[0] > 0
    prune(url, T0 + 1)
    assert verify(url).faults == []


def test_a_schema_that_was_made_beforehand_needs_no_right_on_the_database(place: Place) -> None:
    place.execute("CREATE SCHEMA arsenal_ledger AUTHORIZATION app")
    used(place.url)


def test_a_right_to_make_tables_in_the_schema_is_enough(place: Place) -> None:
    place.execute("CREATE SCHEMA arsenal_ledger")
    place.execute("GRANT USAGE, CREATE ON SCHEMA arsenal_ledger TO app")
    used(place.url)


def test_tables_that_were_made_beforehand_need_no_right_to_make_any(place: Place) -> None:
    PostgresStore(place.admin).close()
    place.execute("GRANT USAGE ON SCHEMA arsenal_ledger TO app")
    place.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA arsenal_ledger TO app")
    used(place.url)


def test_what_is_missing_is_told(place: Place) -> None:
    with pytest.raises(Unavailable, match=r"does not let this user make the schema arsenal_ledger"):
        PostgresStore(place.url)
    place.execute("CREATE SCHEMA arsenal_ledger")
    with pytest.raises(Unavailable, match=r"^PostgreSQL does not let this user make or use tables in the schema"):
        PostgresStore(place.url)
    PostgresStore(place.admin).close()
    with pytest.raises(Unavailable, match=r"^PostgreSQL does not let this user make or use tables in the schema"):
        PostgresStore(place.url)
    place.execute("GRANT USAGE ON SCHEMA arsenal_ledger TO app")
    with pytest.raises(Unavailable, match=r"^PostgreSQL does not let this user do what the ledger needs\.$"):
        PostgresStore(place.url)
