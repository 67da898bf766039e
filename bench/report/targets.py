"""Lists every target of a result with the measured figure and whether it was reached."""

import statistics
from collections.abc import Iterator
from typing import NamedTuple

from bench.report.markdown import number, table
from bench.results import QUIET, Figure, Results, Summary, summarize
from bench.scenarios import SCENARIOS
from bench.servers import SERVICE
from bench.workloads import WORKLOADS, Workload


class Target(NamedTuple):
    """One row: ``value`` must be at most ``at_most``; ``measured`` shows the value with its unit or spread."""

    what: str
    value: float
    at_most: float
    measured: str
    unit: str = ""

    @property
    def reached(self) -> bool:
        """The median decides."""
        return self.value <= self.at_most

    @property
    def verdict(self) -> str:
        """In words."""
        return "reached" if self.reached else f"**missed** by {self.value / self.at_most - 1:.0%}"


def with_spread(values: tuple[float, ...], digits: int = 2) -> str:
    """The median, and the lowest and highest round."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def with_unit(value: float, unit: str) -> str:
    """The value, and its unit where it has one."""
    return f"{number(value)} {unit}".strip()


def of_workloads(results: Results) -> list[tuple[Workload, Summary]]:
    """The workloads that the service ran beside the floor."""
    found = [(workload, summarize(results.samples, workload.name, SERVICE.name)) for workload in WORKLOADS]
    return [(workload, summary) for workload, summary in found if summary is not None]


def of_figure(title: str, figure: Figure) -> Iterator[Target]:
    """The figure's target; nothing where it has none."""
    if figure.at_most is not None:
        measured = with_unit(figure.value, figure.unit)
        yield Target(f"{title}: {figure.name}", figure.value, figure.at_most, measured, figure.unit)


def targets(results: Results) -> list[Target]:
    """Against the floor, against rivals, and of the scenarios, in the order of their tables."""
    found = [
        Target(f"{workload.name}: times the floor", summary.ratio, workload.target, with_spread(summary.ratios))
        for workload, summary in of_workloads(results)
    ]
    for workload in WORKLOADS:
        for peer, target in workload.against.items():
            if ratios := ratios_within_rounds(results, workload.name, peer):
                what, value = f"{workload.name}: times {peer}", statistics.median(ratios)
                found.append(Target(what, value, target, with_spread(ratios, 3)))
    for scenario in SCENARIOS:
        outcome = results.outcome(scenario.name)
        for figure in outcome.figures if outcome else ():
            found.extend(of_figure(scenario.title, figure))
    return found


def ratios_within_rounds(results: Results, workload: str, peer: str) -> tuple[float, ...]:
    """CPU per request of the service over that of the peer, round by round, in rising order."""
    rows = [sample for sample in results.samples if sample.workload == workload]
    of_peer = {sample.round: sample.cpu_per_request for sample in rows if sample.server == peer}
    own = [sample for sample in rows if sample.server == SERVICE.name and sample.round in of_peer]
    return tuple(sorted(sample.cpu_per_request / of_peer[sample.round] for sample in own))


def targets_table(found: list[Target]) -> str:
    """All rows, with how many were reached."""
    rows = [(one.what, one.measured, with_unit(one.at_most, one.unit), one.verdict) for one in found]
    reached = sum(one.reached for one in found)
    return f"{reached} of {len(found)} targets reached.\n\n{table(('target', 'measured', 'at most', 'verdict'), rows)}"


def company(results: Results) -> str:
    """A warning when the server's core was not the server's alone; else empty."""
    shares = [sample.others for sample in results.samples]
    crowded = sum(share > QUIET for share in shares)
    if not crowded:
        return ""
    return (
        f"**The machine was not quiet**: in {crowded} of {len(shares)} measurements other work had more "
        f"than {QUIET:.0%} of the server's core (at most {max(shares):.0%})."
    )
