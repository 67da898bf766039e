"""Lists every target of a result with the measured figure and whether it was reached.

The targets of the workloads, which compare two servers, are in RATIOS; those of the scenarios are with their figures.
"""

import statistics
from collections.abc import Iterator
from typing import NamedTuple

from bench.peers import BUN, FASTAPI, FASTHTTP, WITHOUT_LEDGER
from bench.report.markdown import number, table
from bench.results import FLOOR_NAME, QUIET, Figure, Results, Summary, summarize
from bench.scenarios import SCENARIOS, Scenario
from bench.servers import SERVICE, Server
from bench.workloads import WORKLOADS, Workload


class Target(NamedTuple):
    """One row: ``value`` must be at most ``limit``, or at least; ``measured`` is the value with its unit or spread."""

    what: str
    value: float
    limit: float
    measured: str
    unit: str = ""
    at_least: bool = False
    note: str = ""

    @property
    def reached(self) -> bool:
        """The median decides."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        """In words."""
        return "reached" if self.reached else f"**missed** by {abs(self.value / self.limit - 1):.0%}"

    @property
    def wanted(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {with_unit(self.limit, self.unit)}"


class Column(NamedTuple):
    """The targets of another result, as a column of the table."""

    title: str
    targets: list[Target]

    def cell(self, what: str) -> str:
        """What was measured there; empty where it was not."""
        one = next((target for target in self.targets if target.what == what), None)
        return "" if one is None else one.measured + ("" if one.reached else ", **missed**")


class Ratio(NamedTuple):
    """CPU per request of a server in a workload, in times another's, at most."""

    work: str
    workload: str
    other: str
    at_most: float
    server: Server = SERVICE


RATIOS = (
    Ratio("cached, direct client", "cached-direct", BUN.name, 0.55),
    Ratio("cached, direct client", "cached-direct", FASTHTTP.name, 0.95),
    Ratio("cached, direct client", "cached-direct", FASTAPI.name, 0.04),
    Ratio("cached, proxy", "cached-proxy", BUN.name, 0.55),
    Ratio("cached, proxy", "cached-proxy", FASTHTTP.name, 0.95),
    Ratio("cached, ingress", "cached-ingress", BUN.name, 0.6),
    Ratio("cached, ingress", "cached-ingress", FASTHTTP.name, 0.95),
    Ratio("issued, ledger off", "issuing", BUN.name, 0.7, WITHOUT_LEDGER),
    Ratio("issued, ledger off", "issuing", FASTHTTP.name, 1.15, WITHOUT_LEDGER),
    Ratio("batch of 10 new names", "batch-10-new", BUN.name, 0.75),
    Ratio("batch of 10 new names", "batch-10-new", FASTHTTP.name, 1.4),
    Ratio("validation, in the worker's memory", "validate", FLOOR_NAME, 2.0),
)


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
    limit = figure.at_most if figure.at_least is None else figure.at_least
    if limit is not None:
        measured = with_unit(figure.value, figure.unit)
        at_least = figure.at_least is not None
        yield Target(f"{title}: {figure.name}", figure.value, limit, measured, figure.unit, at_least, figure.note)


def of_ratios(results: Results) -> Iterator[Target]:
    """The targets of the workloads that were measured."""
    for work, workload, other, at_most, server in RATIOS:
        if ratios := ratios_within_rounds(results, workload, server.name, other):
            value = statistics.median(ratios)
            yield Target(f"{work}: times {other}", value, at_most, with_spread(ratios, 3 if value < 1 else 2))


def of_scenario(results: Results, scenario: Scenario) -> list[Target]:
    outcome = results.outcome(scenario.name)
    return [target for figure in (outcome.figures if outcome else ()) for target in of_figure(scenario.title, figure)]


def claimed(results: Results) -> list[Target]:
    """The targets of the table of PERF.md."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.claimed]
    return [*of_ratios(results), *(target for scenario in scenarios for target in of_scenario(results, scenario))]


def others(results: Results) -> list[Target]:
    """The other targets."""
    return [target for scenario in SCENARIOS if not scenario.claimed for target in of_scenario(results, scenario)]


def ratios_within_rounds(results: Results, workload: str, server: str, other: str) -> tuple[float, ...]:
    """CPU per request of a server over that of another one, round by round, in rising order."""
    rows = [sample for sample in results.samples if sample.workload == workload]
    of_other = {sample.round: sample.cpu_per_request for sample in rows if sample.server == other}
    own = [sample for sample in rows if sample.server == server and sample.round in of_other]
    return tuple(sorted(sample.cpu_per_request / of_other[sample.round] for sample in own))


def targets_table(found: list[Target], other: Column | None = None) -> str:
    """One row a target; ``other``: a column beside what was measured."""
    measured, beside = ["measured"], [[one.measured] for one in found]
    if other is not None:
        measured.append(other.title)
        beside = [[one.measured, other.cell(one.what)] for one in found]
    rows = [(one.what, *cells, one.wanted, one.verdict, one.note) for one, cells in zip(found, beside, strict=True)]
    return table(("work", *measured, "target", "verdict", "note"), rows)


def reached(found: list[Target]) -> str:
    return f"{sum(one.reached for one in found)} of {len(found)} targets reached."


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
