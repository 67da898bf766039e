"""The component that takes metrics, telemetry, dashboard and probes to a port of their own, in every overlay."""

from pathlib import Path

import pytest

from arsenal_fast.config.load import load
from tests.deploy.manifests import OVERLAYS, Manifests, Peer, built_with, reachable, selects
from tests.deploy.test_k8s_schemas import SUPPORTED, validate

pytestmark = pytest.mark.deploy("Kubernetes: the management port", tool="kubectl kustomize")

PORT = 3656
CLIENT = Peer(namespace={"identity-service/client": "true"})
MONITORING = Peer(namespace={"identity-service/monitoring": "true"})


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest, tmp_path: Path) -> Manifests:
    return built_with("management", request.param, tmp_path)


def test_the_service_listens_where_its_container_says(manifests: Manifests) -> None:
    config = load(manifests.environment())
    declared = {each["name"]: each["containerPort"] for each in manifests.service["ports"]}
    assert declared == {"http": config.port, "management": config.management_port}
    assert config.management_port == PORT


def test_the_probes_ask_it_for_what_they_asked_before(manifests: Manifests) -> None:
    asked = {name: manifests.service[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    paths = {"startup": "startup", "readiness": "ready", "liveness": "live"}
    assert asked == {name: {"path": f"/api/health/{path}", "port": "management"} for name, path in paths.items()}


def test_a_service_of_its_own_leads_to_it_and_that_of_the_api_does_not(manifests: Manifests) -> None:
    api, management = (manifests.get(f"Service/identity-{name}") for name in ("service", "management"))
    assert [port["name"] for port in api["spec"]["ports"]] == ["http"]
    assert management["spec"]["ports"] == [{"name": "management", "port": PORT, "targetPort": "management"}]
    pod = manifests.pod("identity-service")
    assert pod is not None
    assert selects({"matchLabels": management["spec"]["selector"]}, pod.labels)


def test_prometheus_scrapes_it(manifests: Manifests) -> None:
    monitors = manifests.of("ServiceMonitor")
    assert len(monitors) == manifests.production
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["endpoints"]
        assert (endpoint["port"], endpoint["path"]) == ("management", "/api/metrics")
        assert selects(monitor["spec"]["selector"], manifests.get("Service/identity-management")["metadata"]["labels"])


def test_callers_reach_the_api_alone_and_monitoring_the_management_alone(manifests: Manifests) -> None:
    pod = manifests.pod("identity-service")
    assert pod is not None
    service = Peer(pod.labels)
    reached = {
        (who, port): reachable(manifests, source, service, port)
        for who, source in (("client", CLIENT), ("monitoring", MONITORING), ("world", Peer(external=True)))
        for port in (3655, PORT)
    }
    assert {where for where, is_open in reached.items() if is_open} == {("client", 3655), ("monitoring", PORT)}


@pytest.mark.parametrize("version", SUPPORTED)
def test_each_object_is_one_that_this_kubernetes_knows(version: str, tmp_path: Path) -> None:
    validate(built_with("management", "production", tmp_path), version)
