"""Scenarios: a failing one is reported and the others are kept; they send the requests that they name."""

import re
from pathlib import Path

import pytest

from bench import BenchError, scenarios
from bench.results import Figure, Outcome
from bench.scenarios import SCENARIOS, Scenario, bad_tokens, stages
from bench.scenarios.scale import AXES, BY_CHANCE, SIZES, script
from bench.servers import SERVICE
from bench.setting import Findings, Setting, company, noted, timings
from bench.workloads import WORKLOADS
from tests.support.tokens import BAD, BAD_EDDSA


def good(setting: Setting) -> Findings:
    assert setting.directory.is_dir()
    return Findings([Figure("f", 1.0, "us")])


def bad(_: Setting) -> Findings:
    raise BenchError("The server hung up.")


def broken(_: Setting) -> Findings:
    raise ZeroDivisionError


def test_a_scenario_that_fails_is_reported_and_the_others_go_on() -> None:
    told: list[Outcome] = []
    table = [Scenario(measure.__name__, "", "", measure) for measure in (bad, broken, good)]
    outcomes = scenarios.run(table, SERVICE, quick=True, tell=told.append)
    assert told == outcomes
    assert [outcome.scenario for outcome in outcomes] == ["bad", "broken", "good"]
    assert outcomes[0].fault == "The server hung up."
    assert "ZeroDivisionError" in (outcomes[1].fault or "")
    assert (outcomes[2].fault, outcomes[2].value("f")) == (None, 1.0)


def test_every_scenario_has_a_name_of_its_own_and_says_how_it_measures() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    for scenario in SCENARIOS:
        assert len(scenario.method) > 60
        assert "\n" not in scenario.method


def test_a_note_is_added_only_if_other_processes_used_the_core() -> None:
    figure = Figure("f", 1.0, "us", note="why")
    assert noted(figure, company(0.02)) == figure
    assert noted(figure, company(0.4)).note == "why; others had up to 40% of the server's core"


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
@pytest.mark.parametrize("draw", [BY_CHANCE, "at % n"])
def test_the_script_of_an_axis_draws_from_as_many_as_it_says(axis: object, draw: str) -> None:
    text = script(axis, SIZES[-1], 3, draw)  # type: ignore[arg-type]
    assert "@" not in text
    drawn = [int(found) for found in re.findall(r"below\((\d+)\)", text)]
    assert SIZES[-1] in drawn
    assert draw in text


@pytest.mark.integration
def test_every_workload_goes_through_the_stages_and_each_bad_token_is_timed(tmp_path: Path) -> None:
    setting = Setting(SERVICE, tmp_path)
    figures = {figure.name: figure.value for figure in stages.measure(setting).figures}
    assert list(figures) == [
        f"{workload.name}: {stage}" for workload in WORKLOADS for stage in ("read", "ask", "reply", "answer")
    ]
    assert 0 < figures["cached-direct: ask"] < figures["cached-direct: answer"] < 1000
    (worst,) = bad_tokens.measure(setting).figures
    assert f"the worst of {len(BAD) + len(BAD_EDDSA)}" in worst.note


def test_micro_benchmarks_that_fail_are_a_fault_with_their_output(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="The micro-benchmarks failed"):
        timings(Setting(SERVICE, tmp_path), "test_nothing.py")


@pytest.mark.integration
def test_a_real_scenario_finds_its_figures(tmp_path: Path) -> None:
    """The cheapest that starts Redis and the service."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "traffic")
    outcome = scenarios.attempt(scenario, Setting(SERVICE, tmp_path, quick=True))
    assert outcome.fault is None
    assert outcome.value("batch-10: answer") > outcome.value("cached-direct: answer") > 0
