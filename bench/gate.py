"""``python -m bench.gate``: fails if a request costs more than in another checkout; ``make bench-gate``.

This service and that of ``--against DIRECTORY`` by turns, a second each, over fresh processes. What is judged is the
median of many ratios, each of two slices next to each other: a clock that slows down bends both alike. A neighbour on
the server's core does not (its share of caches and wake-ups is another in each), but he is seen: of the pairs that
half decides in which others had the least of the core. A workload over half the TOLERANCE is measured again, longer,
before anything is decided: noise seldom strikes twice, and a regression that a first look takes for less shows itself
in the second. Exit status: 0 as before, 1 more expensive, 2 not judged.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import starmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import BenchError, command
from bench.load import Load
from bench.processes import prepare
from bench.rounds import Running, Watch, measure, seeded, serial_blocks, warm
from bench.scripts import write_script
from bench.servers import SERVICE, Server
from bench.setting import by_turns, costs
from bench.workloads import WORKLOADS, Workload

TOLERANCE = 0.08  # about half of the 15 % that must be seen, so that as much noise is allowed either way
SECONDS = 1  # of a slice: the shorter, the nearer the two of a pair; wrk knows whole seconds
EXIT_DEARER, EXIT_NOT_JUDGED = 1, 2


class Effort(NamedTuple):
    """``starts`` of fresh processes, for a process may have luck with its memory, and ``pairs`` of slices in each."""

    starts: int
    pairs: int


FIRST = Effort(starts=2, pairs=5)
AGAIN = Effort(starts=3, pairs=7)


class Pair(NamedTuple):
    """CPU per request in times the other checkout's, and the share that others had of the server's core meanwhile."""

    ratio: float
    others: float = 0.0


def quieter_half(pairs: Sequence[Pair]) -> list[float]:
    """The ratios of those with the least company, at least half of them."""
    ranked = sorted(pairs, key=lambda pair: pair.others)
    return [pair.ratio for pair in ranked[: (len(ranked) + 1) // 2]]


@dataclass(frozen=True)
class Verdict:
    """One workload: ``change`` is by how much it is dearer, 0.15 for 15 %."""

    workload: str
    pairs: Sequence[Pair]

    @property
    def change(self) -> float:
        return statistics.median(quieter_half(self.pairs)) - 1

    @property
    def suspect(self) -> bool:
        return self.change > TOLERANCE / 2

    @property
    def regressed(self) -> bool:
        return self.change > TOLERANCE


Pairs = Mapping[str, Sequence[Pair]]  # by workload
Measure = Callable[[Sequence[Workload], Effort], Pairs]


def judge(workloads: Sequence[Workload], take: Measure) -> list[Verdict]:
    """Measure; a workload that seems more expensive is measured again, and judged by all pairs."""
    first = take(workloads, FIRST)
    suspects = [verdict.workload for verdict in starmap(Verdict, first.items()) if verdict.suspect]
    if not suspects:
        return list(starmap(Verdict, first.items()))
    print(f"again, longer: {', '.join(suspects)}", flush=True)
    again = take([workload for workload in workloads if workload.name in suspects], AGAIN)
    return [Verdict(name, [*pairs, *again.get(name, ())]) for name, pairs in first.items()]


def pairs_of(servers: Sequence[Server], workloads: Sequence[Workload], effort: Effort) -> Pairs:
    """The pairs of two servers, the first one's cost over the other's."""
    found: dict[str, list[Pair]] = {workload.name: [] for workload in workloads}
    serials = serial_blocks()
    for _ in range(effort.starts):
        with TemporaryDirectory(prefix="bench-") as scratch, seeded(servers, Path(scratch)) as (fleet, _):
            for workload in workloads:
                found[workload.name] += slices(fleet, workload, effort.pairs, Path(scratch), serials)
    return found


def slices(
    fleet: Sequence[Running], workload: Workload, pairs: int, directory: Path, serials: Iterator[int]
) -> Iterable[Pair]:
    """So many pairs of slices under one workload."""

    def load(running: Running) -> tuple[Load, Watch]:
        return measure(running, write_script(workload, running.suffix, directory, next(serials)), SECONDS)

    for running in fleet:
        warm(running, write_script(workload, running.suffix, directory, next(serials)), SECONDS)
    taken = by_turns(fleet, pairs, load)
    ratios = (own / other for own, other in zip(*(costs(taken, name) for name in taken), strict=True))
    crowds = (max(own.others, other.others) for (_, own), (_, other) in zip(*taken.values(), strict=True))
    return map(Pair, ratios, crowds)


def checkout(directory: Path) -> Server:
    """The service of another work tree, with this one's interpreter and packages. -P keeps ours off the path."""
    if not (directory / "arsenal_fast").is_dir():
        raise BenchError(f"{directory} is no checkout of the service.")
    environment = {**SERVICE.environment, "PYTHONPATH": str(directory.resolve())}
    command = ("{python}", "-P", "-m", "arsenal_fast", "serve")
    return replace(SERVICE, name="the other checkout", command=command, environment=environment)


def show(verdicts: Sequence[Verdict]) -> None:
    for one in verdicts:
        word = "DEARER" if one.regressed else "ok"
        used = quieter_half(one.pairs)
        spread = f"{min(used):.2f}..{max(used):.2f}, the quieter {len(used)} of {len(one.pairs)} pairs"
        print(f"{one.workload:15} {one.change:+.1%} ({spread}) {word}", flush=True)


def run() -> int:
    """The exit status of the whole command."""
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description="Fail where a request costs more.")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WORKLOAD", help=", ".join(names))
    parser.add_argument("--against", type=Path, required=True, metavar="DIRECTORY", help="the checkout to compare with")
    chosen = parser.parse_args()
    prepare()
    workloads = [workload for workload in WORKLOADS if workload.name in chosen.only]
    verdicts = judge(workloads, partial(pairs_of, (SERVICE, checkout(chosen.against))))
    show(verdicts)
    return EXIT_DEARER if any(one.regressed for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(command("bench gate: NOT JUDGED", run, EXIT_NOT_JUDGED))
