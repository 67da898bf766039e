"""PERF.md, the tables and the pictures: each verdict follows from its figures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report import details, million, page
from bench.report.plots import draw_all, stage_bars
from bench.report.targets import Target, claimed, of_figure
from bench.results import Figure, Outcome, Results, Series, newest, newest_elsewhere, read
from bench.servers import SERVICE
from bench.workloads import WORKLOADS
from tests.bench.test_results import RESULTS, SAMPLES, sample

ROOT = Path(__file__).parents[2]
LINES = [
    Series("with it", [(50.0, 1.0), (99.0, 4.0), (99.99, 9.0)]),
    Series("without it", [(50.0, 0.5), (99.0, 1.0), (99.99, 2.0)]),
]
OUTCOMES = [
    Outcome("tls", [Figure("times plain", 1.5, "", 1.25, "others had 40%")]),
    Outcome("connections", [Figure("resident memory", 75.0, "MB", 96)], LINES),
    Outcome("offered", [Figure("latency p99", 4.0, "ms", 10)], LINES),
    Outcome("scale", fault="Issuing: expected a 200, got 503."),
    Outcome("tail", [Figure("scrapes", 1.0, "ms", 5)], LINES),
    Outcome("stages", [Figure("validate: parse", 2.0, "us"), Figure("validate: render", 1.5, "us")]),
]
WHOLE = replace(RESULTS, outcomes=OUTCOMES, faults=["scale: Issuing: expected a 200"])


def short(results: Results = RESULTS) -> str:
    return page.render(results, "one.json", {"latency": "docs/perf/latency.svg"})


def long(results: Results = RESULTS) -> str:
    return details.render(results, "one.json")


@pytest.mark.parametrize(
    ("figure", "verdicts"),
    [
        (Figure("x", 4.0, "ms"), []),
        (Figure("x", 4.0, "ms", 4), ["reached"]),
        (Figure("x", 5.0, "ms", 4), ["**missed** by 25%"]),
        (Figure("x", 5.0, "/s", at_least=5), ["reached"]),
        (Figure("x", 4.0, "/s", at_least=5), ["**missed** by 20%"]),
    ],
)
def test_a_figure_is_judged_by_its_target(figure: Figure, verdicts: list[str]) -> None:
    assert [target.verdict for target in of_figure("Scenario", figure)] == verdicts


@pytest.mark.parametrize(
    ("ratios", "verdict", "measured"),
    [
        ((1.9, 2.0, 2.1), "reached", "2.00 (1.90 to 2.10)"),
        ((2.1, 1.5, 1.9), "reached", "1.90 (1.50 to 2.10)"),
        ((2.0, 2.4, 3.1), "**missed** by 20%", "2.40 (2.00 to 3.10)"),
    ],
)
def test_the_median_of_the_rounds_decides(ratios: Sequence[float], verdict: str, measured: str) -> None:
    rows = [(number, name, us) for number, us in enumerate(ratios) for name, us in (("floor", 1.0), (SERVICE.name, us))]
    (target,) = claimed(replace(RESULTS, samples=[sample(*row) for row in rows], outcomes=[]))
    assert target.what == "validation, in the worker's memory: times floor"
    assert (target.verdict, target.measured) == (verdict, measured)


def test_a_target_against_a_peer_is_judged_by_the_ratios_within_the_rounds() -> None:
    rows = [(0, "bun", 20.0), (1, "bun", 10.0), (2, "bun", 40.0), (0, SERVICE.name, 10.0), (1, SERVICE.name, 6.0)]
    samples = [sample(number, name, us, "cached-proxy") for number, name, us in [*rows, (2, SERVICE.name, 12.0)]]
    (target,) = claimed(replace(RESULTS, samples=samples, outcomes=[]))
    assert target == Target("cached, proxy: times bun", 0.5, 0.55, "0.500 (0.300 to 0.600)")
    assert target.reached


def test_the_short_page_has_each_target_the_faults_and_the_pictures() -> None:
    text = short(WHOLE)
    assert "1 of 2 targets reached." in text
    assert "| validation, in the worker's memory: times floor | 2.00 (1.50 to 3.00) | at most 2 | reached |  |" in text
    assert "| TLS: times plain | 1.5 | at most 1.25 | **missed** by 20% | others had 40% |" in text
    assert "3 of 3 targets reached." in " ".join(text.split())
    assert "not measured: scale: Issuing: expected a 200" in text
    assert "](docs/perf/latency.svg)" in text
    assert "bench/results/one.json" in text


def test_what_another_machine_has_measured_stands_beside() -> None:
    outcomes = [Outcome("tls", [Figure("times plain", 1.2, "", 1.25)])]
    other = replace(WHOLE, machine={**WHOLE.machine, "CPU": "Z80"}, taken="1976-07-01T00:00:00Z", outcomes=outcomes)
    text = page.render(WHOLE, "one.json", {}, other)
    assert "| work | measured | on Z80 | target | verdict | note |" in text
    assert "| TLS: times plain | 1.5 | 1.2 | at most 1.25 | **missed** by 20% | others had 40% |" in text
    assert "taken 1976-07-01T00:00:00Z: there 2 of 2 targets reached." in " ".join(text.split())
    missed = page.render(other, "one.json", {}, WHOLE)
    assert "| TLS: times plain | 1.2 | 1.5, **missed** | at most 1.25 | reached |  |" in missed


def test_peers_get_a_column_with_their_times_of_the_floor() -> None:
    with_peer = replace(RESULTS, samples=[*SAMPLES, sample(0, "bun", 20.0)])
    assert "| workload | arsenal_fast | bun |" in short(with_peer)
    assert "| validate | 12.0 (2.00) | 20.0 (4.00) |" in short(with_peer)
    assert "Beside other servers" not in short()


def test_the_tables_say_what_was_not_measured_and_why() -> None:
    text = long(WHOLE)
    left_out = "cached-direct, cached-proxy, cached-ingress, issuing, batch-10, batch-10-new"
    assert f"Not measured in this run: {left_out}." in text
    assert "**This scenario failed**, so there is no figure: Issuing: expected a 200, got 503." in text
    assert "| times plain | 1.5 | at most 1.25 | **missed** by 20% | others had 40% |" in text


def beside(results: Results = RESULTS) -> str:
    return page.render(results, "one.json", {}, RESULTS)


@pytest.mark.parametrize("render", [short, long, beside])
def test_every_row_of_a_table_has_the_columns_of_its_head(render: object) -> None:
    columns: list[int] = []
    for line in [*render(WHOLE).splitlines(), ""]:  # type: ignore[operator]
        if line.startswith("|"):
            columns.append(line.count("|"))
        else:
            assert len(set(columns)) <= 1
            columns = []


def test_idle_time_of_the_server_is_load_bound_or_crowded() -> None:
    crowded = replace(RESULTS, samples=[replace(SAMPLES[0], others=0.4), *SAMPLES[1:]])
    assert "| 24%, load-bound |" in long()
    assert "| 24%, crowded |" in long(crowded)
    assert "in 1 of 7 measurements other work had more than 5%" in short(crowded)
    assert "not quiet" not in short()


def test_the_bar_of_a_workload_is_as_long_as_its_cost() -> None:
    bar = stage_bars(WHOLE)["validate"]
    assert bar["kernel and event loop"] == 5.0
    assert sum(bar.values()) == pytest.approx(12.0)


def test_stages_that_take_more_than_the_whole_leave_no_rest() -> None:
    slow = replace(WHOLE, outcomes=[Outcome("stages", [Figure("validate: parse", 20.0, "us")])])
    assert stage_bars(slow)["validate"]["the rest"] == 0


def test_pictures_are_drawn_for_what_was_measured_and_always_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    (first / "scale.svg").write_text("of another result")
    drawn = draw_all(WHOLE, first)
    assert set(drawn) == {"cost", "latency", "stages"}
    draw_all(WHOLE, second)
    assert [path.name for path in sorted(first.iterdir())] == sorted(drawn.values())
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
        assert path.read_text().startswith("<?xml")


US = {"cached-ingress": 10.0, "issuing": 20.0, "validate": 15.0, "batch-10-new": 50.0}
PRICED = replace(
    RESULTS,
    samples=[
        row for workload, us in US.items()
        for row in (sample(0, "floor", 5.0, workload), sample(0, SERVICE.name, us, workload))
    ],
    outcomes=[
        Outcome("connections", [Figure("resident memory, at most", 90.0, "MB")]),
        Outcome("redis", [
            Figure("CPU of Redis per request", 2.0, "us"), Figure("bytes per limiter cell", 72.0, "B"),
            Figure("bytes per identity", 136.0, "B")]),
        Outcome("traffic", [
            Figure(f"{workload.name}: {way}", size, "B") for workload in WORKLOADS
            for way, size in (("request", 500.0), ("answer", 1500.0))]),
    ],
)  # fmt: skip


def test_a_million_requests_cost_what_the_mix_costs_a_million_times() -> None:
    text = million.render(PRICED)
    us = (1500 * (0.94 * 10 + 0.06 * 20) + 200 * 50 + 2000 * 15) / 3700
    assert f"| CPU of the service | {us:.1f} cores |" in text
    assert "| shards of Redis | 4 |" in text
    assert "| HTTP traffic | 16 Gbit/s | 2,000 B in and out a request |" in text
    assert f"3,700 requests a second take {3700 * us / 1e6:.3g} of a core" in text


def test_a_million_requests_rest_on_what_a_cluster_costs_more_where_that_was_measured() -> None:
    assert "not measured in this result, and is not counted" in million.render(PRICED)
    measured = Outcome("cluster", [
        Figure("many clients: service, times one Redis", 1.2, ""),
        Figure("many clients: CPU of one Redis per request", 3.0, "us"),
        Figure("many clients: CPU of 3 masters per request", 6.0, "us")])  # fmt: skip
    text = million.render(replace(PRICED, outcomes=[*PRICED.outcomes, measured]))
    us = 1.2 * (1500 * (0.94 * 10 + 0.06 * 20) + 200 * 50 + 2000 * 15) / 3700
    assert f"| CPU of the service | {us:.1f} cores |" in text
    assert "| CPU of Redis | 4 cores |" in text
    assert "| shards of Redis | 8 |" in text
    assert "?shards=8`" in text
    assert "the service 1.2 times, and Redis 2 times" in text


def test_a_result_that_lacks_a_part_gets_no_price_list_but_a_sentence() -> None:
    lacking = replace(PRICED, outcomes=[PRICED.outcomes[0], PRICED.outcomes[2]])
    assert "Not computed from this result: The scenario redis was not measured." in million.render(lacking)


def test_the_committed_page_is_that_of_the_newest_result_and_fits_on_two_screens() -> None:
    path = newest()
    text = (ROOT / page.FILE).read_text()
    pictures = {name: f"docs/perf/{name}.svg" for name in page.PICTURES}
    elsewhere = newest_elsewhere(read(path).machine["CPU"])
    assert text == page.render(read(path), path.name, pictures, None if elsewhere is None else read(elsewhere))
    assert (ROOT / details.FILE).read_text() == details.render(read(path), path.name)
    assert len(text.splitlines()) <= 110
