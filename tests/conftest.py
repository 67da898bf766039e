"""Fixtures: real servers and places for a ledger; tests with a server are marked ``integration``."""

import gc
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.support.postgres_server import PostgresServer, postgres_version
from tests.support.redis_server import NoTlsError, RedisServer, redis_version

TRUSTED_BY_SHELL = {name: os.environ.pop(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ}
"""Removed from the environment: they would hide that a certificate is not trusted."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say which servers this run is against: at its top also with ``-q``, which leaves pytest's header out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not session.config.option.collectonly:
        reporter.write_line(f"Servers of this run: {said(redis_version)}, {said(postgres_version)}")


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what the collection of tests has made.

    To look through all of it took 0.2 s, also in the middle of a test of a time-out.
    """
    gc.collect()
    gc.freeze()


def said(version: Callable[[], str]) -> str:
    """Return name and version of a server, or why there is none."""
    try:
        return version()
    except (OSError, RuntimeError) as error:
        return str(error).partition(":")[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip what the server of REDIS_SERVER can't do."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, NoTlsError):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {call.excinfo.value}")
    return report


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
