"""What a scenario is given: the server to measure, a place to work in, and the parts that most of them start."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from bench.load import exchange, seed
from bench.results import QUIET, Figure, Series
from bench.rounds import Running, running_floor, running_redis, running_server, serial_blocks
from bench.servers import Server
from bench.workloads import Workload

MEBIBYTE = 1024 * 1024

T = TypeVar("T")


class Findings(NamedTuple):
    """What a scenario gives."""

    figures: Sequence[Figure]
    series: Sequence[Series] = ()


class Stand(NamedTuple):
    """A seeded server with a Redis of its own, and a floor that repeats its answer."""

    server: Running
    floor: Running
    redis_port: int


@dataclass(frozen=True)
class Setting:
    """``directory`` is deleted after the scenario; ``quick`` asks for a first look in seconds."""

    server: Server
    directory: Path
    quick: bool = False
    serials: Iterator[int] = field(default_factory=serial_blocks)

    def length(self, whole: T, quick: T) -> T:
        return quick if self.quick else whole


@contextmanager
def stand(setting: Setting, server: Server, workload: Workload) -> Iterator[Stand]:
    """Start what a comparison with the floor needs; the floor gives the server's answer to ``workload``."""
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_redis(setting.directory))
        running = stack.enter_context(running_server(server, setting.directory, redis_port=redis_port, redis_db=0))
        running = replace(running, suffix=seed(running.port))
        answer = exchange(running.port, workload.sample(running.suffix, next(setting.serials)))
        yield Stand(running, stack.enter_context(running_floor(answer, setting.directory)), redis_port)


def company(others: float) -> str:
    """A note for a figure that was taken while somebody else had the server's core too; else empty."""
    return f"others had up to {others:.0%} of the server's core" if others > QUIET else ""


def noted(figure: Figure, *notes: str) -> Figure:
    return replace(figure, note="; ".join(note for note in (figure.note, *notes) if note))
