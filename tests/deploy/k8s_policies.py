"""Policies of the manifests beyond their schema: one function for each, which yields the violations.

A policy takes the built objects of an overlay and yields sentences; none means that it is content. It must be able to
object: ``test_k8s_policies.py`` breaks something for each of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from arsenal_fast import __version__, memory_budget
from arsenal_fast.api.routes import ROUTES
from arsenal_fast.config.load import Config, load
from arsenal_fast.config.schema import TABLE
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.server.supervisor import STOP_MARGIN
from arsenal_fast.stores.redis.url import parse_url
from tests.deploy.manifests import ROOT, Manifests, Object, Peer, Pod, name_of, paths_in, quantity, reachable, selects

Policy = Callable[[Manifests], Iterator[str]]

MIB: Final = 1 << 20

ENVOY_IDLE: Final = 3600.0
"""Seconds that Envoy keeps an idle connection, unless it is told otherwise."""

REDIS_CLUSTER: Final = {"kubernetes.io/metadata.name": "redis"}

OPENSHIFT_DNS: Final = {"kubernetes.io/metadata.name": "openshift-dns"}

SECRETS: Final = {"identity-secrets": {"JWT_SECRET", "REDIS_URL", "DATABASE_URL"}, "redis-auth": {"password"}}
"""The Secrets that an operator makes, and all that they may hold."""

PROBES: Final = {
    "livenessProbe": "/api/health/live",
    "readinessProbe": "/api/health/ready",
    "startupProbe": "/api/health/startup",
}

OPERATORS: Final = {"/api/metrics", "/api/telemetry", *PROBES.values()}
"""Routes that no client outside the cluster may call."""


def guide_names(manifests: Manifests) -> Iterator[str]:
    """What the guide's commands name is there under that name."""
    names = {"Deployment/identity-service", "Service/identity-service", "ConfigMap/identity-config"}
    if "sentinel" in manifests.overlay:
        names |= {"StatefulSet/redis-node", "Service/redis-node"}
    elif not {"external-redis", "redis-cluster"} & {manifests.overlay.removeprefix("production-")}:
        names |= {"StatefulSet/redis-master", "Service/redis-master"}
    if manifests.production:
        names.add("HTTPRoute/identity-route" if "gateway" in manifests.overlay else "Ingress/identity-ingress")
    for name in sorted(names - manifests.names()):
        yield f"{name} is missing"
    deployment = manifests.find("Deployment/identity-service")
    if deployment and [each["name"] for each in deployment["spec"]["template"]["spec"]["containers"]] != ["api"]:
        yield "the container is not named api: kubectl set image deployment/identity-service api=... names it"


def probes(manifests: Manifests) -> Iterator[str]:
    """Each probe has the right route, which exists, at the service's port."""
    known = {route.path for route in ROUTES if route.method == "GET"}
    for probe, path in PROBES.items():
        asked = manifests.service.get(probe, {}).get("httpGet", {})
        if asked.get("path") != path or path not in known:
            yield f"{probe} asks {asked.get('path')}, not {path}"
        if asked.get("port") != "http":
            yield f"{probe} asks port {asked.get('port')}"
    redis = manifests.pod("redis-master") or manifests.pod("redis-node")
    if redis is not None and not all("PONG" in str(each.get("readinessProbe")) for each in redis.containers):
        yield "Redis is ready by the exit status of redis-cli, which is 0 while it is loading, too"


def ports(manifests: Manifests) -> Iterator[str]:
    """The service listens where the container says, Services lead to ports that pods have, and the rest to Services."""
    listening = manifests.environment().get("PORT", "3655")
    declared = {each["name"]: each["containerPort"] for each in manifests.service["ports"]}
    if declared != {"http": int(listening)}:
        yield f"the service listens on {listening}, its container declares {declared}"
    if manifests.environment().get("HOST") != "::":
        yield "the service does not listen on the addresses of both families: a pod may have IPv6 alone"
    offered = {}
    for service in manifests.of("Service"):
        pods = [pod for pod in manifests.pods() if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)]
        offered[service["metadata"]["name"]] = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        named = {port["name"] for pod in pods for each in pod.containers for port in each.get("ports", [])}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in named:
                yield f"{name_of(service)} leads to port {port['targetPort']}, which no pod has"
    if offered.get("identity-service") != {"http": 80}:
        yield f"http://identity-service is not at port 80: {offered.get('identity-service')}"
    yield from _ways_in(manifests, offered)


