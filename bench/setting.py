"""The setting of a scenario: the measured server, a directory, and the parts that most scenarios start."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from bench import BenchError
from bench.load import Load
from bench.processes import SERVER_CORE
from bench.results import QUIET, Figure, Series
from bench.rounds import Running, Watch, running_floor, seeded, serial_blocks
from bench.servers import Server
from bench.workloads import Workload

MEBIBYTE = 1024 * 1024
MICRO_SECONDS = 120

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
    """``directory`` is deleted after the scenario; ``quick``: a short measurement of seconds."""

    server: Server
    directory: Path
    quick: bool = False
    serials: Iterator[int] = field(default_factory=serial_blocks)

    def length(self, whole: T, quick: T) -> T:
        return quick if self.quick else whole


@contextmanager
def stand(setting: Setting, server: Server, workload: Workload) -> Iterator[Stand]:
    """Start what a comparison with the floor needs; the floor gives the server's answer to ``workload``."""
    with (
        seeded([server], setting.directory) as ((running,), redis_port),
        running_floor(running, workload, setting.directory, setting.serials) as floor,
    ):
        yield Stand(running, floor, redis_port)


Taken = Mapping[str, Sequence[tuple[T, Watch]]]  # by the server's name, a pair for each turn


def by_turns(fleet: Sequence[Running], turns: int, measure: Callable[[Running], tuple[T, Watch]]) -> Taken[T]:
    """Measure each server in each turn, in an order that is reversed from one turn to the next."""
    taken: dict[str, list[tuple[T, Watch]]] = {running.server.name: [] for running in fleet}
    for turn in range(turns):
        for running in fleet if turn % 2 == 0 else reversed(fleet):
            taken[running.server.name].append(measure(running))
    return taken


def crowd(taken: Taken[T]) -> str:
    """A note where other work had the server's core, in any turn."""
    return company(max(watch.others for turns in taken.values() for _, watch in turns))


def costs(taken: Taken[Load], server: str) -> list[float]:
    """CPU us per request, turn by turn."""
    return [watch.cpu.microseconds / load.requests for load, watch in taken[server]]


def ratio(taken: Taken[Load], one: str, other: str) -> float:
    """CPU per request of one server in times of another's, the median of the turns."""
    return statistics.median(a / b for a, b in zip(costs(taken, one), costs(taken, other), strict=True))


def middle_ms(latencies: Iterable[Mapping[float, int]], percent: float) -> float:
    """The median of a percentile (percent -> us) over several loads."""
    return statistics.median(found[percent] for found in latencies) / 1000


def distribution(name: str, latencies: Sequence[Mapping[float, int]]) -> Series:
    """Percent -> ms, medians."""
    return Series(name, [(percent, middle_ms(latencies, percent)) for percent in latencies[0]])


def company(others: float) -> str:
    """A note for a figure that was taken while other processes used the server's core; otherwise empty."""
    return f"others had up to {others:.0%} of the server's core" if others > QUIET else ""


def noted(figure: Figure, *notes: str) -> Figure:
    return replace(figure, note="; ".join(note for note in (figure.note, *notes) if note))


def timings(setting: Setting, file: str) -> dict[tuple[str, str], float]:
    """(function, case) -> us for a request, the medians of a file of pytest-benchmark's, run on the server's core."""
    path = setting.directory / "timings.json"
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "pytest", str(Path(__file__).parent / file)]
    command += ["--benchmark-only", f"--benchmark-json={path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MICRO_SECONDS)
    if done.returncode:
        raise BenchError(f"The micro-benchmarks failed: {(done.stdout + done.stderr).strip()[-800:]}")
    found = {}
    for row in json.loads(path.read_text())["benchmarks"]:
        function, _, case = row["name"].removeprefix("test_").removesuffix("]").partition("[")
        found[function, case] = row["stats"]["median"] * 1e6 / row["extra_info"].get("requests", 1)
    return found
