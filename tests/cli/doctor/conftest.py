"""A production configuration in which the checks find faults."""

from collections.abc import Callable

import pytest

from arsenal_fast.config.load import Config, load
from tests.support.service import REPLICA

GOOD = {
    **REPLICA,
    "NODE_ENV": "production",
    "REDIS_URL": "redis://:q8Zt1vX0aJ@127.0.0.1:1/0",
    "CORS_ORIGIN": "https://sports.yourbook.com",
    "DATABASE_URL": "none",
    "TRUSTED_PROXIES": "10.1.0.0/16",
}

Configured = Callable[..., Config]


@pytest.fixture
def configured() -> Configured:
    """Makes a configuration that differs from the good one."""

    def make(**variables: str) -> Config:
        return load({**GOOD, **variables})

    return make
