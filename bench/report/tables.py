"""What the workloads say: against the floor, and beside others."""

import statistics
from collections.abc import Sequence

from bench.report.markdown import table
from bench.results import FLOOR_NAME, QUIET, Results, Summary, summarize
from bench.servers import SERVICE
from bench.workloads import WORKLOADS, Workload

BUSY = 0.95  # of the interval; below that the server was waiting for the generator


def spread(summary: Summary) -> str:
    return f"{summary.ratio:.2f} ({summary.ratios[0]:.2f}..{summary.ratios[-1]:.2f})"


def load_note(summary: Summary) -> str:
    """Idle time is the generator's limit only where nobody else had the core."""
    if summary.others > QUIET:
        return f"{summary.busy:.0%}, crowded"
    return f"{summary.busy:.0%}" + ("" if summary.busy >= BUSY else ", load-bound")


def reading(workload: Workload, summary: Summary) -> str:
    """One honest sentence: the median decides, the rounds on the other side are named."""
    off = abs(summary.ratio - workload.target)
    reached = summary.ratio <= workload.target
    worst, best = summary.ratios[-1], summary.ratios[0]
    if reached:
        doubt = f"; but the worst round had {worst:.2f}" if worst > workload.target else " in every round"
        verdict = f"**reached**, by {off:.2f}{doubt}"
    else:
        doubt = f"; the best round had {best:.2f}" if best <= workload.target else ""
        verdict = f"**missed** by {off:.2f} ({off / workload.target:.0%}){doubt}"
    per = f"{summary.cpu_per_request:.1f} us against {summary.floor_per_request:.1f} us"
    company = f"; others had up to {summary.others:.0%} of the core" if summary.others > QUIET else ""
    times = f"{summary.ratio:.2f} times the floor ({per})"
    return f"- {workload.name}: {times}, target {workload.target}: {verdict}{company}."


def floor_table(measured: Sequence[tuple[Workload, Summary]]) -> str:
    head = (
        "workload",
        "floor us",
        "service us",
        "times the floor",
        "at most",
        "req/s seen",
        "server busy",
        "p50 ms",
        "p99 ms",
    )
    rows = [
        (
            f"{workload.name}: {workload.title}",
            f"{summary.floor_per_request:.2f}",
            f"{summary.cpu_per_request:.2f}",
            spread(summary),
            f"{workload.target}",
            f"{summary.requests_per_second:,.0f}",
            load_note(summary),
            f"{summary.p50_us / 1000:.2f}",
            f"{summary.p99_us / 1000:.2f}",
        )
        for workload, summary in measured
    ]
    return table(head, rows)


def peers_table(results: Results) -> str:
    """CPU us per request of everybody, with the times of the floor; empty when there were no peers."""
    peers = list(dict.fromkeys(sample.server for sample in results.samples))
    peers = sorted(name for name in peers if name not in (FLOOR_NAME, SERVICE.name))
    if not peers:
        return ""
    rows = []
    for workload in WORKLOADS:
        found = [summarize(results.samples, workload.name, name) for name in (SERVICE.name, *peers)]
        cells = ["" if one is None else f"{one.cpu_per_request:.1f} ({one.ratio:.2f})" for one in found]
        rows.append([workload.name, *cells])
    return table(["workload", SERVICE.name, *peers], rows)


def against_peers(results: Results) -> str:
    """A sentence for each target against a peer that was measured: ratios within each round, the median decides."""
    lines = []
    for workload in WORKLOADS:
        for peer, target in workload.against.items():
            ratios = ratios_within_rounds(results, workload.name, peer)
            if ratios:
                ratio = statistics.median(ratios)
                verdict = "**reached**" if ratio <= target else f"**missed** ({ratio / target - 1:+.0%})"
                times = f"{ratio:.3f} of the CPU time of {peer} ({ratios[0]:.3f}..{ratios[-1]:.3f})"
                lines.append(f"- {workload.name}: {times}, target {target:.3g}: {verdict}.")
    return "\n".join(lines)


def ratios_within_rounds(results: Results, workload: str, peer: str) -> list[float]:
    """CPU per request of the service over that of the peer, round by round, in rising order."""
    rows = [sample for sample in results.samples if sample.workload == workload]
    of_peer = {sample.round: sample.cpu_per_request for sample in rows if sample.server == peer}
    own = [sample for sample in rows if sample.server == SERVICE.name and sample.round in of_peer]
    return sorted(sample.cpu_per_request / of_peer[sample.round] for sample in own)


def pairs(results: Results) -> list[tuple[Workload, Summary]]:
    """The workloads that the service ran beside the floor."""
    found = [(workload, summarize(results.samples, workload.name, SERVICE.name)) for workload in WORKLOADS]
    return [(workload, summary) for workload, summary in found if summary is not None]


def company(results: Results) -> str:
    """A warning when the server's core was not the server's alone."""
    shares = [sample.others for sample in results.samples]
    crowded = sum(share > QUIET for share in shares)
    if not crowded:
        return ""
    return (
        f"**The machine was not quiet**: in {crowded} of {len(shares)} measurements other work had more "
        f"than {QUIET:.0%} of the server's core (at most {max(shares):.0%})."
    )
