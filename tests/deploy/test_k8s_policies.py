"""The manifests of every overlay pass every policy, and every policy fails for its violation."""

import re
from pathlib import Path

import pytest

from arsenal_fast.config.load import load
from arsenal_fast.errors import ConfigurationError
from tests.deploy.k8s_policies import POLICIES, Policy
from tests.deploy.manifests import (
    OVERLAYS,
    PLACEHOLDER,
    REMOVED,
    ROOT,
    Manifests,
    Peer,
    built,
    built_with,
    reachable,
)

pytestmark = pytest.mark.deploy("Kubernetes: policies on the built manifests", tool="kubectl kustomize")

DEPLOYMENT, REDIS = "Deployment/identity-service", "StatefulSet/redis-master"
API = "spec.template.spec.containers.0"
CONFIG = "ConfigMap/identity-config"
EXTERNAL, GATEWAY = "production-external-redis", "production-gateway"
CLUSTER = "production-redis-cluster"
SENTINEL, NODE = "production-sentinel", "StatefulSet/redis-node"

# policy, overlay, object, path of a field, what it is set to; the path "" is the object itself
MUTATIONS: tuple[tuple[str, str, str, str, object], ...] = (
    ("guide_names", "production", "Ingress/identity-ingress", "", REMOVED),
    ("guide_names", "dev", DEPLOYMENT, f"{API}.name", "app"),
    ("guide_names", "dev", REDIS, "metadata.name", "redis"),
    ("probes", "dev", DEPLOYMENT, f"{API}.livenessProbe.httpGet.path", "/api/health"),
    ("probes", "dev", DEPLOYMENT, f"{API}.startupProbe", REMOVED),
    ("probes", "dev", DEPLOYMENT, f"{API}.readinessProbe.httpGet.port", 8080),
    ("probes", "dev", REDIS, f"{API}.readinessProbe.exec.command", ["redis-cli", "ping"]),
    ("ports", "dev", CONFIG, "data.PORT", "8080"),
    ("ports", "dev", CONFIG, "data.HOST", REMOVED),
    ("ports", "production", CONFIG, "data.HOST", "0.0.0.0"),
    ("ports", "dev", "Service/redis-master", "spec.ports.0.targetPort", "http"),
    ("ports", "dev", "Service/identity-service", "spec.ports.0.port", 3655),
    ("ports", "production", "Ingress/identity-ingress", "spec.rules.0.http.paths.1.backend.service.port.name", "web"),
    ("ports", GATEWAY, "HTTPRoute/identity-route", "spec.rules.0.backendRefs.0.port", 3655),
    ("ports", "production", "ServiceMonitor/identity-service", "spec.endpoints.0.path", "/metrics"),
    ("configuration", "dev", CONFIG, "data.RATE_LIMIT_REQUEST", "100"),
    ("configuration", "dev", CONFIG, "data.LOG_LEVEL", "loud"),
    ("configuration", "production", CONFIG, "data.CORS_ORIGIN", "*"),
    ("configuration", "production", CONFIG, "data.NODE_ENV", "development"),
    ("configuration", "production", CONFIG, "data.TRUSTED_PROXIES", REMOVED),
    ("configuration", "production", CONFIG, "data.API_BASE_URL", "https://elsewhere.yourbook.com"),
    ("configuration", GATEWAY, CONFIG, "data.KEEP_ALIVE_TIMEOUT", REMOVED),
    ("configuration", GATEWAY, CONFIG, "data.KEEP_ALIVE_TIMEOUT", "3600"),
    ("configuration", "production", DEPLOYMENT, f"{API}.env", REMOVED),
    ("configuration", "production", DEPLOYMENT, f"{API}.env.0", {"name": "DATABASE_URL", "value": "none"}),
    ("draining", "dev", CONFIG, "data.DRAIN_DELAY", "5"),
    ("draining", "dev", CONFIG, "data.DRAIN_SECONDS", "10"),
    ("draining", "dev", DEPLOYMENT, f"{API}.readinessProbe.periodSeconds", 10),
    ("draining", "dev", DEPLOYMENT, "spec.template.spec.terminationGracePeriodSeconds", REMOVED),
    ("resources", "dev", REDIS, f"{API}.resources.limits", REMOVED),
    ("resources", "dev", DEPLOYMENT, f"{API}.resources.requests.cpu", REMOVED),
    ("resources", "dev", DEPLOYMENT, f"{API}.resources.requests.memory", "1Gi"),
    ("resources", "dev", CONFIG, "data.WORKERS", "auto"),
    ("resources", "dev", CONFIG, "data.WORKERS", "2"),
    ("resources", "dev", CONFIG, "data.MAX_CONNECTIONS", "40000"),
    ("resources", "dev", CONFIG, "data.MEMORY_BUDGET", "300M"),
    ("resources", "dev", DEPLOYMENT, f"{API}.resources.limits.memory", "128Mi"),
    ("redis", "dev", REDIS, f"{API}.args.9", "allkeys-lru"),
    ("redis", "dev", REDIS, f"{API}.args.13", "10"),
    ("redis", "dev", REDIS, f"{API}.args.15", "1"),
    ("redis", "dev", REDIS, f"{API}.args.7", "320mb"),
    ("redis", "dev", REDIS, f"{API}.args.5", ""),
    ("redis", "dev", REDIS, f"{API}.args.1", ""),
    ("redis", "dev", REDIS, "spec.volumeClaimTemplates", REMOVED),
    ("guide_names", SENTINEL, NODE, "metadata.name", "redis"),
    ("probes", SENTINEL, NODE, "spec.template.spec.containers.1.readinessProbe", REMOVED),
    ("sentinels", SENTINEL, NODE, "spec.replicas", 2),
    ("sentinels", SENTINEL, NODE, "spec.replicas", 5),
    ("sentinels", SENTINEL, NODE, f"{API}.env.2.value", "redis-node-0.redis-node"),
    ("sentinels", SENTINEL, NODE, "spec.template.spec.containers.1.env.1.value", "$(POD)"),
    ("sentinels", SENTINEL, NODE, "spec.template.spec.topologySpreadConstraints.0.whenUnsatisfiable", "ScheduleAnyway"),
    ("sentinels", SENTINEL, NODE, f"{API}.resources.limits.memory", "512Mi"),
    ("sentinels", SENTINEL, "Service/redis-node", "spec.publishNotReadyAddresses", REMOVED),
    ("sentinels", SENTINEL, "PodDisruptionBudget/redis-node", "", REMOVED),
    ("network", SENTINEL, "NetworkPolicy/to-redis-node", "spec.egress.0.ports.1", REMOVED),
    ("network", SENTINEL, "NetworkPolicy/to-redis-node", "spec.podSelector.matchExpressions.0.values.1", "x"),
    ("network", SENTINEL, "NetworkPolicy/redis-node", "spec.ingress.0.from", REMOVED),
    ("restricted", SENTINEL, NODE, "spec.template.spec.containers.1.securityContext.readOnlyRootFilesystem", False),
    ("restricted", "dev", DEPLOYMENT, "spec.template.spec.securityContext.runAsNonRoot", REMOVED),
    ("restricted", "dev", DEPLOYMENT, "spec.template.spec.securityContext.seccompProfile", REMOVED),
    ("restricted", "dev", DEPLOYMENT, "spec.template.spec.automountServiceAccountToken", REMOVED),
    ("restricted", "dev", DEPLOYMENT, "spec.template.spec.hostNetwork", True),
    ("restricted", "dev", DEPLOYMENT, "spec.template.spec.volumes.0", {"name": "x", "hostPath": {"path": "/"}}),
    ("restricted", "dev", REDIS, f"{API}.securityContext.allowPrivilegeEscalation", REMOVED),
    ("restricted", "dev", REDIS, f"{API}.securityContext.readOnlyRootFilesystem", False),
    ("restricted", "dev", REDIS, f"{API}.securityContext.capabilities.drop", ["NET_RAW"]),
    ("restricted", "dev", "Namespace/identity-dev", "metadata.labels", REMOVED),
    (
        "restricted",
        "production",
        "CronJob/redis-backup",
        "spec.jobTemplate.spec.template.spec.containers.0.securityContext",
        REMOVED,
    ),
    ("images", "dev", REDIS, f"{API}.image", "redis"),
    ("images", "dev", REDIS, f"{API}.image", "redis:alpine"),
    ("images", "dev", DEPLOYMENT, f"{API}.image", "ghcr.io/your-org/arsenal-identity:v1.0.0"),
    ("references", "dev", DEPLOYMENT, "spec.selector.matchLabels", {"app": "other"}),
    ("references", "production", "PodDisruptionBudget/identity-service", "spec.selector.matchLabels", {"app": "x"}),
    ("references", "dev", "NetworkPolicy/to-redis-master", "spec.podSelector", {"matchLabels": {"app": "x"}}),
    ("references", "production", "ServiceMonitor/identity-service", "spec.selector", {}),
    ("references", "production", "HorizontalPodAutoscaler/identity-service", "spec.scaleTargetRef.name", "api"),
    ("references", "dev", "PersistentVolumeClaim/identity-data", "", REMOVED),
    ("references", "dev", DEPLOYMENT, f"{API}.volumeMounts.0.name", "cache"),
    ("references", "dev", DEPLOYMENT, f"{API}.envFrom.1.secretRef.name", "secrets"),
    ("references", "dev", REDIS, f"{API}.env.0.valueFrom.secretKeyRef.key", "pass"),
    ("no_secrets", "dev", CONFIG, "kind", "Secret"),
    ("no_secrets", "dev", CONFIG, "data.JWT_SECRET", "x"),
    ("no_secrets", "dev", CONFIG, "data.REDIS_URL", "redis://:hunter2@redis-master:6379/0"),
    ("network", "dev", "NetworkPolicy/default-deny", "", REMOVED),
    ("network", "dev", "NetworkPolicy/dns", "", REMOVED),
    ("network", "dev", "NetworkPolicy/dns", "spec.egress.0.ports.2", REMOVED),
    ("network", "dev", "NetworkPolicy/identity-service", "spec.ingress.0.ports.0.port", 8080),
    ("network", "dev", "NetworkPolicy/identity-service", "spec.ingress.0.from", REMOVED),
    ("network", "dev", "NetworkPolicy/redis-master", "spec.ingress.0.from.0", {"namespaceSelector": {}}),
    ("network", "dev", "NetworkPolicy/to-redis-master", "", REMOVED),
    ("network", "production", "NetworkPolicy/to-redis-master", "spec.podSelector.matchExpressions.0.values.1", "x"),
    ("network", "production", "NetworkPolicy/to-postgresql", "", REMOVED),
    ("network", "production", "NetworkPolicy/acme-http01-solver", "", REMOVED),
    ("network", EXTERNAL, "NetworkPolicy/to-external-redis", "", REMOVED),
    ("network", CLUSTER, "NetworkPolicy/to-redis-cluster", "", REMOVED),
    ("network", CLUSTER, "NetworkPolicy/to-redis-cluster", "spec.egress.0.to", REMOVED),
    ("network", CLUSTER, "NetworkPolicy/to-redis-cluster", "spec.egress.0.ports", REMOVED),
    (
        "network",
        CLUSTER,
        "NetworkPolicy/to-redis-cluster",
        "spec.egress.0.to.0.namespaceSelector.matchLabels",
        {"a": "b"},
    ),
    ("network", EXTERNAL, "NetworkPolicy/to-external-redis", "spec.egress.0.ports", REMOVED),
    ("exposure", "production", "Ingress/identity-ingress", "spec.rules.0.http.paths.0.path", "/api"),
    ("exposure", "production", "Ingress/identity-ingress", "spec.rules.0.http.paths.7", REMOVED),
    ("exposure", GATEWAY, "HTTPRoute/identity-route", "spec.rules.0.matches.2.path.type", "PathPrefix"),
    ("availability", "production", DEPLOYMENT, "spec.replicas", 3),
    ("availability", "production", DEPLOYMENT, "spec.strategy.rollingUpdate.maxUnavailable", 1),
    ("availability", "production", DEPLOYMENT, "spec.template.spec.topologySpreadConstraints.0", REMOVED),
    ("availability", "production", "HorizontalPodAutoscaler/identity-service", "spec.minReplicas", 1),
    ("availability", "production", "PodDisruptionBudget/identity-service", "spec.maxUnavailable", 0),
    ("backups", "production", "CronJob/redis-backup", "", REMOVED),
    ("backups", "production", "CronJob/ledger-backup", "spec.concurrencyPolicy", REMOVED),
    ("backups", EXTERNAL, "CronJob/ledger-backup", "spec.jobTemplate.spec.template.spec.volumes", []),
)

