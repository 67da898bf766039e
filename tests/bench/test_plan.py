"""Cores, shards and money: the formulas that are shown are those that were evaluated."""

from dataclasses import replace

import pytest

from bench.report.plan import ASSUMED, COST, GUIDE, MILLION, WITH_LEDGER, Input, Step, evaluate, measured, render
from bench.results import Figure, Outcome, Results
from bench.servers import SERVICE
from bench.workloads import WORKLOADS
from tests.bench.test_results import RESULTS, sample

US = {"cached-ingress": 10.0, "issuing": 20.0, "validate": 15.0, "batch-10-new": 50.0}
SAMPLES = [row for workload, us in US.items() for row in (
    sample(0, "floor", 5.0, workload), sample(0, SERVICE.name, us, workload))]  # fmt: skip
OUTCOMES = [
    Outcome("connections", [Figure("resident memory, at most", 90.0, "MB")]),
    Outcome("redis", [
        Figure("CPU of Redis per request", 2.0, "us"), Figure("octets per limiter cell", 72.0, "B"),
        Figure("octets per identity", 136.0, "B")]),
    Outcome("traffic", [
        Figure(f"{workload.name}: {way}", octets, "B") for workload in WORKLOADS
        for way, octets in (("request", 500.0), ("answer", 1500.0))]),
]  # fmt: skip
WHOLE = replace(RESULTS, samples=SAMPLES, outcomes=OUTCOMES)


def test_a_step_may_use_every_input_and_what_was_computed_before_it() -> None:
    steps = [Step("b", "a * 2", "", ""), Step("c", "ceil(b / 4)", "", "")]
    assert evaluate([Input("a", 3.0, "", "")], steps) == {"a": 3.0, "b": 6.0, "c": 2}
    with pytest.raises(NameError):
        evaluate([], steps)


def test_the_guides_mix_costs_the_sum_of_rates_times_microseconds() -> None:
    values = evaluate([*plan_inputs(WHOLE)], COST)
    by_hand = (1500 * (0.94 * 10 + 0.06 * 20) + 200 * 50 + 2000 * 15) / 1e6
    assert values["cores"] == pytest.approx(by_hand)
    assert values["megabits"] == pytest.approx(3700 * 2000 * 8 / 1e6)
    assert values["guide_cost"] == pytest.approx(36 + 15 + 4)


def test_a_million_requests_need_a_million_times_the_microseconds() -> None:
    values = evaluate([*plan_inputs(WHOLE)], MILLION)
    assert values["cores"] == pytest.approx(values["mean_us"])
    assert values["shards"] == 4
    assert values["gigabits"] == pytest.approx(16)


def plan_inputs(results: Results) -> list[Input]:
    return [*GUIDE, *ASSUMED, *measured(results)]


def test_issuing_is_counted_with_the_ledger_where_that_was_measured() -> None:
    def issuing(results: Results) -> float:
        return next(one.value for one in measured(results) if one.name == "issuing_us")

    assert issuing(WHOLE) == 20.0
    assert issuing(replace(WHOLE, samples=[*SAMPLES, sample(0, WITH_LEDGER, 60.0, "issuing")])) == 60.0


def test_the_page_shows_each_formula_beside_its_value() -> None:
    text = render(WHOLE)
    assert "| CPU of a request of the mix | 15.1 us | `mean_us = (id_rate * id_us + " in text
    assert "| `pod_price` | 12 $/month | guide, cost: 3 x shared-2x = $36 |" in text


def test_a_result_that_lacks_a_part_gets_no_plan_but_a_sentence() -> None:
    assert "Not computed from this result: The scenario redis was not measured." in render(
        replace(WHOLE, outcomes=[OUTCOMES[0], OUTCOMES[2]])
    )
