"""The pictures of the page as SVG; the same results give the same bytes."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.results import FLOOR_NAME, Results, Series, summarize
from bench.servers import SERVICE
from bench.workloads import WORKLOADS

WIDTH, HEIGHT = 8.0, 3.8  # inches
STYLE: dict[Any, object] = {
    "svg.hashsalt": "arsenal_fast",  # else the ids in the file are drawn by chance
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
PERCENTS = (50.0, 90.0, 99.0, 99.9, 99.99)
TIMES = (1, 2, 5, 10, 20, 50, 100)  # marked on the axis of the cost
MEMORY = "memory"  # a series of the scenario "scale" with this word is in MB, the others in times the floor


def new_canvas(width: float = WIDTH, height: float = HEIGHT) -> Canvas:
    """An empty picture; inches."""
    return Canvas(figsize=(width, height), layout="constrained")


def as_svg(canvas: Canvas) -> str:
    """The picture as a whole SVG file."""
    file = io.StringIO()
    canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def draw_all(results: Results, directory: Path) -> dict[str, str]:
    """Write every picture that the result has data for; returns topic -> file name."""
    drawn: Mapping[str, Callable[[Canvas, Results], bool]] = {
        "cost": cost,
        "scale": scale,
        "latency": latency,
        "stages": stages,
    }
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    with mpl.rc_context(STYLE):
        for name, draw in drawn.items():
            path, canvas = directory / f"{name}.svg", new_canvas()
            if draw(canvas, results):
                path.write_text(as_svg(canvas))
                written[name] = path.name
            else:
                path.unlink(missing_ok=True)
    return written


def lines_of(results: Results, *scenarios: str) -> list[Series]:
    """The series of these scenarios, as far as they were measured."""
    found = [results.outcome(scenario) for scenario in scenarios]
    return [line for outcome in found if outcome is not None for line in outcome.series]


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
    axes.legend(fontsize="small", loc="lower right")


def latency(canvas: Canvas, results: Results) -> bool:
    """Over 5,000 connections; False where nothing was measured, as for the others."""
    lines = lines_of(results, "connections", "offered")
    if lines:
        axes = canvas.subplots()
        distribution(axes, lines)
        axes.set_title("Latency over 5,000 connections")
    return bool(lines)


def cost(canvas: Canvas, results: Results) -> bool:
    """A row for each workload and a bar for each server, on a scale that has room for the slowest."""
    servers = [name for name in dict.fromkeys(sample.server for sample in results.samples) if name != FLOOR_NAME]
    found = {name: [summarize(results.samples, workload.name, name) for workload in WORKLOADS] for name in servers}
    if not any(filter(None, (one for row in found.values() for one in row))):
        return False
    axes = canvas.subplots()
    for place, (name, row) in enumerate(found.items()):
        bars = [(index + place / (len(servers) + 1), one.ratio) for index, one in enumerate(row) if one is not None]
        if bars:
            places, ratios = zip(*bars, strict=True)
            axes.barh(places, ratios, height=0.9 / (len(servers) + 1), label=name)
    axes.set_yticks([index + 0.4 for index in range(len(WORKLOADS))], [workload.name for workload in WORKLOADS])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=1)
    axes.set_xticks(TIMES, [str(times) for times in TIMES])
    axes.minorticks_off()
    axes.set_xlabel("CPU time of a request, times the floor")
    axes.set_title("Cost of a request")
    canvas.legend(loc="outside lower center", ncols=5, fontsize="small")
    return True


def scale(canvas: Canvas, results: Results) -> bool:
    """Cost on the left, memory on the right."""
    lines = lines_of(results, "scale")
    if not lines:
        return False
    costs, memory = canvas.subplots(1, 2)
    for line in lines:
        axes = memory if MEMORY in line.name else costs
        axes.plot(*zip(*line.points, strict=True), marker="o", label=line.name)
    for axes, title, unit in ((costs, "Cost of a request", "CPU time, times the floor"), (memory, "Memory", "MB")):
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
    canvas.legend(loc="outside lower center", ncols=6, fontsize="small")
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
