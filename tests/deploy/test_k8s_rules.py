"""The alerts of Kubernetes are those of the plain Prometheus: one source, two forms."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.deploy.manifests import ROOT, built


def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("rendering", ROOT / "scripts/render-prometheus-rule.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def rules_of_kubernetes() -> dict[str, object]:
    return dict(built("production").get("PrometheusRule/identity-service")["spec"])


@pytest.mark.deploy("Kubernetes: PrometheusRule", tool="promtool")
def test_prometheus_reads_the_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(rules_of_kubernetes()))
    done = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.deploy("Kubernetes: PrometheusRule", tool="promtool")
def test_the_alerts_of_the_guide_are_there() -> None:
    text = yaml.safe_dump(rules_of_kubernetes())
    assert "alert: IdentityServiceDown" in text
    assert "alert: HighErrorRate" in text


@pytest.mark.deploy("Kubernetes: PrometheusRule", tool="promtool")
def test_prometheus_gives_the_service_the_job_that_the_alerts_speak_of() -> None:
    monitor = built("production").get("ServiceMonitor/identity-service")
    service = built("production").get("Service/identity-service")
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "identity-service"
    assert 'up{job="identity-service"}' in str(rules_of_kubernetes())


def test_the_manifest_is_what_make_kube_rules_writes() -> None:
    rendering = script()
    assert rendering.TARGET.read_text(encoding="utf-8") == rendering.rendered(
        rendering.SOURCE.read_text(encoding="utf-8")
    )


def test_a_rule_is_rendered_whole_and_in_order() -> None:
    rule = "  - alert: A\n    expr: |\n      up\n      == 0\n    annotations: {x: '{{ $value }}'}\n"
    rules = f"groups:\n- name: b\n  rules:\n{rule}"
    assert yaml.safe_load(script().rendered(rules))["spec"] == yaml.safe_load(rules)
