"""Both databases for the ledger's tests."""

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def url(request: pytest.FixtureRequest) -> str:
    """Each database in turn, empty."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found
