"""The report: one HTML file with the verdict, the pictures, and the way to repeat it. It loads nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from math import inf
from pathlib import Path

from bench.processes import spent
from bench.results import machine
from loadtest.exposition import Interval, Latencies
from loadtest.plan import HEADROOM, ROUTES, Plan
from loadtest.run import History
from loadtest.svg import Chart, Line, Point
from loadtest.verdict import Measured, Row, costs, overall

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111827; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #e5e7eb; }
td.figure { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.passed { color: #047857; }
.failed { color: #b91c1c; font-weight: 600; } .load-bound { color: #b45309; font-weight: 600; }
.banner { border-left: .4rem solid; padding: .5rem 1rem; background: #f9fafb; font-size: 1.1rem; }
svg { width: 100%; height: auto; margin: 1rem 0; }
svg .title { font: 600 14px system-ui, sans-serif; } svg .tick { font: 11px system-ui, sans-serif; fill: #4b5563; }
svg .grid { stroke: #e5e7eb; } svg .limit { stroke: #b91c1c; stroke-dasharray: 5 4; }
svg .counted { fill: #eff6ff; } svg .line { fill: none; stroke-width: 1.8; }
"""


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:g}"


def percent(share: float) -> str:
    return f"{share * 100:g}%"


class Times:
    """The samples as intervals, with their middle in seconds since the first look."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.begin = history.samples[0].reading.at

    @property
    def counted(self) -> tuple[float, float]:
        samples, first, last = self.history.samples, self.history.first, self.history.last
        return samples[first].reading.at - self.begin, samples[last].reading.at - self.begin

    def intervals(self) -> Iterator[tuple[float, Interval]]:
        for before, after in pairwise(self.history.samples):
            interval = Interval(before.reading, after.reading)
            if interval.seconds > 0.5:  # a short one at an edge has too few requests for a rate
                yield (before.reading.at + after.reading.at) / 2 - self.begin, interval

    def cores(self, name: str) -> list[Point]:
        found = []
        for before, after in pairwise(self.history.samples):
            seconds = after.reading.at - before.reading.at
            if seconds > 0.5:
                used = spent(before.cpu[name], after.cpu[name]).microseconds / 1e6 / seconds
                found.append(((before.reading.at + after.reading.at) / 2 - self.begin, used))
        return found


def slower(latencies: Mapping[float, int]) -> list[Point]:
    """(seconds, share of requests that took longer), from {seconds: requests that took so long}."""
    total, so_far, found = sum(latencies.values()), 0, []
    for seconds, count in sorted(latencies.items()):
        so_far += count
        if 0 < so_far < total and seconds > 0:
            found.append((seconds, 1 - so_far / total))
    return found


def slower_than_bounds(latencies: Latencies) -> list[Point]:
    """The same from a histogram: exact at its bounds."""
    total = latencies.count
    return [(bound, 1 - count / total) for bound, count in latencies.up_to.items() if bound < inf and 0 < count < total]


def charts(plan: Plan, run: Measured, history: History) -> list[Chart]:
    times = Times(history)
    p99 = plan.thresholds.p99
    every = list(times.intervals())
    answers = [
        Line(kind, [(at, one.answers(route) / one.seconds) for at, one in every]) for kind, route in ROUTES.items()
    ]
    quantiles = []
    for share in (0.5, 0.99, 0.999):
        points = [(at, one.latencies(ROUTES.values()).quantile(share)) for at, one in every]
        quantiles.append(Line(f"p{share * 100:g}", [(at, value) for at, value in points if 0 < value < inf]))
    probes: dict[str, list[Point]] = {kind: [] for kind in ROUTES}
    for probe in history.probes:
        if probe.seconds is not None and probe.due >= times.begin:
            probes[probe.kind].append((probe.due - times.begin, probe.seconds))
    probed = Counter(probe.seconds for probe in run.probes if probe.seconds is not None)
    within = "seconds since the first user"
    bound = (p99, f"{p99 * 1000:g} ms")
    return [
        Chart(
            "Answers per second, as the service counted them",
            within,
            "per second",
            answers,
            [(rate, f"{kind} {rate:,.0f}") for kind, rate in plan.rates.items()],
            times.counted,
            y_labels="{:,.0f}".format,
        ),
        Chart(
            "Latency in the service",
            within,
            "ms",
            quantiles,
            [bound],
            times.counted,
            log_y=True,
            y_labels=milliseconds,
        ),
        Chart(
            "Every probe, from the moment it was due",
            within,
            "ms",
            [Line(kind, points, dots=True) for kind, points in probes.items()],
            [bound],
            times.counted,
            log_y=True,
            y_labels=milliseconds,
        ),
        Chart(
            "Share of the requests that took longer",
            "ms",
            "share",
            [
                Line("service", slower_than_bounds(run.interval.latencies(ROUTES.values()))),
                Line("prober", slower(probed)),
                Line("Locust, whole run, its own queue included", slower(run.locust_latencies)),
            ],
            [(0.01, "p99")],
            log_x=True,
            log_y=True,
            x_labels=milliseconds,
            y_labels=percent,
        ),
        Chart(
            "CPU",
            within,
            "cores",
            [Line(name, times.cores(name)) for name in run.cores],
            [(plan.thresholds.server_cores, "the service's share")],
            times.counted,
        ),
    ]


def table_of(rows: Sequence[Row]) -> str:
    lines = ["<table><tr><th></th><th>measured</th><th>threshold</th><th>verdict</th><th></th></tr>"]
    for row in rows:
        cells = f"<td>{escape(row.what)}</td><td class='figure'>{escape(row.measured)}</td>"
        cells += f"<td class='figure'>{escape(row.threshold)}</td>"
        cells += f"<td class='{row.outcome.word}'>{row.outcome.word}</td><td>{escape(row.note)}</td>"
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</table>"])


def method(plan: Plan) -> str:
    parts = [
        f"{plan.users:,} Locust users, paced to offer {HEADROOM - 1:.0%} more than the rates; 4 % of them are browsers "
        "and 2 % users of a bot, whose requests come on top. "
        f"They come within {plan.ramp_seconds:.0f} s; {plan.seconds:g} s count (shaded). ",
        "The service has its ledger (SQLite), limiter, metrics and time-outs on, and shares core 0 with Redis and the "
        "prober; the generators have core 1. ",
        f"The prober asks {plan.probes:g} times a second at fixed moments, and counts from the moment that was due. ",
    ]
    if plan.wrk_share:
        parts.append(f"wrk offers {plan.wrk_share:.0%} of the mix at a fixed rate over connections of its own. ")
    parts.append("Locust's own latency holds the queue of its one thread, and decides nothing.")
    return "".join(parts)


def render(plan: Plan, run: Measured, history: History, rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The whole page."""
    outcome = overall(rows)
    pictures = "\n".join(chart.render() for chart in charts(plan, run, history))
    told = " · ".join(f"{escape(name)} {escape(value)}" for name, value in facts.items())
    faults = "".join(f"<li>{escape(fault)}</li>" for fault in run.faults)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Load test: {outcome.word}</title><style>{STYLE}</style>
<h1>The guide's mix from {plan.users:,} users</h1>
<p class="banner {outcome.word}">{outcome.word}</p>
{table_of(rows)}
<p>{escape(costs(run))}</p><ul>{faults}</ul>
{pictures}
<h2>How it was measured</h2><p>{escape(method(plan))}</p>
<p>{told}</p>
<p><a href="locust.html">Locust's own report</a></p>
</html>
"""


def write(plan: Plan, run: Measured, history: History, rows: Sequence[Row]) -> Path:
    path = plan.output / "report.html"
    path.write_text(render(plan, run, history, rows, machine()))
    return path
