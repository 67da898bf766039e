"""The pictures of the page, as SVG; the same results give the same octets."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.report.tables import pairs
from bench.results import Outcome, Results, Series, summarize
from bench.servers import SERVICE
from bench.workloads import WORKLOADS

WIDTH, HEIGHT = 8.0, 3.8  # inches
FIXED: dict[Any, object] = {
    "svg.hashsalt": "arsenal_fast",  # else the ids in the file are drawn by chance
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
PERCENTS = (50.0, 90.0, 99.0, 99.9, 99.99)
MEMORY = "memory"  # a series of the scenario "scale" with this word is in MB, the others in times the floor


def draw_all(results: Results, history: Sequence[Results], directory: Path) -> dict[str, str]:
    """Write every picture that the results have data for; returns scenario or topic -> file name."""
    drawn: Mapping[str, Callable[[Canvas], bool]] = {
        "latency": lambda canvas: latency(canvas, results),
        "scale": lambda canvas: scale(canvas, results.outcome("scale")),
        "tail": lambda canvas: tail(canvas, results.outcome("tail")),
        "stages": lambda canvas: stages(canvas, results),
        "history": lambda canvas: ratios(canvas, history),
    }
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    with mpl.rc_context(FIXED):
        for name, draw in drawn.items():
            canvas = Canvas(figsize=(WIDTH, HEIGHT), layout="constrained")
            path = directory / f"{name}.svg"
            if draw(canvas):
                canvas.savefig(path, metadata={"Date": None, "Creator": None})
                written[name] = path.name
            else:
                path.unlink(missing_ok=True)
    return written


def slowness(percent: float) -> float:
    """One request in so many is slower than the percentile: 10 for p90, 1,000 for p99.9."""
    return 1 / (1 - min(percent, 99.999) / 100)


def distribution(axes: Axes, lines: Sequence[Series]) -> None:
    """Latency in ms over percentiles, so far apart as their slow requests are rare."""
    for line in lines:
        points = [(slowness(percent), ms) for percent, ms in line.points if PERCENTS[0] <= percent <= PERCENTS[-1]]
        axes.plot(*zip(*points, strict=True), marker=".", label=line.name)
    axes.set_xscale("log")
    axes.set_xticks([slowness(percent) for percent in PERCENTS], [f"p{percent:g}" for percent in PERCENTS])
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.set_ylabel("latency, ms")
    axes.legend(fontsize="small")


def latency(canvas: Canvas, results: Results) -> bool:
    found = [results.outcome("connections"), results.outcome("offered")]
    lines = [line for outcome in found if outcome is not None for line in outcome.series]
    if lines:
        axes = canvas.subplots()
        distribution(axes, lines)
        axes.set_title("Latency over 5,000 connections")
    return bool(lines)


def tail(canvas: Canvas, outcome: Outcome | None) -> bool:
    lines = outcome.series if outcome else ()
    if lines:
        axes = canvas.subplots(1, len(lines) // 2, sharey=True, squeeze=False)[0]
        for place, axis in enumerate(axes):
            distribution(axis, lines[2 * place : 2 * place + 2])
            axis.label_outer()
    return bool(lines)


def scale(canvas: Canvas, outcome: Outcome | None) -> bool:
    if outcome is None or not outcome.series:
        return False
    costs, memory = canvas.subplots(1, 2)
    for line in outcome.series:
        axes = memory if MEMORY in line.name else costs
        axes.plot(*zip(*line.points, strict=True), marker="o", label=line.name)
    for axes, title, unit in (
        (costs, "Cost of a request", "CPU time, times the floor"),
        (memory, "Memory", "MB"),
    ):
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("identities or clients")
        axes.set_ylabel(unit)
        axes.set_title(title)
        axes.legend(fontsize="small")
    return True


def stages(canvas: Canvas, results: Results) -> bool:
    """A bar for each workload: the floor, the stages on it, and what the whole server took more than these."""
    bars = stage_bars(results)
    if not bars:
        return False
    axes = canvas.subplots()
    names = list(dict.fromkeys(stage for bar in bars.values() for stage in bar))
    left = [0.0] * len(bars)
    for name in names:
        widths = [bar.get(name, 0.0) for bar in bars.values()]
        axes.barh(list(bars), widths, left=left, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("CPU time of a request, us")
    axes.set_title("Where the time of a request goes")
    canvas.legend(loc="outside lower center", ncols=5, fontsize="small")
    return True


def stage_bars(results: Results) -> dict[str, dict[str, float]]:
    """Workload -> stage -> us; only of workloads that were measured both in stages and as a whole."""
    outcome = results.outcome("stages")
    bars: dict[str, dict[str, float]] = {}
    for figure in outcome.figures if outcome else ():
        workload, _, stage = figure.name.partition(": ")
        whole = summarize(results.samples, workload, SERVICE.name)
        if whole is not None:
            bar = bars.setdefault(workload, {"kernel and event loop": whole.floor_per_request})
            bar[stage] = figure.value
    for workload, bar in bars.items():
        whole = summarize(results.samples, workload, SERVICE.name)
        if whole is not None:
            bar["the rest"] = max(0.0, whole.cpu_per_request - sum(bar.values()))
    return bars


def ratios(canvas: Canvas, history: Sequence[Results]) -> bool:
    """The medians of every kept result, workload by workload, with the targets dotted."""
    if not history:
        return False
    axes = canvas.subplots()
    taken = [results.taken.removesuffix("Z").replace("T", "\n") for results in history]
    for place, workload in enumerate(WORKLOADS):
        found = [{one.name: summary.ratio for one, summary in pairs(results)} for results in history]
        points = [(at, found_at[workload.name]) for at, found_at in enumerate(found) if workload.name in found_at]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", color=f"C{place}", label=workload.name)
            axes.axhline(workload.target, color=f"C{place}", linestyle=":", linewidth=1)
    axes.set_xticks(range(len(taken)), taken, fontsize="x-small")
    axes.set_yscale("log")
    axes.set_ylabel("CPU time, times the floor")
    axes.set_title("All kept results (dotted: the targets)")
    axes.legend(fontsize="small", ncols=2)
    return True
