"""The report is a page of its own, with pictures that hold what was measured."""

import re
from dataclasses import replace

import pytest

from bench.processes import CpuReading
from loadtest.exposition import Interval
from loadtest.report import render, slower
from loadtest.run import History, Sample, read_locust
from loadtest.svg import Axis, Chart, Line
from loadtest.verdict import Outcome, Row, rows
from tests.loadtest.test_verdict import PLAN, measured, reading

RATES = {"id": 1500.0, "batch": 200.0, "validate": 2000.0}


def history() -> History:
    samples = []
    for second in (0, 2, 4, 6, 8, 10):
        cpu = {name: CpuReading(0, {(1, 1): second * 300_000_000}) for name in ("service", "locust")}
        samples.append(Sample(reading(float(second), RATES), cpu, {0: 0.0, 1: 0.0}))
    return History(samples, 1, 5, measured().probes)


def page(*extra: Row) -> str:
    run = measured(after={"slow": 10}, locust_latencies={0.002: 90, 0.03: 10})
    return render(PLAN, run, history(), [*rows(PLAN, run), *extra], {"cores": "2"})


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = page()
    assert "<script" not in text
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["locust.html"]
    assert "url(" not in text


def test_every_picture_is_drawn() -> None:
    text = page()
    assert text.count("<svg") == text.count("</svg>") == 5
    assert "nothing was measured" not in text
    assert not re.search(r'"[^"]*\b(?:nan|inf)\b[^"]*"', text)


def test_the_verdict_is_said_first_and_what_comes_from_outside_is_escaped() -> None:
    text = page(Row("<b>", "&", "", Outcome.FAILED, "<i>"))
    assert '<p class="banner failed">failed</p>' in text
    assert "<td>&lt;b&gt;</td>" in text
    assert "<td>&lt;i&gt;</td>" in text


def test_a_picture_without_points_is_a_sentence() -> None:
    assert Chart("Probes", "s", "ms", []).render() == "<p>Probes: nothing was measured.</p>"


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([0.0, 2000.0], False, [0, 500, 1000, 1500, 2000]),
        ([0.0, 0.5], False, [0, 0.2, 0.4]),
        ([0.0003, 0.02], True, [0.0001, 0.001, 0.01, 0.1]),
        ([3.0], False, [3, 3.25, 3.5, 3.75, 4]),
    ],
)
def test_an_axis_has_round_numbers(values: list[float], log: bool, ticks: list[float]) -> None:
    assert Axis.over(values, log, 0, 100).ticks() == pytest.approx(ticks)


def test_an_axis_holds_all_of_its_values() -> None:
    for log in (False, True):
        axis = Axis.over([0.3, 7.0, 1000.0], log, 50, 450)
        assert all(50 <= axis.at(value) <= 450 for value in (0.3, 7.0, 1000.0))


def test_lines_are_joined_and_dots_are_not() -> None:
    line = Line("a", [(0.0, 1.0), (1.0, 2.0)])
    assert Chart("t", "x", "y", [line]).render().count("<polyline") == 1
    assert "<polyline" not in Chart("t", "x", "y", [replace(line, dots=True)]).render()


def test_the_share_of_slower_requests_falls_to_nothing() -> None:
    seconds, shares = zip(*slower({0.001: 90, 0.01: 9, 0.1: 1}), strict=True)
    assert seconds == (0.001, 0.01)
    assert shares == pytest.approx((0.1, 0.01))


LOCUST = """[
 {"name": "id", "method": "GET", "num_failures": 0, "num_reqs_per_sec": {"10": 9, "11": 100, "12": 102, "13": 5},
  "response_times": {"2": 7, "30": 1}},
 {"name": "id (bot)", "method": "GET", "num_failures": 2, "num_reqs_per_sec": {"11": 2, "12": 2},
  "response_times": {"2": 4}}
]"""


def test_locust_s_statistics_are_rates_by_kind_within_whole_seconds(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("locust") / "locust.json"
    path.write_text(LOCUST)
    rates, failures, latencies, said = read_locust(path, 10.4, 13.2)
    assert rates == {"id": 103.0}
    assert (failures, said) == (2, ["GET id (bot): 2"])
    assert latencies == {0.002: 11, 0.03: 1}


def test_intervals_of_the_pictures_are_those_between_the_looks() -> None:
    first, second = history().samples[:2]
    assert Interval(first.reading, second.reading).answers("/api/v1/id") == 3000