BY_NAME = {policy.__name__: policy for policy in POLICIES}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_an_overlay_keeps_the_policy(overlay: str, policy: Policy) -> None:
    assert list(policy(built(overlay))) == []


@pytest.mark.parametrize(
    ("policy", "overlay", "name", "path", "value"),
    MUTATIONS,
    ids=lambda part: str(part) if part is not REMOVED else "-",
)
def test_a_policy_objects_to_what_it_is_for(policy: str, overlay: str, name: str, path: str, value: object) -> None:
    assert list(BY_NAME[policy](built(overlay).changed(name, path, value))) != []


def test_each_policy_is_shown_to_object() -> None:
    assert {policy for policy, *_ in MUTATIONS} == BY_NAME.keys()


def test_the_load_test_keeps_the_policies_of_any_pod_and_may_call_the_service_alone() -> None:
    load = built("loadtest")
    for policy in ("restricted", "images", "no_secrets"):
        assert list(BY_NAME[policy](load)) == []
    together = Manifests("production", (*built("production").objects, *load.objects))
    pods = {name: Peer(pod.labels) for name in ("identity-loadtest", "identity-service") if (pod := together.pod(name))}
    assert reachable(together, pods["identity-loadtest"], pods["identity-service"], 3655)
    assert not reachable(together, pods["identity-loadtest"], Peer(external=True), 443)


