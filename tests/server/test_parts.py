"""The parts that a worker makes from its configuration."""

import pytest

from arsenal_fast.config.load import load
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.http.limits import Limits
from arsenal_fast.identity.validity import Life
from arsenal_fast.server import parts

SECRET = "a secret of a test, which is long enough for HS256"


def test_without_a_secret_there_are_no_keys() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parts.make_keys(load({}))
    assert caught.value.faults == ("JWT_SECRET must be set.",)


def test_the_keys_of_two_workers_agree() -> None:
    config = load({"JWT_SECRET": SECRET})
    token = parts.make_keys(config).sign_identity("player-1@a.b/v1:id", Life(1_000, 2_000))
    assert parts.make_keys(config).sign_identity("player-1@a.b/v1:id", Life(1_000, 2_000)) == token


@pytest.mark.parametrize("budget", ["64M", "256M", "8G"])
def test_one_client_gets_at_most_half_of_the_room_and_one_body_always_fits(budget: str) -> None:
    shares = load({"MEMORY_BUDGET": budget, "WORKERS": "1"}).shares
    bounds = parts.bounds(shares)
    assert Limits().body <= bounds.received_of_client <= bounds.received // 2
    gate = parts.gate_bounds(shares)
    assert 0 < gate.rows_of_client <= gate.rows // 2
