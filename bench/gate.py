"""``python -m bench.gate``: fail where a request costs more than it did; ``make bench-gate``.

The service and the floor by turns, a second each, over fresh processes; the median of the ratios against
``bench/baseline.json`` (by kind of machine), or with ``--against DIRECTORY`` against another checkout that is
measured in the same run, which needs no baseline. ``--prove N`` shows that noise does not trip it and
a regression does. Exit status: 0 as before, 1 dearer, 2 not judged.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import BenchError
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
from bench.load import exchange, seed
from bench.processes import prepare
from bench.proof import Proof, Trial
from bench.results import machine
from bench.rounds import Running, measure, running_floor, running_redis, running_server, serial_blocks, warm
from bench.scripts import write_script
from bench.servers import SERVICE, Server, altered
from bench.workloads import WORKLOADS, Workload

BURN = 0.15  # the regression that must be seen
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
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        redis_port = stack.enter_context(running_redis(directory))
        fleet = []
        for database, server in enumerate(servers):
            words = {"redis_port": redis_port, "redis_db": database}
            running = stack.enter_context(running_server(server, directory, **words))
            fleet.append(replace(running, suffix=seed(running.port)))
        for workload in workloads:
            service = fleet[0]
            answer = exchange(service.port, workload.sample(service.suffix, next(serials)))
            with running_floor(answer, directory) as floor:
                for running in fleet:
                    warm(running, write_script(workload, running.suffix, directory, next(serials)), SECONDS)
                for _ in range(pairs):
                    costs = slices([replace(floor, suffix=service.suffix), *fleet], workload, directory, serials)
                    yield from (
                        (one.server.name, workload.name, paired(costs[one.port], costs[floor.port])) for one in fleet
                    )


class Slice(NamedTuple):
    """CPU us per request, and the share that others had of the server's core."""

    cost: float
    others: float


def paired(own: Slice, floor: Slice) -> Pair:
    return Pair(own.cost / floor.cost, max(own.others, floor.others))


def slices(
    runnings: Sequence[Running], workload: Workload, directory: Path, serials: Iterator[int]
) -> dict[int, Slice]:
    """By port, each server once, in an order by chance, so that none always follows another."""
    costs = {}
    for running in random.sample(runnings, len(runnings)):
        script = write_script(workload, running.suffix, directory, next(serials))
        load, watch = measure(running, script, SECONDS)
        costs[running.port] = Slice(watch.cpu.microseconds / load.requests, watch.others)
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
        """Measure; what looks dearer is measured again, and judged by all of it."""
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


def prove(gate: Gate, times: int) -> list[Trial]:
    """Run the gate so often as it is, and as often with the regression, by turns."""
    trials = []
    for _ in range(times):
        for share in (0.0, BURN):
            verdicts = replace(gate, candidate=burned(share)).run()
            show(verdicts)
            changes = {one.workload: round(one.change, 4) for one in verdicts}
            trials.append(Trial(share, any(one.regressed for one in verdicts), changes))
            word = "failed" if trials[-1].failed else "passed"
            print(f"trial {len(trials)}: {share:.0%} more burned, the gate {word}\n", flush=True)
    return trials


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description="Fail where a request costs more.")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WORKLOAD", help=", ".join(names))
    parser.add_argument("--burn", type=float, metavar="SHARE", help="measure a service that takes so much more CPU")
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="compare with another checkout in this run")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--write", action="store_true", help="measure at length and keep it as this machine's baseline")
    ways.add_argument("--prove", type=int, metavar="N", help=f"N clean runs and N with {BURN:.0%} burned; kept")
    return parser.parse_args(arguments)


def keep_baseline(candidate: Server, workloads: Sequence[Workload], key: str, now: str) -> None:
    ratios = ratios_of([candidate], workloads, AGAIN)[candidate.name]
    write_baseline(key, now, ratios)
    show(judge(ratios, read_baseline(key)))


def keep_proof(gate: Gate, times: int, key: str, now: str) -> None:
    reference = "another checkout in the same run" if gate.other else "the baseline"
    workloads = [workload.name for workload in gate.workloads]
    proof = Proof(now, key, reference, workloads, BURN, prove(gate, times))
    proof.write()
    print(proof.sentence)


def run(chosen: argparse.Namespace) -> int:
    prepare()
    workloads = [workload for workload in WORKLOADS if workload.name in chosen.only]
    key, now = machine_key(machine()), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    candidate = burned(chosen.burn)
    if chosen.write:
        keep_baseline(candidate, workloads, key, now)
        return 0
    other = checkout(chosen.against) if chosen.against else None
    gate = Gate(candidate, workloads, {} if other else read_baseline(key), other)
    if chosen.prove:
        keep_proof(gate, chosen.prove, key, now)
        return 0
    verdicts = gate.run()
    show(verdicts)
    return EXIT_DEARER if any(one.regressed for one in verdicts) else 0


def main() -> int:
    try:
        return run(parse_arguments())
    except BenchError as fault:
        print(f"bench gate: NOT JUDGED: {fault}", file=sys.stderr)
        return EXIT_NOT_JUDGED


if __name__ == "__main__":
    sys.exit(main())
