"""Fixtures for tests that talk to a real Redis; such tests are marked ``integration``."""

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer


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
