"""``python -m bench``: measures, prints, and keeps the result of a complete run."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import command, scenarios
from bench.peers import PEERS, versions
from bench.processes import prepare
from bench.report.page import peers_table
from bench.report.targets import claimed, of_figure, others, targets_table
from bench.results import DIRECTORY, Outcome, Results, Sample, machine
from bench.rounds import METHOD, Plan, run
from bench.scenarios import SCENARIOS
from bench.servers import SERVICE, Server
from bench.workloads import WORKLOADS

THE_WORKLOADS = "workloads"
ROUNDS_WORTH_KEEPING = 3
EXIT_FAULT = 1


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    workloads = [workload.name for workload in WORKLOADS]
    peers = [peer.name for peer in PEERS]
    named = [THE_WORKLOADS, *(scenario.name for scenario in SCENARIOS)]
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU per request against the floor.")
    parser.add_argument("--scenario", nargs="+", choices=named, metavar="NAME", help=", ".join(named))
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of the workloads, fresh starts (default 3)")
    parser.add_argument("--seconds", type=int, default=2, metavar="S", help="an interval, two a round (default 2)")
    parser.add_argument("--only", nargs="+", choices=workloads, metavar="WORKLOAD", help=", ".join(workloads))
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers, metavar="PEER", help=", ".join(peers))
    parser.add_argument("--quick", action="store_true", help="a first look: one round, no peers; kept only with --out")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the JSON goes (default bench/results/)")
    chosen = parser.parse_args(arguments)
    if chosen.only and not chosen.scenario:
        chosen.scenario = [THE_WORKLOADS]
    chosen.whole = not (chosen.only or chosen.scenario or chosen.quick)
    chosen.scenario = chosen.scenario or named
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 2
        chosen.peers = [] if chosen.peers == peers else chosen.peers
    if chosen.seconds < 2 or chosen.rounds < 1:
        parser.error("at least one round of twice 2 s: below that a CPU tick is more than 0.5 % of the figure")
    return chosen


def servers(chosen: argparse.Namespace) -> list[Server]:
    """The service first, then the peers that this machine can run."""
    found = [SERVICE]
    for peer in PEERS:
        if peer.name in chosen.peers:
            reason = peer.left_out()
            if reason is None:
                found.append(peer)
            else:
                print(f"{peer.name}: left out: {reason}")
    return found


def tell_sample(sample: Sample) -> None:
    rate = sample.requests * 1e6 / sample.duration_us
    where = f"round {sample.round + 1}  {sample.workload:15} {sample.server:15}"
    print(
        f"{where} {sample.cpu_per_request:7.2f} us/request"
        f" {rate:9,.0f} req/s  busy {sample.busy:4.0%}  others {sample.others:4.0%}  {sample.cpu_source}",
        flush=True,
    )


def tell_outcome(outcome: Outcome) -> None:
    print(f"\n{outcome.scenario} ({outcome.seconds:.0f} s)")
    for figure in outcome.figures:
        limit = "".join(f" ({target.wanted})" for target in of_figure("", figure))
        note = f"  -- {figure.note}" if figure.note else ""
        print(f"  {figure.name}: {figure.value:.4g} {figure.unit}{limit}{note}")
    if outcome.fault:
        print(f"  FAILED: {outcome.fault}")
    sys.stdout.flush()


def place(chosen: argparse.Namespace, taken: str) -> Path | None:
    """Where to keep the result: only a whole one may become the newest that the report finds."""
    if chosen.out:
        return Path(chosen.out)
    whole = chosen.whole and chosen.rounds >= ROUNDS_WORTH_KEEPING
    return DIRECTORY / f"{taken.replace(':', '')}.json" if whole else None


def benchmark(chosen: argparse.Namespace) -> list[str]:
    """Measure what was chosen; returns what failed, in sentences."""
    prepare()
    faults: list[str] = []

    def fail(fault: str) -> None:
        print(f"FAILED: {fault}", flush=True)
        faults.append(fault)

    taken = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fleet = servers(chosen)
    samples: list[Sample] = []
    if THE_WORKLOADS in chosen.scenario:
        wanted = [workload for workload in WORKLOADS if not chosen.only or workload.name in chosen.only]
        samples = run(Plan(fleet, wanted, chosen.rounds, chosen.seconds), tell_sample, fail)
    asked = [scenario for scenario in SCENARIOS if scenario.name in chosen.scenario]
    outcomes = scenarios.run(asked, fleet[0], chosen.quick, tell_outcome)
    faults += [f"{outcome.scenario}: {outcome.fault}" for outcome in outcomes if outcome.fault]
    method = f"{chosen.rounds} rounds of twice {chosen.seconds} s. {METHOD}"
    facts = {**machine(), **versions(fleet)}
    results = Results(taken, chosen.rounds, chosen.seconds, method, facts, samples, outcomes, faults)
    print(f"\n{peers_table(results)}\n\n{targets_table([*claimed(results), *others(results)])}")
    path = place(chosen, taken)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        results.write(path)
        print(f"kept in {path}")
    return faults


def main() -> int:
    """The exit status of the whole command."""
    faults = benchmark(parse_arguments())
    for sentence in faults:
        print(f"bench: {sentence}", file=sys.stderr)
    return EXIT_FAULT if faults else 0


if __name__ == "__main__":
    sys.exit(command("bench", main, EXIT_FAULT))
