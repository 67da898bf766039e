"""``python -m bench.gate``: fails if a request costs more than before; ``make bench-gate``.

This service, that of another checkout (``--against DIRECTORY``) and the floor by turns, a second each, over fresh
processes; the median of the ratios of the two. Exit status: 0 as before, 1 more expensive, 2 not judged.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import BenchError, command
from bench.judging import (
    Pair,
    Ratios,
    Verdict,
    against,
    joined,
    judge,
    quieter_half,
)
from bench.processes import prepare
from bench.rounds import Running, measure, running_floor, seeded, serial_blocks, warm
from bench.scripts import write_script
from bench.servers import SERVICE, Server
from bench.workloads import WORKLOADS, Workload

SECONDS = 1  # of a slice: the shorter, the nearer a slice and its floor; wrk knows whole seconds
EXIT_DEARER, EXIT_NOT_JUDGED = 1, 2


@dataclass(frozen=True)
class Effort:
    """``starts`` of fresh processes, for a process may have luck with its memory, and ``pairs`` of slices in each."""

    starts: int
    pairs: int


FIRST = Effort(starts=2, pairs=5)
AGAIN = Effort(starts=3, pairs=7)


def ratios_of(servers: Sequence[Server], workloads: Sequence[Workload], effort: Effort) -> Mapping[str, Ratios]:
    """Server -> workload -> ratios to the floor."""
    found: dict[str, dict[str, list[Pair]]] = {server.name: {} for server in servers}
    serials = serial_blocks()
    for _ in range(effort.starts):
        for server, workload, pair in one_start(servers, workloads, effort.pairs, serials):
            found[server].setdefault(workload, []).append(pair)
    return found


def one_start(
    servers: Sequence[Server], workloads: Sequence[Workload], pairs: int, serials: Iterator[int]
) -> Iterator[tuple[str, str, Pair]]:
    with TemporaryDirectory(prefix="bench-") as scratch, seeded(servers, Path(scratch)) as (fleet, _):
        directory = Path(scratch)
        for workload in workloads:
            with running_floor(fleet[0], workload, directory, serials) as floor:
                for running in fleet:
                    warm(running, write_script(workload, running.suffix, directory, next(serials)), SECONDS)
                for _ in range(pairs):
                    costs = slices([floor, *fleet], workload, directory, serials)
                    for one in fleet:
                        yield one.server.name, workload.name, costs[one.port].over(costs[floor.port])


def slices(runnings: Sequence[Running], workload: Workload, directory: Path, serials: Iterator[int]) -> dict[int, Pair]:
    """By port, each server once, in an order by chance, so that none always follows another."""
    costs = {}
    for running in random.sample(runnings, len(runnings)):
        script = write_script(workload, running.suffix, directory, next(serials))
        load, watch = measure(running, script, SECONDS)
        costs[running.port] = Pair(watch.cpu.microseconds / load.requests, watch.others)
    return costs


Measure = Callable[[Sequence[Server], Sequence[Workload], Effort], Mapping[str, Ratios]]


@dataclass(frozen=True)
class Gate:
    """Compares this checkout's service with that of another one."""

    candidate: Server
    other: Server
    workloads: Sequence[Workload]
    measure: Measure = ratios_of

    def run(self) -> list[Verdict]:
        """Measure; a workload that seems more expensive is measured again, and judged by all samples."""
        first = self._measure(self.workloads, FIRST)
        suspects = [verdict.workload for verdict in judge(first) if verdict.suspect]
        if not suspects:
            return judge(first)
        print(f"again, longer: {', '.join(suspects)}", flush=True)
        again = self._measure([workload for workload in self.workloads if workload.name in suspects], AGAIN)
        return judge(joined(first, again))

    def _measure(self, workloads: Sequence[Workload], effort: Effort) -> Ratios:
        found = self.measure([self.candidate, self.other], workloads, effort)
        return against(found[self.candidate.name], found[self.other.name])


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


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description="Fail where a request costs more.")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WORKLOAD", help=", ".join(names))
    parser.add_argument("--against", type=Path, required=True, metavar="DIRECTORY", help="the checkout to compare with")
    return parser.parse_args(arguments)


def run() -> int:
    """The exit status of the whole command."""
    chosen = parse_arguments()
    prepare()
    workloads = [workload for workload in WORKLOADS if workload.name in chosen.only]
    verdicts = Gate(SERVICE, checkout(chosen.against), workloads).run()
    show(verdicts)
    return EXIT_DEARER if any(one.regressed for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(command("bench gate: NOT JUDGED", run, EXIT_NOT_JUDGED))
