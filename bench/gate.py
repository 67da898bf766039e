"""``python -m bench.gate``: fails if a request costs more than before; ``make bench-gate``.

The service and the floor by turns, a second each, over fresh processes; the median of the ratios against
``bench/baseline.json`` (by kind of machine), or with ``--against DIRECTORY`` against another checkout that is
measured in the same run, which needs no baseline. ``--burn 0.15`` measures a service that takes 15 % more CPU time and
must fail. Exit status: 0 as before, 1 more expensive, 2 not judged.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
    machine_key,
    middle,
    quieter_half,
    read_baseline,
    write_baseline,
)
from bench.processes import prepare
from bench.results import machine
from bench.rounds import Running, measure, running_floor, seeded, serial_blocks, warm
from bench.scripts import write_script
from bench.servers import SERVICE, Server, altered
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
    """``other``: a checkout to compare with; None: ``reference`` is the baseline's."""

    candidate: Server
    workloads: Sequence[Workload]
    reference: Mapping[str, float]
    other: Server | None = None
    measure: Measure = ratios_of

    def run(self) -> list[Verdict]:
        """Measure; a workload that seems more expensive is measured again, and judged by all samples."""
        first = self._measure(self.workloads, FIRST)
        suspects = [verdict.workload for verdict in self._judge(first) if verdict.suspect]
        if not suspects:
            return self._judge(first)
        print(f"again, longer: {', '.join(suspects)}", flush=True)
        again = self._measure([workload for workload in self.workloads if workload.name in suspects], AGAIN)
        return self._judge(joined(first, again))

    def _measure(self, workloads: Sequence[Workload], effort: Effort) -> Ratios:
        """In times of the floor's, or of the other's where there is one."""
        if self.other is None:
            return self.measure([self.candidate], workloads, effort)[self.candidate.name]
        found = self.measure([self.candidate, self.other], workloads, effort)
        return against(found[self.candidate.name], found[self.other.name])

    def _judge(self, ratios: Ratios) -> list[Verdict]:
        return judge(ratios, dict.fromkeys(ratios, 1.0) if self.other else self.reference)


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
        print(
            f"{one.workload:15} {middle(one.pairs):6.2f} ({spread}), was {one.reference:.2f}: {one.change:+.1%} {word}",
            flush=True,
        )


def burned(share: float | None) -> Server:
    """The service as it is, or taking this share more CPU time."""
    return altered(SERVICE, "--burn", str(share)) if share else SERVICE


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description="Fail where a request costs more.")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WORKLOAD", help=", ".join(names))
    parser.add_argument("--burn", type=float, metavar="SHARE", help="measure a service that takes so much more CPU")
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="compare with another checkout in this run")
    parser.add_argument("--write", action="store_true", help="measure at length and keep it as this machine's baseline")
    return parser.parse_args(arguments)


def keep_baseline(candidate: Server, workloads: Sequence[Workload], key: str, now: str) -> None:
    ratios = ratios_of([candidate], workloads, AGAIN)[candidate.name]
    write_baseline(key, now, ratios)
    show(judge(ratios, read_baseline(key)))


def run() -> int:
    """The exit status of the whole command."""
    chosen = parse_arguments()
    prepare()
    workloads = [workload for workload in WORKLOADS if workload.name in chosen.only]
    key, now = machine_key(machine()), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    candidate = burned(chosen.burn)
    if chosen.write:
        keep_baseline(candidate, workloads, key, now)
        return 0
    other = checkout(chosen.against) if chosen.against else None
    gate = Gate(candidate, workloads, {} if other else read_baseline(key), other)
    verdicts = gate.run()
    show(verdicts)
    return EXIT_DEARER if any(one.regressed for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(command("bench gate: NOT JUDGED", run, EXIT_NOT_JUDGED))
