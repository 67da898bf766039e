"""Every object that kustomize builds is valid by its schema, without unknown fields."""

import json
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from tests.deploy.manifests import K8S, OVERLAYS, REMOVED, ROOT, Manifests, built

SUPPORTED = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
BUILDS = (*OVERLAYS, "loadtest")
CUSTOM = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "tests/deploy/schemas").glob("*.json"))
}
"""``<group>-<version>-<kind>`` -> schema."""

of_kubernetes = pytest.mark.deploy(f"Kubernetes {SUPPORTED[0]} to {SUPPORTED[-1]}: schemas", tool="kubernetes-validate")
of_others = pytest.mark.deploy("Kubernetes: schemas of custom resources", tool="jsonschema")


def schema_name(each: dict[str, Any]) -> str:
    return f"{each['apiVersion'].replace('/', '-')}-{each['kind']}"


def validate(manifests: Manifests, version: str) -> None:
    for each in manifests.objects:
        if schema_name(each) not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


@of_kubernetes
@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("build", BUILDS)
def test_each_object_is_one_that_this_kubernetes_knows(build: str, version: str) -> None:
    validate(built(build), version)


@of_kubernetes
@pytest.mark.parametrize("version", SUPPORTED)
def test_a_misspelt_field_is_found(version: str) -> None:
    broken = built("dev").changed("Deployment/identity-service", "spec.template.spec.terminationGracePeriod", 40)
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(broken, version)


@of_kubernetes
def test_the_template_of_the_secrets_is_valid() -> None:
    for each in yaml.safe_load_all((K8S / "identity-secrets.example.yaml").read_text(encoding="utf-8")):
        kubernetes_validate.validate(each, SUPPORTED[-1], strict=True)


@of_others
def test_each_custom_resource_keeps_its_schema() -> None:
    issuer = yaml.safe_load((K8S / "cluster/letsencrypt.yaml").read_text(encoding="utf-8"))
    custom = [issuer, *(each for build in BUILDS for each in built(build).objects if schema_name(each) in CUSTOM)]
    assert {schema_name(each) for each in custom} == CUSTOM.keys()
    for each in custom:
        Draft202012Validator(CUSTOM[schema_name(each)]).validate(each)


@of_others
@pytest.mark.parametrize(
    ("build", "name", "path", "value"),
    [
        ("production", "ServiceMonitor/identity-service", "spec.endpoints.0.scrape_timeout", "10s"),
        ("production", "ServiceMonitor/identity-service", "spec.selector", REMOVED),
        ("production", "PrometheusRule/identity-service", "spec.groups.0.rules.0.for", "five minutes"),
        ("production-gateway", "HTTPRoute/identity-route", "spec.rules.0.matches.0.path.type", "Prefix"),
    ],
)
def test_a_broken_custom_resource_is_found(build: str, name: str, path: str, value: object) -> None:
    broken = built(build).changed(name, path, value).get(name)
    with pytest.raises(ValidationError):
        Draft202012Validator(CUSTOM[schema_name(broken)]).validate(broken)
