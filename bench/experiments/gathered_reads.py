"""Gather what all connections read in a turn of the loop, and handle it together at the turn's end.

The hope was that handling one request after the other keeps the caches warm. The whole server is measured, with Redis
and wrk, under one workload (the argument): the service as it is, and with this connection in the place of its own.
"""

import asyncio
import sys
from collections.abc import Callable

from arsenal_fast.cli import main as serve
from arsenal_fast.server import listener
from arsenal_fast.server.protocol import Connection
from bench.experiments.racing import show
from bench.rounds import Plan, run
from bench.servers import SERVICE, Server
from bench.workloads import WORKLOADS

ROUNDS, SECONDS = 3, 2

GATHERING = Server(
    name="gathering",
    command=("{python}", "-m", "bench.experiments.gathered_reads", "serve"),
    environment=SERVICE.environment,
)

_waiting: list[tuple[Callable[[bytes], None], bytes]] = []


def _handle() -> None:
    waiting = _waiting[:]
    _waiting.clear()
    for receive, data in waiting:
        receive(data)


class Gathering(Connection):
    """Puts off what it is given until every socket that is ready has been read."""

    def data_received(self, data: bytes) -> None:
        if not _waiting:
            asyncio.get_running_loop().call_soon(_handle)
        _waiting.append((super().data_received, data))


def main(workload: str) -> None:
    plan = Plan([SERVICE, GATHERING], [each for each in WORKLOADS if each.name == workload], ROUNDS, SECONDS)
    figures: dict[str, list[float]] = {"floor": [], SERVICE.name: [], GATHERING.name: []}
    for sample in run(plan, lambda sample: None, print):
        figures[sample.server].append(sample.cpu_us / sample.requests)
    show(f"{workload}: the whole server", figures, "CPU us per request")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        listener.Connection = Gathering  # type: ignore[attr-defined]  # it imports the name, we put another in its place
        raise SystemExit(serve(["serve"]))
    main(sys.argv[1] if sys.argv[1:] else "cached-proxy")
