"""PERF.md from a result: ``python -m bench.report [RESULT.json]`` (the newest by default).

The page is a pure function of the JSON.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import BenchError
from bench.results import FLOOR_NAME, Extra, Results, Summary, newest, read, summarize
from bench.servers import SERVICE
from bench.workloads import WORKLOADS, Workload

OUTPUT = Path(__file__).parent.parent / "PERF.md"
QUIET = 0.05  # of the interval; more for others on the server's core inflates microseconds through shared caches
BUSY = 0.95  # of the interval; below that the server was waiting for the generator


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every column but the first is aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def floor_table(pairs: Sequence[tuple[Workload, Summary]]) -> str:
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
        for workload, summary in pairs
    ]
    return table(head, rows)


def peers_table(results: Results) -> str:
    """CPU us per request of everybody, with the times of the floor; empty when there were no peers."""
    peers = sorted({sample.server for sample in results.samples} - {FLOOR_NAME, SERVICE.name})
    if not peers:
        return ""
    rows = []
    for workload in WORKLOADS:
        found = [summarize(results.samples, workload.name, name) for name in (SERVICE.name, *peers)]
        cells = ["" if one is None else f"{one.cpu_per_request:.1f} ({one.ratio:.2f})" for one in found]
        rows.append([workload.name, *cells])
    return (
        "\n## Beside others, in the same run\n\nCPU us per request (times the floor).\n\n"
        + table(["workload", SERVICE.name, *peers], rows)
        + "\n"
    )


def extras_table(extras: Sequence[Extra]) -> str:
    if not extras:
        return ""
    rows = []
    for extra in extras:
        limit, verdict = "", ""
        if extra.at_most is not None:
            limit = f"{extra.at_most:g} {extra.unit}"
            verdict = "reached" if extra.value <= extra.at_most else "missed"
        rows.append((extra.name, f"{extra.value:.3g} {extra.unit}".strip(), limit, verdict))
    return "\n## Beside the rates\n\n" + table(("figure", "measured", "at most", ""), rows) + "\n"


def render(results: Results, source: str) -> str:
    """The whole page."""
    pairs = []
    for workload in WORKLOADS:
        summary = summarize(results.samples, workload.name, SERVICE.name)
        if summary is not None:
            pairs.append((workload, summary))
    left_out = [workload.name for workload in WORKLOADS if workload not in [pair[0] for pair in pairs]]
    missing = f"\nNot measured in this run: {', '.join(left_out)}.\n" if left_out else ""
    readings = "\n".join(reading(workload, summary) for workload, summary in pairs)
    facts = table(("", ""), results.machine.items())
    return f"""# Performance

Generated by `make perf` from `bench/results/{source}`, taken {results.taken}. Do not edit.

## Against the floor

{floor_table(pairs)}
{missing}
CPU time per request of the whole process tree, medians of {results.rounds} rounds of {results.seconds} s;
the ratio is taken within each round (lowest..highest in parentheses). Only the ratios are claims:
microseconds change with the machine and the hour. Rates and latencies are what one `wrk` thread saw in a
closed loop that saturates server or generator: the latency is that of its own queue.
"load-bound": the server had idle time, so it could have served more.
"crowded": somebody else had that time.
{company(results)}
{readings}
{peers_table(results)}{extras_table(results.extras)}
## Machine

{facts}

## Method

{results.method}

## Again

`make bench` measures (about {minutes(results)} minutes, two cores, `redis-server`, `wrk` and `taskset`)
and keeps the result under `bench/results/`; `make perf` renders this page from the newest one.
`python -m bench --quick` is one short round.
"""


def company(results: Results) -> str:
    """A warning when the server's core was not the server's alone."""
    shares = [sample.others for sample in results.samples]
    crowded = sum(share > QUIET for share in shares)
    if not crowded:
        return ""
    return (
        f"\n**The machine was not quiet**: in {crowded} of {len(shares)} measurements other work had more "
        f"than {QUIET:.0%} of the server's core (at most {max(shares):.0%}).\n"
    )


def minutes(results: Results) -> int:
    """How long such a run takes: each sample has its interval and about 3 s of warm-up and start."""
    return max(1, round(len(results.samples) * (results.seconds + 3) / 60))


def main() -> int:
    try:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
        OUTPUT.write_text(render(read(path), path.name))
    except (BenchError, OSError) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    print(f"PERF.md written from {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
