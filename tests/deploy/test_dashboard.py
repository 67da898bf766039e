"""The Grafana dashboard without a running Prometheus; `test_prometheus.py` runs its queries."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.build import FILE, KUBERNETES, build
from deploy.grafana.panels import ROWS
from tests.deploy.manifests import built

GRAFANA = Path(__file__).parents[2] / "deploy/grafana"

pytestmark = pytest.mark.deploy("the dashboard fits Grafana's schema and is up to date", tool="grafana-foundation-sdk")


def board() -> Any:
    return json.loads(FILE.read_text())


def test_the_dashboard_in_the_repository_is_the_one_of_the_table() -> None:
    assert FILE.read_text() == build(), "run: make dashboard"
    assert KUBERNETES.read_text() == FILE.read_text(), "run: make dashboard"


def test_the_sidecar_of_grafana_finds_the_dashboard_in_kubernetes() -> None:
    board = built("production").get("ConfigMap/identity-dashboard")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["identity-service.json"])["title"] == "Identity service"
    assert len(json.dumps(board)) < 200_000, "kubectl apply keeps a copy in an annotation of 256 KiB at most"


def test_panels_lie_side_by_side_and_never_upon_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_panel_has_a_number_a_unit_a_reason_and_a_source() -> None:
    panels = [panel for panel in board()["panels"] if panel["type"] != "row"]
    assert len(panels) == sum(len(row.panels) for row in ROWS) >= 40
    assert len({panel["id"] for panel in board()["panels"]}) == len(board()["panels"])
    for panel in panels:
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert target["expr"]


def test_every_query_is_of_the_chosen_job_and_follows_the_zoom() -> None:
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            for selector in re.findall(
                r"\b(?:identity|http|process|python)_[a-z0-9_]+|\bup\b|job:\w+:\w+", target["expr"]
            ):
                assert re.search(re.escape(selector) + r'\{job="\$job"', target["expr"]), target["expr"]
            windows = set(re.findall(r"\[([^]]+)\]", target["expr"]))
            assert windows <= {"$__rate_interval", "30d"}, target["expr"]


def test_the_first_row_is_the_verdict_on_one_line() -> None:
    first, *rest = board()["panels"]
    assert (first["type"], first["title"]) == ("row", "Is it well?")
    verdict = rest[: len(ROWS[0].panels)]
    assert {panel["type"] for panel in verdict} == {"stat"}
    assert {panel["gridPos"]["y"] for panel in verdict} == {1}


def test_grafana_is_provisioned_with_the_source_and_the_folder_of_the_dashboard() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    provisioning = yaml.safe_load((GRAFANA / "provisioning/dashboards/identity-service.yml").read_text())
    (provider,) = provisioning["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/var/lib/grafana/dashboards")
