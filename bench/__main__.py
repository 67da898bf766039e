"""``python -m bench``: measure, print, and keep the result when it is a whole one."""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import BenchError, extras
from bench.peers import PEERS, versions
from bench.processes import require_tools
from bench.results import DIRECTORY, METHOD, Extra, Results, Sample, machine, summarize
from bench.rounds import Plan, run
from bench.servers import FLOOR, SERVICE, Server
from bench.workloads import WORKLOADS

ROUNDS_WORTH_KEEPING = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    workloads = [workload.name for workload in WORKLOADS]
    peers = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU per request against the floor.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="fresh starts (default 5)")
    parser.add_argument("--seconds", type=int, default=4, metavar="S", help="per measurement, 3 or more (default 4)")
    parser.add_argument("--only", nargs="+", choices=workloads, metavar="WORKLOAD", help=", ".join(workloads))
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers, metavar="PEER", help=", ".join(peers))
    parser.add_argument("--quick", action="store_true", help="one round of 3 s; kept only with --out")
    parser.add_argument("--extras", action="store_true", help="also start-up, idle costs, Redis memory and commands")
    parser.add_argument("--service-command", metavar="COMMAND", help="measure this in the service's place")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the JSON goes (default bench/results/)")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 3
    if chosen.seconds < 3 or chosen.rounds < 1:
        parser.error("at least one round of 3 s: below that a CPU tick is more than 1 % of the figure")
    return chosen


def servers(chosen: argparse.Namespace) -> list[Server]:
    """The service first, then the peers that this machine can run."""
    service = SERVICE
    if chosen.service_command:
        # Braces in the command are its own, not words to fill in.
        words = shlex.split(chosen.service_command.replace("{", "{{").replace("}", "}}"))
        service = replace(SERVICE, command=tuple(words))
    found = [service]
    for peer in PEERS:
        if peer.name in chosen.peers:
            reason = peer.left_out()
            if reason is None:
                found.append(peer)
            else:
                print(f"{peer.name}: left out: {reason}")
    return found


def tell(sample: Sample) -> None:
    rate = sample.requests * 1e6 / sample.duration_us
    where = f"round {sample.round + 1}  {sample.workload:15} {sample.server:15}"
    print(
        f"{where} {sample.cpu_per_request:7.2f} us/request"
        f" {rate:9,.0f} req/s  busy {sample.busy:4.0%}  others {sample.others:4.0%}  {sample.cpu_source}",
        flush=True,
    )


def print_summary(results: Results) -> None:
    names = list(dict.fromkeys(sample.server for sample in results.samples if sample.server != FLOOR.name))
    print(f"\n{'workload':15} {'server':15} {'floor us':>8} {'us':>8}  {'times the floor':20} target")
    for workload in WORKLOADS:
        for name in names:
            one = summarize(results.samples, workload.name, name)
            if one is not None:
                ratios = f"{one.ratio:.2f} ({one.ratios[0]:.2f}..{one.ratios[-1]:.2f})"
                target = f"{workload.target}" if name == SERVICE.name else ""
                figures = f"{one.floor_per_request:8.2f} {one.cpu_per_request:8.2f}"
                print(f"{workload.name:15} {name:15} {figures}  {ratios:20} {target}")
    for extra in results.extras:
        limit = "" if extra.at_most is None else f" (at most {extra.at_most:g})"
        print(f"{extra.name}: {extra.value:.3g} {extra.unit}{limit}")


def place(chosen: argparse.Namespace, taken: str) -> Path | None:
    """Where to keep the result: only a whole one may become the newest that the report finds."""
    if chosen.out:
        return Path(chosen.out)
    whole = not chosen.only and not chosen.service_command and chosen.rounds >= ROUNDS_WORTH_KEEPING
    return DIRECTORY / f"{taken.replace(':', '')}.json" if whole else None


def benchmark(chosen: argparse.Namespace) -> None:
    require_tools()
    wanted = [workload for workload in WORKLOADS if not chosen.only or workload.name in chosen.only]
    taken = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fleet = servers(chosen)
    samples = run(Plan(fleet, wanted, chosen.rounds, chosen.seconds), tell)
    figures: list[Extra] = extras.measure_all(fleet[0]) if chosen.extras else []
    method = METHOD.format(seconds=chosen.seconds, rounds=chosen.rounds)
    results = Results(taken, chosen.rounds, chosen.seconds, method, {**machine(), **versions(fleet)}, samples, figures)
    print_summary(results)
    path = place(chosen, taken)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        results.write(path)
        print(f"kept in {path}")


def terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)  # unwinds, so that every process is stopped


def main() -> int:
    signal.signal(signal.SIGTERM, terminate)
    try:
        benchmark(parse_arguments())
    except BenchError as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