def _ways_in(manifests: Manifests, offered: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """``offered``: the name of a Service -> its ports by name."""
    for ingress in manifests.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                if backend["port"].get("name") not in offered.get(backend["name"], {}):
                    yield f"{path['path']} of the Ingress leads nowhere"
    for route in manifests.of("HTTPRoute"):
        for backend in (each for rule in route["spec"]["rules"] for each in rule["backendRefs"]):
            if backend["port"] not in offered.get(backend["name"], {}).values():
                yield f"the HTTPRoute leads to {backend['name']}:{backend['port']}, which is nowhere"
    for monitor in manifests.of("ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in offered.get("identity-service", {}) or endpoint["path"] != "/api/metrics":
                yield f"Prometheus scrapes {endpoint['port']}{endpoint['path']}"


def configuration(manifests: Manifests) -> Iterator[str]:
    """Every variable is one of the service's, and the service accepts what the pod is given, without a warning."""
    known = {row.name for row in TABLE}
    environ = manifests.environment()
    for name in sorted(environ.keys() - known):
        yield f"{name} is no variable of the service"
    try:
        config = load(environ)
    except ConfigurationError as refused:
        yield from refused.faults
        return
    yield from config.warnings
    yield from _production(manifests, config)


def _production(manifests: Manifests, config: Config) -> Iterator[str]:
    if config.production != manifests.production:
        yield f"NODE_ENV is {config.node_env}"
    if not manifests.production:
        return
    if not config.database_url.reveal().startswith("postgresql://"):
        yield "several replicas with a ledger each tell several histories"
    by_name = {entry["name"]: entry for entry in manifests.service.get("env", [])}
    reference = by_name.get("DATABASE_URL", {}).get("valueFrom", {}).get("secretKeyRef", {})
    if reference.get("name") != "identity-secrets" or reference.get("optional"):
        yield "a Secret without DATABASE_URL would be taken for a wish for SQLite"
    if manifests.of("HTTPRoute") and config.keep_alive_timeout <= ENVOY_IDLE:
        yield "idle connections end before the gateway closes them: Envoy keeps them for an hour"
    if not config.trusted_proxies:
        yield "TRUSTED_PROXIES is unset: all clients behind the ingress share one limit"
    host = urlsplit(config.api_base_url).hostname
    hosts = {rule["host"] for each in manifests.of("Ingress") for rule in each["spec"]["rules"]}
    hosts |= {name for each in manifests.of("Ingress") for tls in each["spec"]["tls"] for name in tls["hosts"]}
    hosts |= {name for each in manifests.of("HTTPRoute") for name in each["spec"]["hostnames"]}
    if hosts != {host} or not config.api_base_url.startswith("https:"):
        yield f"API_BASE_URL is {config.api_base_url}, the way in is for {sorted(hosts)}"


def draining(manifests: Manifests) -> Iterator[str]:
    """A pod that stops serves until readiness has been seen to fail, and is not killed before it is done."""
    config = load(manifests.environment())
    probe = manifests.service["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    if config.drain_delay <= noticed:
        yield f"DRAIN_DELAY is {config.drain_delay:g} s, but it takes {noticed} s until readiness has failed"
    if config.drain_delay >= config.drain_seconds:
        yield "DRAIN_DELAY leaves nothing of DRAIN_SECONDS to answer in"
    pod = manifests.pod("identity-service")
    grace = pod.spec.get("terminationGracePeriodSeconds", 30) if pod else 0
    if grace <= config.drain_seconds + STOP_MARGIN:
        yield f"a pod is killed after {grace} s, but may take {config.drain_seconds + STOP_MARGIN:g} s to stop"


def resources(manifests: Manifests) -> Iterator[str]:
    """Every container requests the resources that it needs, and has a memory limit above its worst case."""
    for pod in manifests.pods():
        for container in pod.containers:
            given = container.get("resources", {})
            if {"cpu", "memory"} - given.get("requests", {}).keys() or "memory" not in given.get("limits", {}):
                yield f"{pod.owner}: {container['name']} lacks a request or a limit of memory"
            elif quantity(given["requests"]["memory"]) > quantity(given["limits"]["memory"]):
                yield f"{pod.owner}: {container['name']} requests more than its limit"
    environ = manifests.environment()
    if environ.get("WORKERS", "1") == "auto":
        yield "WORKERS=auto is a process for each CPU of the node, in the memory of one"
        return
    limit = int(quantity(manifests.service["resources"]["limits"]["memory"]))
    budget = {"MEMORY_BUDGET": str(memory_budget.of_container(limit))}
    config = load({**budget, **environ})  # as a pod with this limit has it
    connections = config.max_connections if "MAX_CONNECTIONS" in config.given else None
    yield from memory_budget.faults(config.memory_budget, limit, config.workers, connections=connections)


def redis(manifests: Manifests) -> Iterator[str]:
    """Redis evicts the right keys, long before the kernel would end it, keeps a snapshot, and requires a password."""
    pod = manifests.pod("redis-master")
    if pod is None:
        return
    container = pod.containers[0]
    arguments = container["args"]
    settings = dict(zip(arguments[::2], arguments[1::2], strict=True))
    uses = [settings.get(f"--{name}") for name in ("maxmemory-policy", "lfu-log-factor", "lfu-decay-time")]
    if uses != ["volatile-lfu", "0", "10"]:
        yield f"Redis evicts by {uses}"
    if not settings.get("--save") or settings.get("--dir") != "/data":
        yield "Redis writes no snapshot to its volume"
    if settings.get("--requirepass") != "$(REDISCLI_AUTH)":
        yield "Redis asks for no password"
    maxmemory = int(settings.get("--maxmemory", "0mb").removesuffix("mb")) * MIB
    limit = quantity(container["resources"]["limits"]["memory"])
    # A fork for a snapshot copies every page that changes meanwhile: at worst all.
    if not 0 < 2 * maxmemory < limit:
        yield f"twice maxmemory ({maxmemory // MIB} MiB), while a snapshot is written, exceeds {limit / MIB:.0f} MiB"
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    claims = [claim["metadata"]["name"] for claim in manifests.get(pod.owner)["spec"].get("volumeClaimTemplates", [])]
    if [mounted.get(name) for name in claims] != ["/data"]:
        yield "/data is no volume that outlives the pod"


def sentinels(manifests: Manifests) -> Iterator[str]:
    """A set that fails over: the service knows every sentinel, two nodes never fail together, the old master stops."""
    pod = manifests.pod("redis-node")
    if pod is None:
        return
    replicas = manifests.get(pod.owner)["spec"]["replicas"]
    hosts = [f"redis-node-{number}.redis-node" for number in range(replicas)]
    if replicas < 3 or replicas % 2 == 0:
        yield f"{replicas} sentinels: half of them could elect nobody"
    known = parse_url(manifests.environment()["REDIS_URL"])
    if [place.host for place in known.sentinels] != hosts or {place.port for place in known.sentinels} != {26379}:
        yield f"the service knows the sentinels {known.sentinels}"
    for container in pod.containers:
        environ = {each["name"]: each.get("value") for each in container["env"]}
        if environ.get("HOSTS") != " ".join(hosts) or environ.get("SELF") != "$(POD).redis-node":
            yield f"{container['name']} knows the nodes {environ.get('HOSTS')}"
    if not manifests.get("Service/redis-node")["spec"].get("publishNotReadyAddresses"):
        yield "a node that starts has no name yet, and finds no other"
    spread = [each["whenUnsatisfiable"] for each in pod.spec.get("topologySpreadConstraints", [])]
    if spread != ["DoNotSchedule"]:
        yield "two nodes may share a machine"
    budget = manifests.find("PodDisruptionBudget/redis-node")
    if budget is None or budget["spec"].get("maxUnavailable") != 1:
        yield "a drain of nodes may take the majority"
    yield from _set_of_redis(manifests, pod)


def _set_of_redis(manifests: Manifests, pod: Pod) -> Iterator[str]:
    (text,) = [each["data"]["redis.conf"] for each in manifests.of("ConfigMap") if "redis.conf" in each["data"]]
    settings, one = directives(text), directives((ROOT / "deploy/redis/redis.conf").read_text(encoding="utf-8"))
    if settings != one | {"min-replicas-to-write": "1", "min-replicas-max-lag": "10"}:
        yield "redis.conf differs from deploy/redis/redis.conf in more than the replicas"
    limit = quantity(pod.containers[0]["resources"]["limits"]["memory"])
    maxmemory = int(settings.get("maxmemory", "0mb").removesuffix("mb")) * MIB
    if not 0 < 2 * maxmemory < limit:
        yield f"twice maxmemory ({maxmemory // MIB} MiB), while a snapshot is written, exceeds {limit / MIB:.0f} MiB"


def directives(text: str) -> dict[str, str]:
    """Return the settings of a redis.conf."""
    return dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))


def restricted(manifests: Manifests) -> Iterator[str]:
    """Every pod keeps the restricted Pod Security Standard, with a read-only root, and its namespace insists on it."""
    for pod in manifests.pods():
        context = pod.spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{pod.owner} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.owner} has no seccomp profile"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.owner} is handed a token of the cluster"
        if any(pod.spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pod.owner} shares something with its node"
        for volume in pod.spec.get("volumes", []):
            if not volume.keys() & {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "projected"}:
                yield f"{pod.owner}: volume {volume['name']} is of a kind that is not allowed"
        for container in pod.containers:
            yield from _restricted(f"{pod.owner}: {container['name']}", container.get("securityContext", {}))
    for namespace in manifests.of("Namespace"):
        if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{name_of(namespace)} does not enforce the restricted standard"


