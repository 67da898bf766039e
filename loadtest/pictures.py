"""The pictures of the report: rates, latency and CPU over time, and the distribution of latency."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf

import matplotlib as mpl
from matplotlib.axes import Axes

from bench.load import OpenLoad
from bench.processes import spent
from bench.report.plots import STYLE, as_svg, new_canvas
from loadtest.exposition import Interval, Latencies
from loadtest.plan import ROUTES, Plan
from loadtest.run import History, Sample
from loadtest.verdict import Measured

SHORTEST_SECONDS = 0.5  # an interval at an edge that is shorter has too few requests for a rate

Point = tuple[float, float]


def intervals(history: History) -> list[tuple[float, Sample, Sample]]:
    """Neighbouring samples with the middle between them, in seconds since the first."""
    begin = history.samples[0].reading.at
    found = []
    for before, after in pairwise(history.samples):
        start, end = before.reading.at, after.reading.at
        if end - start > SHORTEST_SECONDS:
            found.append(((start + end) / 2 - begin, before, after))
    return found


def cores_over_time(history: History, name: str) -> list[Point]:
    """CPU of a program in cores, from the first sample on that has it."""
    found = []
    for at, before, after in intervals(history):
        if name in before.cpu:
            seconds = after.reading.at - before.reading.at
            found.append((at, spent(before.cpu[name], after.cpu[name]).microseconds / 1e6 / seconds))
    return found


def slower(latencies: Mapping[float, int]) -> list[Point]:
    """(ms, share of requests that took longer), from {seconds: requests that took so long}."""
    total, so_far, found = sum(latencies.values()), 0, []
    for seconds, count in sorted(latencies.items()):
        so_far += count
        if 0 < so_far < total and seconds > 0:
            found.append((seconds * 1000, 1 - so_far / total))
    return found


def slower_than_bounds(latencies: Latencies) -> list[Point]:
    """The same from a histogram: exact at its bounds."""
    total = latencies.count
    return [(bound * 1000, 1 - count / total) for bound, count in latencies.up_to.items() if 0 < count < total]


def slower_than_percentiles(probe: OpenLoad | None) -> list[Point]:
    """The same from the prober's percentiles."""
    found = probe.streams["probes"].items() if probe else ()
    return [(us / 1000, 1 - percent / 100) for percent, us in found if percent < 100]


def draw(axes: Axes, title: str, lines: Mapping[str, Sequence[Point]], limits: Mapping[str, float]) -> None:
    """Lines by name, and dashed horizontal ones for the limits."""
    for name, points in lines.items():
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=name)
    for name, limit in limits.items():
        axes.axhline(limit, color="#b91c1c", linestyle="--", linewidth=1)
        axes.annotate(name, (0.01, limit), xycoords=("axes fraction", "data"), fontsize="small", va="bottom")
    axes.set_title(title)
    axes.legend(fontsize="small")


def render(plan: Plan, run: Measured, history: History) -> str:
    """All four as one SVG element; the seconds that count are shaded."""
    every = [(at, Interval(before.reading, after.reading)) for at, before, after in intervals(history)]
    routes, p99_ms = ROUTES.values(), plan.thresholds.p99 * 1000
    answers = {kind: [(at, one.answers(route) / one.seconds) for at, one in every] for kind, route in ROUTES.items()}
    quantiles = {}
    for share in (0.5, 0.99, 0.999):
        found = [(at, one.latencies(routes).quantile(share) * 1000) for at, one in every]
        quantiles[f"p{share * 100:g}"] = [(at, ms) for at, ms in found if 0 < ms < inf]
    longer = {
        "service": slower_than_bounds(run.interval.latencies(routes)),
        "prober": slower_than_percentiles(run.probe),
        "Locust, its own queue included": slower(run.locust_latencies),
    }
    cores = {name: cores_over_time(history, name) for name in run.cores}
    with mpl.rc_context(STYLE):
        canvas = new_canvas(12, 8)
        (rate, latency), (share_axes, cpu) = canvas.subplots(2, 2)
        draw(rate, "Answers per second, as the service counted them", answers, plan.rates)
        draw(latency, "Latency in the service, ms", quantiles, {f"{p99_ms:g} ms": p99_ms})
        draw(share_axes, "Share of the requests that took longer (ms)", longer, {"p99": 0.01})
        draw(cpu, "CPU, cores", cores, {"the service's share": plan.thresholds.server_cores})
        begin, first, last = (history.samples[at].reading.at for at in (0, history.first, history.last))
        for axes in (rate, latency, cpu):
            axes.axvspan(first - begin, last - begin, alpha=0.1)
            axes.set_xlabel("seconds since the first user")
        for axes in (rate, cpu):
            axes.set_ylim(bottom=0)
        latency.set_yscale("log")
        share_axes.set_xscale("log")
        share_axes.set_yscale("log")
        text = as_svg(canvas)
    return text[text.index("<svg") :]
