"""Environments for the tests of the configuration."""

from pathlib import Path

import pytest

from arsenal_fast.config.load import load
from arsenal_fast.errors import ConfigurationError

ROOT = Path(__file__).parents[2]

KEY = "Zm9ydHktZWlnaHQgb2N0ZXRzIG9mIG5vYm9keSdzIGJ1c2luZXNz"

PRODUCTION = {
    "NODE_ENV": "production",
    "REDIS_URL": "redis://redis:6379/1",
    "JWT_SECRET": KEY,
    "API_BASE_URL": "https://identity.api.yourbook.com",
    "CORS_ORIGIN": "https://sports.yourbook.com",
}


def faults(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(environ)
    return caught.value.faults