def _restricted(who: str, context: Object) -> Iterator[str]:
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{who} may gain privileges"
    if not context.get("readOnlyRootFilesystem"):
        yield f"{who} can write to its root"
    if context.get("capabilities", {}) != {"drop": ["ALL"]}:
        yield f"{who} keeps capabilities"


def images(manifests: Manifests) -> Iterator[str]:
    """Every image has a tag with a number in it, and the service's is this release."""
    for pod in manifests.pods():
        for container in pod.containers:
            tag = re.fullmatch(r"[^:@]+:([\w.-]+)(@sha256:[0-9a-f]{64})?", container["image"])
            if tag is None or not re.search(r"\d", tag[1]):
                yield f"{pod.owner} runs {container['image']}, whatever that may be tomorrow"
    released = f"ghcr.io/your-org/arsenal-identity:v{__version__}"
    if manifests.pod("identity-service") and manifests.service["image"] != released:
        yield f"{manifests.service['image']} is not {released}"


def references(manifests: Manifests) -> Iterator[str]:
    """Selectors select, and every name that is mentioned is the name of something."""
    pods = manifests.pods()
    for each in [*manifests.of("Deployment"), *manifests.of("StatefulSet")]:
        if not selects(each["spec"]["selector"], each["spec"]["template"]["metadata"]["labels"]):
            yield f"{name_of(each)} does not select its own pods"
    for each in [*manifests.of("PodDisruptionBudget"), *manifests.of("NetworkPolicy")]:
        selector = each["spec"].get("selector") or each["spec"].get("podSelector")
        ours = "acme.cert-manager.io/http01-solver" not in str(selector)  # else cert-manager's, for a moment
        if ours and not any(selects(selector or {}, pod.labels) for pod in pods):
            yield f"{name_of(each)} selects no pod"
    for each in manifests.of("ServiceMonitor"):
        services = [service["metadata"].get("labels", {}) for service in manifests.of("Service")]
        if sum(selects(each["spec"]["selector"], labels) for labels in services) != 1:
            yield f"{name_of(each)} selects not one Service"
    for each in manifests.of("HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        if manifests.find(f"{target['kind']}/{target['name']}") is None:
            yield f"{name_of(each)} scales {target['name']}, which is not there"
    for pod in pods:
        yield from _references(manifests, pod)


def _references(manifests: Manifests, pod: Pod) -> Iterator[str]:
    claims = manifests.find(pod.owner) or {}
    volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
    volumes |= {claim["metadata"]["name"] for claim in claims.get("spec", {}).get("volumeClaimTemplates", [])}
    for volume in pod.spec.get("volumes", []):
        for source, kind, key in (
            ("configMap", "ConfigMap", "name"),
            ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
        ):
            if source in volume and manifests.find(f"{kind}/{volume[source][key]}") is None:
                yield f"{pod.owner} mounts {kind} {volume[source][key]}, which is not there"
    for container in pod.containers:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{pod.owner} mounts {mount['name']}, which is no volume of it"
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                name = source.get(field, {}).get("name")
                if name and name not in SECRETS and manifests.find(f"{kind}/{name}") is None:
                    yield f"{pod.owner} reads {kind} {name}, which no manifest makes"
        for entry in container.get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference and reference["key"] not in SECRETS.get(reference["name"], set()):
                yield f"{pod.owner} reads {reference['key']} of Secret {reference['name']}, which no manifest makes"


def no_secrets(manifests: Manifests) -> Iterator[str]:
    """Nothing in the repository is secret: no Secret, no variable that holds one, no URL with a password."""
    for secret in manifests.of("Secret"):
        yield f"{name_of(secret)} is in the repository"
    for each in manifests.of("ConfigMap"):
        for name in sorted(each["data"].keys() & {"JWT_SECRET", "JWT_SECRET_PREVIOUS", "JWT_PRIVATE_KEY"}):
            yield f"{name} is in {name_of(each)}"
    for found in re.findall(r"\w+://[^\s/'\"]*:[^\s/'\"]*@", str(manifests.objects)):
        yield f"a URL with a password: {found}"


CLIENT: Final = {"identity-service/client": "true"}


def network(manifests: Manifests) -> Iterator[str]:
    """The necessary connections are allowed, and no others."""
    service = _peer(manifests, "identity-service")
    world = Peer(external=True)
    controller, stranger = Peer(namespace=CLIENT), Peer(namespace={"kubernetes.io/metadata.name": "default"})
    flows = [
        ("the ingress controller and Prometheus call the service", controller, service, 3655, True),
        ("a namespace without the label calls the service", stranger, service, 3655, False),
        ("the world calls the service past the ingress", world, service, 3655, False),
        ("an allowed caller of the service calls another pod", controller, Peer(), 3655, False),
        ("the service calls any web site", service, world, 443, False),
        ("the service asks DNS", service, Peer(namespace={"kubernetes.io/metadata.name": "kube-system"}), 53, True),
        ("the service asks OpenShift's DNS", service, Peer(namespace=OPENSHIFT_DNS), 5353, True),
        ("the service reaches a PostgreSQL outside", service, world, 5432, manifests.production),
        ("the service reaches a Redis outside", service, world, 6379, "external-redis" in manifests.overlay),
        (
            "the service reaches a Redis Cluster in a namespace of its own",
            service,
            Peer(namespace=REDIS_CLUSTER),
            6379,
            manifests.overlay in ("production-external-redis", "production-redis-cluster"),
        ),
        ("the service reaches the bus of a Redis Cluster", service, Peer(namespace=REDIS_CLUSTER), 16379, False),
        (
            "the service reaches a Redis of another namespace",
            service,
            stranger,
            6379,
            "external-redis" in manifests.overlay,
        ),
    ]
    if manifests.pod("redis-master") is not None:
        redis = _peer(manifests, "redis-master")
        flows += [
            ("the service reaches Redis", service, redis, 6379, True),
            ("an allowed caller of the service reaches Redis", controller, redis, 6379, False),
            ("the world reaches Redis", world, redis, 6379, False),
            ("Redis calls the world", redis, world, 443, False),
        ]
        if manifests.pod("redis-backup") is not None:
            flows.append(("the backup reaches Redis", _peer(manifests, "redis-backup"), redis, 6379, True))
    if manifests.pod("redis-node") is not None:
        node = _peer(manifests, "redis-node")
        for port in (6379, 26379):
            flows += [
                (f"the service reaches {port} of a node", service, node, port, True),
                (f"a node reaches {port} of another", node, node, port, True),
                (f"an allowed caller of the service reaches {port} of a node", controller, node, port, False),
                (f"the world reaches {port} of a node", world, node, port, False),
            ]
        flows.append(("a node calls the world", node, world, 443, False))
    if manifests.pod("ledger-backup") is not None:
        flows.append(("the backup reaches PostgreSQL", _peer(manifests, "ledger-backup"), world, 5432, True))
    if manifests.of("Ingress"):
        solver = Peer({"acme.cert-manager.io/http01-solver": "true"})
        flows.append(("Let's Encrypt's question reaches its answer", controller, solver, 8089, True))
    for what, source, target, port, wanted in flows:
        protocol = "UDP" if port in (53, 5353) else "TCP"
        if reachable(manifests, source, target, port, protocol) != wanted:
            yield f"{what}: {'refused' if wanted else 'allowed'}"


def _peer(manifests: Manifests, name: str) -> Peer:
    pod = manifests.pod(name)
    assert pod is not None, name
    return Peer(pod.labels)


def exposure(manifests: Manifests) -> Iterator[str]:
    """The world may call what is for the world, all of it, and nothing of the operator's."""
    if not manifests.production:
        return
    let_in = list(paths_in(manifests))
    for route in ROUTES:
        open_to_all = any(
            route.path == path or (kind == "Prefix" and route.path.startswith(path.rstrip("/") + "/"))
            for kind, path in let_in
        )
        if open_to_all == (route.path in OPERATORS):
            yield f"{route.path} is {'open to' if open_to_all else 'closed for'} the world"


def availability(manifests: Manifests) -> Iterator[str]:
    """Production survives a node, a drain and a rollout, and scaling is one controller's business."""
    if not manifests.production:
        return
    deployment = manifests.get("Deployment/identity-service")
    rolling = deployment["spec"]["strategy"]["rollingUpdate"]
    if rolling != {"maxUnavailable": 0, "maxSurge": 1}:
        yield f"a rollout takes pods away before there are new ones: {rolling}"
    if "replicas" in deployment["spec"]:
        yield "an apply would set back what the autoscaler has decided"
    scaler = manifests.find("HorizontalPodAutoscaler/identity-service")
    if scaler is None or not 3 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]:
        yield "there are not three replicas, and more when needed"
    budget = manifests.find("PodDisruptionBudget/identity-service")
    if budget is None or budget["spec"].get("maxUnavailable") != 1:
        yield "a drain of nodes may take more than one pod, or never ends"
    spread = {each["topologyKey"] for each in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]}
    if spread != {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
        yield f"pods are spread over {sorted(spread)}"


def backups(manifests: Manifests) -> Iterator[str]:
    """Production has a backup of its ledger and of its own Redis; runs don't overlap, and none runs for ever."""
    if not manifests.production:
        return
    wanted = {"CronJob/ledger-backup"} | ({"CronJob/redis-backup"} if manifests.pod("redis-master") else set())
    for name in sorted(wanted - manifests.names()):
        yield f"{name} is missing"
    for each in manifests.of("CronJob"):
        job = each["spec"]["jobTemplate"]["spec"]
        if each["spec"].get("concurrencyPolicy") != "Forbid" or "activeDeadlineSeconds" not in job:
            yield f"{name_of(each)} may run twice at once, or for ever"
        if not any("persistentVolumeClaim" in volume for volume in job["template"]["spec"]["volumes"]):
            yield f"{name_of(each)} writes to nothing that lasts"


POLICIES: Final[tuple[Policy, ...]] = (
    guide_names,
    probes,
    ports,
    configuration,
    draining,
    resources,
    redis,
    sentinels,
    restricted,
    images,
    references,
    no_secrets,
    network,
    exposure,
    availability,
    backups,
)
