"""Databases for the ledger's tests: a file in a directory of the test's own, and a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole run."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that a test may stop and start."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A ledger that is not there yet, nor is its directory."""
    return f"sqlite:///{tmp_path}/data/identity.db"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty database on the run's server."""
    return postgres_server.new_database("ledger_test")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def url(request: pytest.FixtureRequest) -> str:
    """Each database in turn, empty."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found
