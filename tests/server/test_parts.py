"""The parts that a worker makes from its configuration."""

import pytest

from arsenal_fast.api.routes import MANAGEMENT_ROUTER
from arsenal_fast.config.load import load
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.http.limits import Limits
from arsenal_fast.identity.validity import Life
from arsenal_fast.server import parts
from tests.support.rig import Rig

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


def test_a_management_port_is_a_second_address_with_connections_of_its_own() -> None:
    config = load({"PORT": "3655", "MANAGEMENT_PORT": "9090", "HOST": "127.0.0.1"})
    assert [(each.host, each.port) for each in parts.addresses(config)] == [("127.0.0.1", 3655), ("127.0.0.1", 9090)]
    assert parts.addresses(load({})) == [load({})]
    app = Rig(settings={"management": True}).app
    api, management = parts.listeners(config, app)
    assert api.app is app
    assert management.app.router is MANAGEMENT_ROUTER
    assert management.app.services is app.services
    assert api.room is not management.room
    (only,) = parts.listeners(load({}), app)
    assert only.app is app


def test_there_are_spans_where_the_configuration_has_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parts.tracer(load({}), None) is None
    assert not parts.settings(load({})).traces
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    monkeypatch.setenv(*next(iter(env.items())))
    tracer = parts.tracer(load(env), None)
    assert tracer is not None
    tracer.close()
    assert parts.settings(load(env)).traces