def test_the_pod_runs_as_the_user_of_the_image() -> None:
    dockerfile = ROOT / "Dockerfile"
    if not dockerfile.exists():
        pytest.skip("there is no Dockerfile to compare with")
    users = re.findall(r"^USER (\d+):(\d+)$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    pod = built("production").pod("identity-service")
    assert pod is not None
    context = pod.spec["securityContext"]
    assert users[-1] == (str(context["runAsUser"]), str(context["runAsGroup"]))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_names_its_user_on_openshift_and_each_keeps_the_other_policies(overlay: str, tmp_path: Path) -> None:
    """The constraint restricted-v2 draws a user for each namespace, and refuses a pod that names another one."""
    manifests = built_with("openshift", overlay, tmp_path)
    assert manifests.names() == built(overlay).names()
    for pod in manifests.pods():
        contexts = [pod.spec["securityContext"], *(each["securityContext"] for each in pod.containers)]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & {key for context in contexts for key in context}
        assert pod.spec["securityContext"]["runAsNonRoot"] is True
    objections = {objection for policy in POLICIES for objection in policy(manifests)}
    assert objections == {f"{pod.owner} may run as root" for pod in manifests.pods()}, "for they name no user"


@pytest.mark.parametrize("overlay", [overlay for overlay in OVERLAYS if overlay.startswith("production")])
def test_production_is_refused_until_the_operator_has_named_the_proxies(overlay: str) -> None:
    manifests = built(overlay)
    assert manifests.get(CONFIG)["data"]["TRUSTED_PROXIES"] == PLACEHOLDER
    with pytest.raises(ConfigurationError) as refused:
        load({**manifests.environment(), "TRUSTED_PROXIES": PLACEHOLDER})
    (fault,) = refused.value.faults
    assert fault.startswith("TRUSTED_PROXIES must be IP addresses or CIDRs")
    assert PLACEHOLDER in fault
