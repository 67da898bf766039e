"""The report is a self-contained page with pictures of the measured figures."""

import re
from math import inf

import pytest

from bench.processes import CpuReading
from loadtest.exposition import Interval, Latencies
from loadtest.pictures import cores_over_time, slower, slower_than_bounds
from loadtest.report import render
from loadtest.run import History, Sample
from loadtest.verdict import Outcome, Row, rows
from tests.loadtest.test_verdict import PLAN, measured, reading

RATES = {"id": 1500.0, "batch": 200.0, "validate": 2000.0}


def history() -> History:
    samples = []
    for second in (0, 2, 4, 6, 8, 10):
        cpu = {name: CpuReading(0, {(1, 1): second * 300_000_000}) for name in ("service", "locust")}
        samples.append(Sample(reading(float(second), RATES), cpu, {0: 0.0, 1: 0.0}))
    return History(samples, 1, 5)


def page(*extra: Row) -> str:
    run = measured(after={"slow": 10}, locust_latencies={0.002: 90, 0.03: 10})
    return render(PLAN, run, history(), [*rows(PLAN, run), *extra], {"cores": "2"})


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = page()
    assert "<script" not in text
    elsewhere = [place for place in re.findall(r'(?:src|href)="([^"]*)"', text) if not place.startswith("#")]
    assert elsewhere == ["locust.html"]
    assert "url(" not in text.replace("url(#", "")


def test_every_picture_is_drawn_with_its_lines_and_limits() -> None:
    text = page()
    assert text.count("<svg") == text.count("</svg>") == 1
    for words in ("Answers per second", "Latency in the service", "Share of the requests", "CPU, cores"):
        assert words in text
    for words in ("p99", "50 ms", "prober", "the service's share", "Locust, its own queue included"):
        assert f">{words}<" in text


def test_the_verdict_is_said_first_and_what_comes_from_outside_is_escaped() -> None:
    text = page(Row("<b>", "&", "", Outcome.FAILED, "<i>"))
    assert '<p class="banner failed">failed</p>' in text
    assert "&lt;b&gt;" in text
    assert "&lt;i&gt;" in text
    assert not re.search("<[bi]>", text)


def test_the_share_of_slower_requests_falls_to_nothing() -> None:
    seconds, shares = zip(*slower({0.001: 90, 0.01: 9, 0.1: 1}), strict=True)
    assert seconds == (1.0, 10.0)
    assert shares == pytest.approx((0.1, 0.01))


def test_intervals_of_the_pictures_are_those_between_the_looks() -> None:
    first, second = history().samples[:2]
    assert Interval(first.reading, second.reading).answers("/api/v1/id") == 3000


def test_cores_are_drawn_from_the_sample_on_that_has_the_program() -> None:
    past = history()
    prober = {"prober": CpuReading(0, {(2, 2): 0})}
    samples = [past.samples[0], *(Sample(one.reading, {**one.cpu, **prober}, {}) for one in past.samples[1:])]
    assert dict(cores_over_time(past, "service")) == pytest.approx(dict.fromkeys((1.0, 3.0, 5.0, 7.0, 9.0), 0.3))
    assert [at for at, _ in cores_over_time(History(samples), "prober")] == [3.0, 5.0, 7.0, 9.0]


def test_a_histogram_says_how_many_took_longer_than_its_bounds() -> None:
    assert slower_than_bounds(Latencies({0.01: 0, 0.05: 75, 0.1: 100, inf: 100})) == [(50.0, 0.25)]
