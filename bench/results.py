"""Results of a run: samples, medians, and the JSON file with machine and method.

Of the workloads only samples are kept; medians and ratios are computed from them at each reading, by one
function. A ratio pairs a server with the floor of the same round and workload. A scenario gives an ``Outcome``:
figures, each with its target, and series for the plots.
"""

import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import BenchError

FORMAT = 2
DIRECTORY = Path(__file__).parent / "results"
FLOOR_NAME = "floor"
QUIET = 0.05  # of an interval; more for others on the server's core inflates microseconds through shared caches


@dataclass(frozen=True)
class Sample:
    """One server under one workload in one round. Times in microseconds."""

    round: int
    workload: str
    server: str
    requests: int
    duration_us: int
    cpu_us: int
    cpu_source: str
    p50_us: int
    p99_us: int
    others: float  # share of the interval in which other processes used the server's core

    @property
    def cpu_per_request(self) -> float:
        return self.cpu_us / self.requests

    @property
    def busy(self) -> float:
        """Share of the interval in which the server had the CPU; well under 1 the generator was the limit."""
        return self.cpu_us / self.duration_us


@dataclass(frozen=True)
class Figure:
    """One figure of a scenario.

    ``at_most`` or ``at_least`` is its target, None where there is none; ``note`` what a reader must know to judge it.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    note: str = ""
    at_least: float | None = None


@dataclass(frozen=True)
class Series:
    """A line of a plot: ``points`` are (x, y), in the units that the scenario's plot names."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Outcome:
    """What a scenario found in its ``seconds``. ``fault`` is why it found nothing; None when all went well."""

    scenario: str
    figures: Sequence[Figure] = ()
    series: Sequence[Series] = ()
    fault: str | None = None
    seconds: float = 0.0

    def value(self, name: str) -> float:
        """Raises BenchError when there is no figure of that name."""
        for figure in self.figures:
            if figure.name == name:
                return figure.value
        raise BenchError(f"The scenario {self.scenario} has no figure {name!r}.")


@dataclass(frozen=True)
class Summary:
    """One server under one workload over all rounds: medians, and the ratios to the floor in rising order."""

    workload: str
    server: str
    cpu_per_request: float
    floor_per_request: float
    ratios: tuple[float, ...]
    requests_per_second: float
    p50_us: float
    p99_us: float
    busy: float
    others: float  # the worst of its measurements, the floor's included

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


@dataclass(frozen=True)
class Results:
    """A whole run."""

    taken: str  # RFC 3339, UTC
    rounds: int
    seconds: int
    method: str
    machine: Mapping[str, str]
    samples: Sequence[Sample]
    outcomes: Sequence[Outcome] = ()
    faults: Sequence[str] = ()  # requested measurements that gave no figure

    def outcome(self, scenario: str) -> Outcome | None:
        """None if the scenario was not requested."""
        return next((outcome for outcome in self.outcomes if outcome.scenario == scenario), None)

    def write(self, path: Path) -> None:
        """Appears whole or not at all."""
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")
        draft.replace(path)


def read(path: Path) -> Results:
    """Raises BenchError when the file is of another format."""
    document = json.loads(path.read_text())
    if document.pop("format", None) != FORMAT:
        raise BenchError(f"{path.name} is not of format {FORMAT}.")
    document["samples"] = [Sample(**sample) for sample in document["samples"]]
    document["outcomes"] = [_outcome(**outcome) for outcome in document["outcomes"]]
    return Results(**document)


def _outcome(figures: Sequence[Any], series: Sequence[Any], **others: Any) -> Outcome:
    lines = [Series(line["name"], [(x, y) for x, y in line["points"]]) for line in series]
    return Outcome(figures=[Figure(**figure) for figure in figures], series=lines, **others)


def newest(directory: Path = DIRECTORY) -> Path:
    """The last kept result: a name is the time at which it was taken. Raises BenchError when there is none."""
    found = sorted(directory.glob("*.json"))
    if not found:
        raise BenchError("No results yet: run `make bench` first.")
    return found[-1]


def newest_elsewhere(cpu: str, directory: Path = DIRECTORY) -> Path | None:
    """The last kept result of a machine with another processor; None where there is none."""
    found = sorted(directory.glob("*.json"), reverse=True)
    return next((path for path in found if json.loads(path.read_text())["machine"]["CPU"] != cpu), None)


def summarize(samples: Iterable[Sample], workload: str, server: str) -> Summary | None:
    """None when the server did not run the workload beside a floor."""
    rows = [sample for sample in samples if sample.workload == workload]
    floors = {sample.round: sample for sample in rows if sample.server == FLOOR_NAME}
    own = [sample for sample in rows if sample.server == server and sample.round in floors]
    if not own:
        return None
    median = statistics.median
    return Summary(
        workload=workload,
        server=server,
        cpu_per_request=median(sample.cpu_per_request for sample in own),
        floor_per_request=median(sample.cpu_per_request for sample in floors.values()),
        ratios=tuple(sorted(s.cpu_per_request / floors[s.round].cpu_per_request for s in own)),
        requests_per_second=median(sample.requests * 1e6 / sample.duration_us for sample in own),
        p50_us=median(sample.p50_us for sample in own),
        p99_us=median(sample.p99_us for sample in own),
        busy=median(sample.busy for sample in own),
        others=max(sample.others for sample in (*own, *floors.values())),
    )


def first_match(pattern: str, text: str) -> str:
    """The pattern's group, or "unknown"."""
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else "unknown"


def said_by(*command: str) -> str:
    """What a program prints, on either stream."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout + done.stderr


def machine() -> dict[str, str]:
    """The environment, for comparisons; without names of the host or of persons."""
    number = r"(\d+(?:\.\d+)+)"
    return {
        "CPU": first_match(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text()),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {first_match('^' + number, platform.release())}",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("uvloop", "hiredis", "orjson")},
        "Redis": first_match(r"v=" + number, said_by("redis-server", "--version")),
        "wrk": first_match(number, said_by("wrk", "-v")),
    }
