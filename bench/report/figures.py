"""What the scenarios say: a table of figures each, with the verdict on every target."""

from bench.report.markdown import number, section, table
from bench.results import Figure, Outcome
from bench.scenarios import Scenario


def verdict(figure: Figure) -> str:
    if figure.at_most is None:
        return ""
    if figure.value <= figure.at_most:
        return "reached"
    return f"**missed** by {figure.value / figure.at_most - 1:.0%}"


def rows(outcome: Outcome) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            figure.name,
            f"{number(figure.value)} {figure.unit}".strip(),
            "" if figure.at_most is None else f"{figure.at_most:g} {figure.unit}".strip(),
            verdict(figure),
            figure.note,
        )
        for figure in outcome.figures
    ]


def of_scenario(scenario: Scenario, outcome: Outcome, picture: str) -> str:
    """The section of a scenario; one that failed says so, and why."""
    fault = f"**This scenario failed**, so there is no figure: {outcome.fault}" if outcome.fault else ""
    figures = table(("figure", "measured", "at most", "", "note"), rows(outcome)) if outcome.figures else ""
    return section(scenario.title, fault, picture, figures, scenario.method, level=3)
