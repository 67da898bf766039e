"""What PERF.md says of the scenarios and in one look, and its pictures."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.proof import Proof, Trial, read_proof
from bench.report.figures import verdict
from bench.report.page import Surroundings, at_a_glance, render
from bench.report.plots import draw_all, stage_bars
from bench.results import Figure, Outcome, Series
from bench.servers import SERVICE
from tests.bench.test_results import RESULTS, sample

LINES = [
    Series("service", [(50.0, 1.0), (99.0, 4.0), (99.99, 9.0)]),
    Series("floor", [(50.0, 0.5), (99.0, 1.0), (99.99, 2.0)]),
]
OUTCOMES = [
    Outcome("connections", [Figure("latency p99", 75.0, "ms", 50, "others had 40%")], LINES),
    Outcome("offered", [Figure("latency p99", 4.0, "ms", 10)], LINES),
    Outcome("scale", fault="Issuing 0 to 1000: expected a 200, got 503."),
    Outcome("tail", [Figure("scrapes", 1.0, "ms", 5)], LINES),
    Outcome("stages", [Figure("validate: parse", 2.0, "us"), Figure("validate: render", 1.5, "us")]),
]
WHOLE = replace(RESULTS, outcomes=OUTCOMES, faults=["scale: Issuing 0 to 1000"])
AROUND = Surroundings("one.json", {"latency": "docs/perf/latency.svg"}, "bench/experiments/README.md")


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (Figure("x", 4.0, "ms"), ""),
        (Figure("x", 4.0, "ms", 4), "reached"),
        (Figure("x", 5.0, "ms", 4), "**missed** by 25%"),
    ],
)
def test_a_figure_is_judged_by_its_target(figure: Figure, said: str) -> None:
    assert verdict(figure) == said


def test_one_look_counts_the_targets_and_names_what_is_missed_with_its_reason() -> None:
    text = at_a_glance(WHOLE, AROUND)
    assert text.startswith("3 of 4 targets reached. Missed:")
    assert "connections: latency p99 75 ms, at most 50: **missed** by 50% (others had 40%)." in text
    assert "[bench/experiments/README.md](bench/experiments/README.md)" in text
    assert "without a figure:\n\n- scale: Issuing 0 to 1000" in text


def test_where_all_is_reached_nothing_is_excused() -> None:
    assert at_a_glance(replace(RESULTS, outcomes=OUTCOMES[1:2]), AROUND) == "2 of 2 targets reached."


def test_a_scenario_that_failed_keeps_its_place_and_says_why() -> None:
    text = render(WHOLE, AROUND)
    assert "**This scenario failed**, so there is no figure: Issuing 0 to 1000: expected a 200, got 503." in text
    assert "| latency p99 | 4 ms | 10 ms | reached |  |" in text
    assert "![latency distribution over 5,000 connections](docs/perf/latency.svg)" in text


def test_the_bar_of_a_workload_is_as_long_as_its_cost() -> None:
    bar = stage_bars(WHOLE)["validate"]
    assert bar["kernel and event loop"] == 5.0
    assert sum(bar.values()) == pytest.approx(12.0)


def test_stages_that_take_more_than_the_whole_leave_no_rest() -> None:
    slow = replace(WHOLE, outcomes=[Outcome("stages", [Figure("validate: parse", 20.0, "us")])])
    assert stage_bars(slow)["validate"]["the rest"] == 0


def test_pictures_are_drawn_for_what_was_measured_and_always_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    history = [RESULTS, replace(RESULTS, taken="2026-11-23T10:00:00Z", samples=[
        sample(0, "floor", 5.0), sample(0, SERVICE.name, 11.0)])]  # fmt: skip
    drawn = draw_all(WHOLE, history, first)
    assert set(drawn) == {"latency", "tail", "stages", "history"}
    draw_all(WHOLE, history, second)
    assert [path.name for path in sorted(first.iterdir())] == sorted(drawn.values())
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
        assert path.read_text().startswith("<?xml")


def test_a_picture_without_data_does_not_stay_from_another_result(tmp_path: Path) -> None:
    (tmp_path / "scale.svg").write_text("old")
    draw_all(WHOLE, [], tmp_path)
    assert not (tmp_path / "scale.svg").exists()


def test_the_gate_is_shown_with_what_it_found_on_what_was_known(tmp_path: Path) -> None:
    trials = [Trial(0.0, False, {"validate": 0.012}), Trial(0.15, True, {"validate": 0.153})]
    proof = Proof("2026-11-23T10:00:00Z", "a CPU", "the baseline", ["validate"], 0.15, trials)
    proof.write(tmp_path / "proof.json")
    assert read_proof(tmp_path / "proof.json") == proof
    assert read_proof(tmp_path / "none.json") is None
    text = render(RESULTS, Surroundings("one.json", {}, proof=proof))
    assert "0 false alarms in 1 runs of the gate without a change; 1 of 1 regressions of 15% seen." in text
    assert "| validate | +1.2% | +15.3% |" in text
