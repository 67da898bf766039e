"""What PERF.md says of the workloads: the verdict of each row is what its figures say."""

from dataclasses import replace

import pytest

from bench.report.page import Surroundings, render
from bench.report.tables import against_peers, reading
from bench.results import Results, Summary
from bench.servers import SERVICE
from bench.workloads import WORKLOADS
from tests.bench.test_results import RESULTS, SAMPLES, sample

DIRECT = WORKLOADS[0]


def summary(*ratios: float, others: float = 0.0) -> Summary:
    return Summary(DIRECT.name, SERVICE.name, 8.0, 5.0, tuple(sorted(ratios)), 90_000, 700, 1400, 0.99, others)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((1.4, 1.5, 1.55), "**reached**, by 0.10 in every round."),
        ((1.6, 1.6, 1.6), "**reached**, by 0.00 in every round."),
        ((1.4, 1.5, 1.7), "**reached**, by 0.10; but the worst round had 1.70."),
        ((1.7, 1.8, 1.9), "**missed** by 0.20 (12%)."),
        ((1.5, 2.0, 2.1), "**missed** by 0.40 (25%); the best round had 1.50."),
    ],
)
def test_the_median_decides_and_rounds_on_the_other_side_are_named(ratios: tuple[float, ...], verdict: str) -> None:
    assert reading(DIRECT, summary(*ratios)).endswith(f"target 1.6: {verdict}")


def test_a_verdict_from_a_crowded_core_says_so() -> None:
    text = reading(DIRECT, summary(1.5, others=0.4))
    assert text.endswith("**reached**, by 0.10 in every round; others had up to 40% of the core.")


def page(results: Results = RESULTS) -> str:
    return render(results, Surroundings("one.json", {}))


def test_the_page_names_its_source_and_what_was_not_measured() -> None:
    text = page()
    assert "bench/results/one.json" in text
    assert (
        "Not measured in this run: cached-direct, cached-proxy, cached-ingress, issuing, batch-10, batch-10-new."
        in text
    )
    assert "| 2.00 (1.50..3.00) | 2.5 |" in text


def test_every_row_of_a_table_has_the_columns_of_its_head() -> None:
    table: list[int] = []
    for line in [*page().splitlines(), ""]:
        if line.startswith("|"):
            table.append(line.count("|"))
        else:
            assert len(set(table)) <= 1
            table = []


def test_latencies_of_a_server_that_waited_are_marked_load_bound() -> None:
    assert "| 24%, load-bound |" in page()


def test_peers_get_a_column_with_their_times_of_the_floor() -> None:
    with_peer = replace(RESULTS, samples=[*SAMPLES, sample(0, "bun", 20.0)])
    assert "| workload | arsenal_fast | bun |" in page(with_peer)
    assert "| validate | 12.0 (2.00) | 20.0 (4.00) |" in page(with_peer)
    assert "Beside others" not in page()


def test_a_machine_with_company_is_called_so() -> None:
    crowded = [replace(SAMPLES[0], others=0.4), *SAMPLES[1:]]
    assert "in 1 of 7 measurements other work had more than 5%" in page(replace(RESULTS, samples=crowded))
    assert "| 24%, crowded |" in page(replace(RESULTS, samples=crowded))
    assert "not quiet" not in page()


def test_a_target_against_a_peer_is_judged_by_the_ratios_within_the_rounds() -> None:
    rows = [(0, "bun", 20.0), (1, "bun", 10.0), (2, "bun", 40.0), (0, SERVICE.name, 10.0), (1, SERVICE.name, 6.0)]
    samples = [sample(round_, name, us, "cached-proxy") for round_, name, us in [*rows, (2, SERVICE.name, 12.0)]]
    (line,) = against_peers(replace(RESULTS, samples=samples)).splitlines()
    assert line == ("- cached-proxy: 0.500 of the CPU time of bun (0.300..0.600), target 0.5: **reached**.")
    assert against_peers(RESULTS) == ""
