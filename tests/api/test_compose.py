"""The application of a worker by its settings."""

from typing import Any

import pytest

from arsenal_fast.api.compose import compose, management
from arsenal_fast.api.fastpath.recognized import LoggedRequest, RecognizedRequest
from arsenal_fast.api.services import Services
from arsenal_fast.api.settings import Settings
from arsenal_fast.http.limits import Limits
from arsenal_fast.stores.memory import MemoryBackend
from tests.support.rig import KEYS, START, Rig


def test_the_fast_path_can_be_left_out() -> None:
    assert Rig(fast_path=True).app.recognizes
    assert not Rig(fast_path=False).app.recognizes


@pytest.mark.parametrize("mode", ["off", "errors", "all"])
def test_only_a_log_of_all_responses_logs_on_the_fast_path(mode: str) -> None:
    fast_path = Rig(settings={"access_log": mode}).fast_path_of_app
    assert fast_path is not None
    assert fast_path.request_class is (LoggedRequest if mode == "all" else RecognizedRequest)


def test_spans_are_made_on_the_fast_path_too() -> None:
    fast_path = Rig(settings={"access_log": "errors", "traces": True}).fast_path_of_app
    assert fast_path is not None
    assert fast_path.request_class is LoggedRequest


def test_beside_a_management_listener_the_api_has_neither_metrics_nor_their_documentation() -> None:
    rig = Rig(settings={"management": True})
    assert [rig.get(path).status for path in ("/api/metrics", "/api/telemetry", "/api/health/live")] == [404, 404, 200]
    documented = rig.get("/api/openapi.json").json["paths"].keys()
    assert not {"/api/metrics", "/api/telemetry"} & documented
    assert {"/api/v1/id", "/api/health"} <= documented


def test_the_management_serves_the_same_services_without_the_api() -> None:
    rig = Rig(settings={"management": True})
    rig.get("/api/v1/id?run=1")
    public, rig.listener.app = rig.listener.app, management(rig.app)
    assert rig.get("/api/telemetry").json["identities"]["issued"] == 1
    assert rig.get("/api/health", Accept="text/html").headers["content-type"].startswith("text/html")
    refused = rig.get("/api/v1/id?run=1")
    assert (refused.status, "management port" in refused.json["detail"]) == (404, True)
    assert rig.connect().get("/api/metrics", method="OPTIONS").headers["allow"] == "GET, HEAD, OPTIONS"
    assert rig.connect().get("/api/v1/id", method="OPTIONS").headers["allow"] == "OPTIONS"
    assert not rig.listener.app.recognizes
    assert public.recognizes


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("limited", [False, True])
def test_the_store_is_asked_where_there_is_a_limit_or_another_worker(switched: bool, limited: bool) -> None:
    settings: dict[str, Any] = {} if limited else {"quota": None}
    rig = Rig(settings=settings, switched=switched)
    asked: list[object] = []
    rig.get("/api/v1/id?run=1")
    if switched:
        asked = list(rig.shared.admissions)
    submit = rig.service.admission.submit if limited or switched else rig.service.admission.pass_unlimited
    assert rig.app.submit == submit
    assert bool(asked) is switched


def test_a_store_that_returns_is_told_what_is_remembered() -> None:
    rig = Rig(switched=True)
    rig.shared.away = True
    own = rig.get("/api/v1/id?run=1").json
    rig.shared.issues.clear()
    rig.shared.come_back()
    assert [row.id for rows in rig.shared.issues for row in rows] == [own["id"]]


def app(**settings: Any) -> Any:
    """An application whose generator of random bytes is known."""
    memory = MemoryBackend(lambda: 0, lambda: int(START * 1000))
    services = Services(
        settings=Settings(version="v1", domain="a.example", base_url="https://a.example", quota=None, **settings),
        backend=memory,
        local=memory,
        keys=KEYS,
        call_soon=lambda _: None,
        monotonic=lambda: 5.0,
        now=lambda: START,
        random=bytes,
    )
    return compose(services, Limits())


def test_clocks_and_randomness_come_in_from_outside() -> None:
    services = app().services
    assert services.started_at_s == START
    assert services.clock.now_s == START
    assert services.draw_run() == services.draw_run(), "the generator always gives the same"


def test_each_application_counts_for_itself() -> None:
    one, other = app(), app()
    one.services.metrics.observe("/", "GET", 200, 0.0)
    assert (one.services.metrics.answered, other.services.metrics.answered) == (1, 0)


def test_a_worker_is_not_ready_before_its_server_says_so() -> None:
    assert app().services.status == "unhealthy"
