"""The objects that kustomize builds of an overlay, and queries on them.

The only module that runs kubectl and reads the shapes of Kubernetes objects; policies use its types.
"""

import base64
import copy
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).parents[2]
K8S: Final = ROOT / "k8s"
OVERLAYS: Final = tuple(sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml")))

Object = dict[str, Any]

PLACEHOLDER: Final = "CIDR-OF-THE-INGRESS-CONTROLLERS-PODS"
"""The placeholder for the operator's value; the service refuses it."""

REMOVED: Final = object()
"""In place of a value: the field, or the whole object, is taken away."""


class Pod(NamedTuple):
    """A pod template: whose it is (``Deployment/identity-service``), its labels, its spec."""

    owner: str
    labels: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


@dataclass(frozen=True)
class Manifests:
    """The objects that one overlay consists of."""

    overlay: str
    objects: tuple[Object, ...]

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def names(self) -> set[str]:
        return {name_of(each) for each in self.objects}

    def find(self, name: str) -> Object | None:
        """``Kind/name``, or None."""
        return next((each for each in self.objects if name_of(each) == name), None)

    def get(self, name: str) -> Object:
        found = self.find(name)
        if found is None:
            raise LookupError(f"{self.overlay} has no {name}")
        return found

    def pods(self) -> list[Pod]:
        found = []
        for each in self.objects:
            spec = each.get("spec", {})
            template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
            if template is not None:
                found.append(Pod(name_of(each), template["metadata"].get("labels", {}), template["spec"]))
        return found

    def pod(self, name: str) -> Pod | None:
        """The pod whose ``app.kubernetes.io/name`` this is."""
        return next((pod for pod in self.pods() if pod.labels.get("app.kubernetes.io/name") == name), None)

    @property
    def service(self) -> Object:
        """The container of the identity service."""
        pod = self.pod("identity-service")
        assert pod is not None, f"{self.overlay} has no pod identity-service"
        return next(each for each in pod.containers if each["name"] == "api")

    @property
    def production(self) -> bool:
        return self.overlay.startswith("production")

    def environment(self) -> dict[str, str]:
        """What the service's container sees, with Secrets as scripts/k8s-secrets.sh makes them for this overlay."""
        secrets = secrets_for(self.overlay)
        environ: dict[str, str] = {}
        for source in self.service.get("envFrom", []):
            if "configMapRef" in source:
                environ |= self.get(f"ConfigMap/{source['configMapRef']['name']}")["data"]
            else:
                environ |= secrets[source["secretRef"]["name"]]
        for entry in self.service.get("env", []):
            if "value" in entry:
                environ[entry["name"]] = entry["value"]
            else:
                reference = entry["valueFrom"]["secretKeyRef"]
                environ[entry["name"]] = secrets[reference["name"]][reference["key"]]
        if environ.get("TRUSTED_PROXIES") == PLACEHOLDER:
            environ["TRUSTED_PROXIES"] = "10.244.7.0/24"  # as docs/kubernetes.md sets it
        return environ

    def changed(self, name: str, path: str, value: object) -> "Manifests":
        """The same with one field (``spec.ports.0.port``) of one object replaced, or without the object (path "")."""
        if not path:
            self.get(name)
            return Manifests(self.overlay, tuple(each for each in self.objects if name_of(each) != name))
        objects = copy.deepcopy(self.objects)
        manifests = Manifests(self.overlay, objects)
        *parents, last = path.replace("\\.", "\0").split(".")
        node: Any = manifests.get(name)
        for part in parents:
            node = node[_key(node, part)]
        key = _key(node, last)
        if value is REMOVED:
            del node[key]
        else:
            node[key] = value
        return manifests


def _key(node: Any, part: str) -> Any:
    return int(part) if isinstance(node, list) else part.replace("\0", ".")


def name_of(each: Object) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"


def kubectl(*arguments: str) -> str:
    """What kubectl says; the one beside this Python, where scripts/install-kubectl.sh puts it, or that of PATH."""
    beside = Path(sys.executable).with_name("kubectl")
    binary = str(beside) if beside.exists() else shutil.which("kubectl")
    assert binary is not None, "kubectl is missing: scripts/install-deploy-tools.sh"
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def built(overlay: str) -> Manifests:
    """An overlay of k8s/overlays, or another directory of k8s that has a kustomization."""
    directory = K8S / "overlays" / overlay if overlay in OVERLAYS else K8S / overlay
    return Manifests(overlay, tuple(yaml.safe_load_all(kubectl("kustomize", str(directory)))))


def built_with(component: str, overlay: str, directory: Path) -> Manifests:
    """An overlay with a further component, by a kustomization of an operator in ``directory``."""
    base, added = (
        os.path.relpath(path, directory.resolve())
        for path in (K8S / "overlays" / overlay, K8S / "components" / component)
    )
    kustomization = {"kind": "Kustomization", "resources": [base], "components": [added]}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return Manifests(overlay, tuple(yaml.safe_load_all(kubectl("kustomize", str(directory)))))


@functools.cache
def secrets_for(overlay: str) -> dict[str, dict[str, str]]:
    """Name of a Secret -> its keys and values, from the script that an operator runs."""
    given = {}
    if overlay != "dev":
        given["DATABASE_URL"] = "postgresql://identity:secret@postgresql.example.com/identity?sslmode=require"
    if "external-redis" in overlay:
        given["REDIS_URL"] = "rediss://:secret@redis.example.com:6380/0"
    if "redis-cluster" in overlay:
        given["REDIS_URL"] = "redis+cluster://:secret@redis-cluster.redis:6379"
    if "sentinel" in overlay:
        given["REDIS_SENTINEL"] = "yes"
    written = subprocess.run(
        [ROOT / "scripts/k8s-secrets.sh"], env={"PATH": os.environ["PATH"], **given}, capture_output=True, check=True
    )
    return {
        each["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in each["data"].items()}
        for each in yaml.safe_load_all(written.stdout)
    }


_UNITS: Final = {"": 1, "m": 0.001, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def quantity(text: str | int) -> float:
    """A Kubernetes quantity in bytes or CPUs: 256Mi, 250m, 1."""
    match = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi|)", str(text))
    assert match is not None, f"no quantity: {text}"
    return float(match[1]) * _UNITS[match[2]]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels, as an empty one does; of matchExpressions In and Exists."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", []):
        value = labels.get(expression["key"])
        if expression["operator"] == "Exists" and value is None:
            return False
        if expression["operator"] == "In" and value not in expression["values"]:
            return False
        assert expression["operator"] in {"In", "Exists"}, f"unknown operator {expression['operator']}"
    return True


class Peer(NamedTuple):
    """One end of a connection: a pod with its labels and its namespace's; ``external`` is outside the cluster."""

    labels: Mapping[str, str] = {}
    namespace: Mapping[str, str] | None = None
    """None: the namespace of the overlay."""
    external: bool = False


def reachable(manifests: Manifests, source: Peer, target: Peer, port: int | str, protocol: str = "TCP") -> bool:
    """Whether the NetworkPolicies let ``source`` reach a port of ``target``, leaving the one and entering the other.

    Policies bind the pods of their own namespace only; a pod that no policy selects is open (the API's rules).
    """
    policies = manifests.of("NetworkPolicy")
    leaves = (
        source.external or source.namespace is not None or _passes(policies, "egress", source, target, port, protocol)
    )
    enters = (
        target.external or target.namespace is not None or _passes(policies, "ingress", target, source, port, protocol)
    )
    return leaves and enters


def _passes(policies: list[Object], way: str, here: Peer, there: Peer, port: int | str, protocol: str) -> bool:
    binding = [
        policy["spec"]
        for policy in policies
        if way.capitalize() in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], here.labels)
    ]
    if not binding:
        return True
    return any(
        _takes_peer(rule.get("to" if way == "egress" else "from"), there) and _takes_port(rule, port, protocol)
        for spec in binding
        for rule in spec.get(way, [])
    )


def _takes_peer(peers: list[Object] | None, there: Peer) -> bool:
    if peers is None:
        return True
    for peer in peers:
        assert "ipBlock" not in peer, "the model has no addresses"
        if there.external:
            continue
        in_namespace = (
            there.namespace is None
            if "namespaceSelector" not in peer
            else selects(peer["namespaceSelector"], there.namespace or {})
        )
        if in_namespace and selects(peer.get("podSelector", {}), there.labels):
            return True
    return False


def _takes_port(rule: Object, port: int | str, protocol: str) -> bool:
    if "ports" not in rule:
        return True
    return any(each["port"] == port and each.get("protocol", "TCP") == protocol for each in rule["ports"])


def paths_in(manifests: Manifests) -> Iterator[tuple[str, str]]:
    """(``Prefix`` or ``Exact``, path) of all that an Ingress or an HTTPRoute lets in."""
    for ingress in manifests.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                yield path["pathType"], path["path"]
    for route in manifests.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for match in rule["matches"]:
                yield match["path"]["type"].removeprefix("Path"), match["path"]["value"]
