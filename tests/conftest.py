"""Fixtures: real servers and places for a ledger; tests with a server are marked ``integration``."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer

for _name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):  # what the shell trusts would hide that a certificate is not trusted
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for the whole run, as the tests before have left it."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """The run's server, without data and scripts; for reading and writing only."""
    redis_server.flush()
    return redis_server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that a test may stop, kill, restart or misconfigure."""
    with RedisServer() as server:
        yield server


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


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """An empty ledger in each database, of servers that a test may stop."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
    else:
        server: PostgresServer = request.getfixturevalue("own_postgres")
        url = server.url
    return url
