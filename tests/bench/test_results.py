"""Samples, medians and ratios, and the file of a result."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import BenchError
from bench.results import Figure, Outcome, Results, Sample, Series, machine, newest, newest_elsewhere, read, summarize


def sample(round_: int, server: str, us: float, workload: str = "validate") -> Sample:
    """10,000 answers in half a second."""
    return Sample(round_, workload, server, 10_000, 500_000, round(us * 10_000), "schedstat", 600, 1200, 0.0)


SAMPLES = [
    sample(0, "floor", 5.0), sample(0, "arsenal_fast", 10.0),
    sample(1, "arsenal_fast", 12.0), sample(1, "floor", 8.0),
    sample(2, "floor", 4.0), sample(2, "arsenal_fast", 12.0),
    sample(0, "floor", 1.0, "issuing"),
]  # fmt: skip
OUTCOME = Outcome("footprint", [Figure("idle", 3.5, "MB", 40, "a note")], [Series("line", [(1.0, 2.0)])], seconds=4.0)
RESULTS = Results("2026-11-22T10:00:00Z", 3, 4, "method", {"CPU": "a CPU"}, SAMPLES, [OUTCOME], [])


def test_a_ratio_pairs_the_server_with_the_floor_of_its_round() -> None:
    summary = summarize(SAMPLES, "validate", "arsenal_fast")
    assert summary is not None
    assert summary.ratios == (1.5, 2.0, 3.0)
    assert (summary.ratio, summary.cpu_per_request, summary.floor_per_request) == (2.0, 12.0, 5.0)
    assert summary.requests_per_second == 20_000
    assert summary.busy == pytest.approx(0.24)


@pytest.mark.parametrize(("workload", "server"), [("issuing", "arsenal_fast"), ("validate", "bun"), ("x", "floor")])
def test_what_was_not_measured_has_no_summary(workload: str, server: str) -> None:
    assert summarize(SAMPLES, workload, server) is None


def test_a_round_without_a_floor_gives_no_ratio() -> None:
    alone = [*SAMPLES, sample(3, "arsenal_fast", 1.0)]
    assert summarize(alone, "validate", "arsenal_fast") == summarize(SAMPLES, "validate", "arsenal_fast")


def test_a_result_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "one.json")
    assert read(tmp_path / "one.json") == RESULTS
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_a_figure_is_found_by_its_scenario_and_name() -> None:
    outcome = RESULTS.outcome("footprint")
    assert outcome is not None
    assert outcome.value("idle") == 3.5
    with pytest.raises(BenchError, match="no figure 'busy'"):
        outcome.value("busy")
    assert RESULTS.outcome("scale") is None


def test_a_result_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"format": 0}))
    with pytest.raises(BenchError, match=r"old\.json is not of format"):
        read(tmp_path / "old.json")


def test_the_newest_result_is_the_last_by_name(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="make bench"):
        newest(tmp_path)
    for name in ("2026-11-22T100000Z", "2026-11-23T090000Z", "2025-12-31T235959Z"):
        replace(RESULTS, taken=name).write(tmp_path / f"{name}.json")
    assert newest(tmp_path).stem == "2026-11-23T090000Z"


def test_the_newest_result_of_another_machine_has_another_processor(tmp_path: Path) -> None:
    for name, cpu in (("2026-11-21T100000Z", "one"), ("2026-11-22T100000Z", "other"), ("2026-11-23T100000Z", "one")):
        replace(RESULTS, machine={"CPU": cpu}).write(tmp_path / f"{name}.json")
    found = [newest_elsewhere(cpu, tmp_path) for cpu in ("one", "other")]
    assert [path and path.stem for path in found] == ["2026-11-22T100000Z", "2026-11-23T100000Z"]
    (tmp_path / "2026-11-22T100000Z.json").unlink()
    assert newest_elsewhere("one", tmp_path) is None


@pytest.mark.integration
def test_the_machine_is_described_without_its_name() -> None:
    facts = machine()
    assert {"CPU", "cores", "kernel", "Python", "uvloop", "Redis", "wrk"} <= facts.keys()
    assert "unknown" not in facts.values()
