"""Race small servers under wrk: CPU time per request of each, in turn, the first turn not counted."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.experiments.racing import build, show
from bench.rounds import measure, running_server
from bench.scripts import write_script
from bench.servers import Server
from bench.workloads import Workload, cached_direct

ROUNDS = 5
SECONDS = 1
DEPTH = 16

ONE_BY_ONE = Workload("one-by-one", "64 connections, each waits for its answer", 0.0, cached_direct)


def _pipelined(suffix: str) -> list[bytes]:
    requests = cached_direct(suffix)
    return [b"".join(requests[first : first + DEPTH]) for first in range(0, len(requests) - DEPTH, DEPTH)]


PIPELINED = Workload("pipelined", f"64 connections, {DEPTH} requests in each write", 0.0, _pipelined)


def answering(way: str) -> Server:
    """A server of ``answering.py`` that answers in one of its ways."""
    return Server(way, ("{python}", "-m", "bench.experiments.answering", "{port}", way), ready="/")


def race_servers(title: str, servers: Sequence[Server], workload: Workload) -> None:
    """Print CPU us per request."""
    samples: dict[str, list[float]] = {server.name: [] for server in servers}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="experiment-")))
        fleet = [stack.enter_context(running_server(server, directory)) for server in servers]
        script = write_script(workload, "", directory, 0)
        for number in range(ROUNDS + 1):
            for running in fleet:
                load, watch = measure(running, script, SECONDS)
                if number:
                    samples[running.server.name].append(watch.cpu.microseconds / load.requests)
    print(build())
    show(f"{title} ({workload.title})", samples, "CPU us per request")
