"""Cost of a request on a cluster of three masters compared with one Redis.

The same service with one Redis and with a cluster of three masters without replicas, by turns: one client
(cached-direct) and as many as connections (cached-proxy), over 64 connections, and the latter over 256. A tick's
requests are divided among the masters; with many connections there is more for each. All Redis share core 1 with
the load, so their own CPU time is higher than on cores of their own.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import redis

from bench.load import CONNECTIONS, Load, run_wrk, seed
from bench.processes import LOAD_CORE, free_port, read_cpu, redis_command, spent, started, wait_until
from bench.results import Figure
from bench.rounds import Running, Watch, redis_pid, running_redis, running_server, warm, watched
from bench.scripts import write_script
from bench.servers import Server
from bench.setting import Findings, Setting, Taken, by_turns, company, noted
from bench.workloads import Workload

MASTERS = 3
SLOTS = 16_384
MANY = 256
AT_MOST = 1.25  # times one Redis

LOADS = (
    ("one client", "cached-direct", CONNECTIONS),
    ("many clients", "cached-proxy", CONNECTIONS),
    (f"many clients, {MANY} connections", "cached-proxy", MANY),
)


class Store(NamedTuple):
    """What the service keeps its state in: the URL, and the processes of Redis."""

    url: str
    pids: Sequence[int]


def measure(setting: Setting) -> Findings:
    """CPU per request of the service and of Redis, by loads."""
    with stores(setting.directory) as found, ExitStack() as stack:
        fleet = {}
        for name, store in found.items():
            server = with_store(setting.server, name, store)
            running = stack.enter_context(running_server(server, setting.directory, redis_port=0, redis_db=0))
            fleet[name] = replace(running, suffix=seed(running.port))
        figures: list[Figure] = []
        for title, workload, connections in LOADS:
            taken = measured(setting, list(fleet.values()), found, Workload.named(workload), connections)
            figures += figures_of(title, taken, *(running.server.name for running in fleet.values()))
    return Findings(figures)


def with_store(server: Server, name: str, store: Store) -> Server:
    """The same server with its state in this store."""
    environment = {**server.environment, "REDIS_URL": store.url}
    return replace(server, name=f"{server.name} with {name}", environment=environment)


def measured(
    setting: Setting, fleet: Sequence[Running], found: dict[str, Store], workload: Workload, connections: int
) -> Taken[tuple[Load, float]]:
    """The load of each turn, and the CPU time (us) of all Redis meanwhile."""
    seconds = setting.length(2, 2)
    script = write_script(workload, fleet[0].suffix, setting.directory, next(setting.serials))
    pids = {running.server.name: store.pids for running, store in zip(fleet, found.values(), strict=True)}
    for running in fleet:
        warm(running, script, seconds)

    def load(running: Running) -> tuple[tuple[Load, float], Watch]:
        wrk = partial(run_wrk, running.port, script, seconds, connections)
        return watched(running, lambda: beside(pids[running.server.name], wrk))

    return by_turns(fleet, setting.length(6, 1), load)


def beside(pids: Sequence[int], load: Callable[[], Load]) -> tuple[Load, float]:
    """The load, and the CPU time (us) of these processes meanwhile."""
    before = [read_cpu(pid) for pid in pids]
    done = load()
    return done, sum(spent(each, read_cpu(pid)).microseconds for pid, each in zip(pids, before, strict=True))


def figures_of(title: str, taken: Taken[tuple[Load, float]], one: str, cluster: str) -> Iterator[Figure]:
    """Medians of the turns; a ratio pairs those of one turn."""
    service = {
        name: [watch.cpu.microseconds / load.requests for (load, _), watch in turns] for name, turns in taken.items()
    }
    store = {name: [cpu_us / load.requests for (load, cpu_us), _ in turns] for name, turns in taken.items()}
    both = {name: list(map(sum, zip(service[name], store[name], strict=True))) for name in taken}
    note = company(max(watch.others for turns in taken.values() for _, watch in turns))
    yield noted(Figure(f"{title}: service, times one Redis", ratio(service, cluster, one), "", AT_MOST), note)
    yield Figure(f"{title}: service and Redis, times one Redis", ratio(both, cluster, one), "")
    yield Figure(f"{title}: CPU of one Redis per request", statistics.median(store[one]), "us")
    yield Figure(f"{title}: CPU of {MASTERS} masters per request", statistics.median(store[cluster]), "us")


def ratio(costs: dict[str, list[float]], one: str, other: str) -> float:
    return statistics.median(a / b for a, b in zip(costs[one], costs[other], strict=True))


@contextmanager
def stores(directory: Path) -> Iterator[dict[str, Store]]:
    """One Redis, and a cluster; both empty, on the core of the load."""
    with running_redis(directory) as port, running_cluster(directory) as ports:
        urls = {"one Redis": f"redis://127.0.0.1:{port}", "a cluster": f"redis+cluster://127.0.0.1:{ports[0]}"}
        pids = {"one Redis": [redis_pid(port)], "a cluster": [redis_pid(each) for each in ports]}
        yield {name: Store(url, pids[name]) for name, url in urls.items()}


@contextmanager
def running_cluster(directory: Path) -> Iterator[list[int]]:
    """A cluster of MASTERS; gives their ports."""
    ports = [free_port() for _ in range(MASTERS)]
    with ExitStack() as stack:
        clients = []
        for number, port in enumerate(ports):
            log = directory / f"master-{number}.log"
            options = ["--cluster-enabled", "yes", "--dir", str(directory)]
            options += ["--cluster-config-file", f"nodes-{number}.conf", "--cluster-port", str(free_port())]
            process = stack.enter_context(started([*redis_command(port), *options], {}, LOAD_CORE, log))
            wait_until(lambda log=log: b"Ready to accept" in log.read_bytes(), process, log)  # type: ignore[misc]
            clients.append(stack.enter_context(closing(redis.Redis(port=port))))
        bounds = [SLOTS * number // MASTERS for number in range(MASTERS + 1)]
        for number, client in enumerate(clients):
            command(client, "CLUSTER ADDSLOTS", *range(bounds[number], bounds[number + 1]))
            command(client, "CLUSTER SET-CONFIG-EPOCH", number + 1)
            bus = clients[0].config_get("cluster-port")["cluster-port"]
            command(client, "CLUSTER MEET", "127.0.0.1", ports[0], bus)
        for client in clients:
            wait_until(lambda client=client: is_whole(client), process, log)  # type: ignore[misc]
        yield ports


def command(client: Any, *words: Any) -> Any:
    """The reply; redis-py has no types for commands of a cluster."""
    return client.execute_command(*words)


def is_whole(client: redis.Redis) -> bool:
    """Whether a node knows all masters, and that all slots are served."""
    told = command(client, "CLUSTER INFO")
    return bool(told["cluster_state"] == "ok" and told["cluster_known_nodes"] == str(MASTERS))
