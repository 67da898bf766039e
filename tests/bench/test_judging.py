"""The gate's arithmetic: what fails, what passes, and the figures that are compared."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import BenchError
from bench.gate import AGAIN, FIRST, Effort, Gate, checkout
from bench.judging import (
    BASELINE,
    Pair,
    Ratios,
    Verdict,
    against,
    joined,
    judge,
    machine_key,
    quieter_half,
    read_baseline,
    write_baseline,
)
from bench.servers import SERVICE, Server
from bench.workloads import WORKLOADS, Workload

KEY = "a CPU, Python 3.11, Linux 6.1"


@pytest.mark.parametrize(
    ("ratios", "change", "regressed"),
    [
        ((2.0, 2.0, 2.0), 0.0, False),
        ((2.3, 2.3, 2.3), 0.15, True),
        ((2.1, 2.15, 2.1), 0.05, False),
        ((2.0, 2.0, 9.0), 0.0, False),
        ((1.0, 2.3, 2.4), 0.15, True),
        ((1.0, 1.0, 1.0), -0.5, False),
    ],
)
def test_the_median_of_the_ratios_decides(ratios: Sequence[float], change: float, regressed: bool) -> None:
    verdict = Verdict("validate", 2.0, [*map(Pair, ratios), *(Pair(99.0, 0.9) for _ in ratios)])
    assert verdict.change == pytest.approx(change)
    assert verdict.regressed is regressed


def test_a_workload_without_a_reference_is_not_judged() -> None:
    with pytest.raises(BenchError, match="No reference for validate"):
        judge({"validate": [Pair(1.0)], "issuing": [Pair(1.0)]}, {"issuing": 1.0})


def test_the_ratios_of_two_measurements_are_joined() -> None:
    one, two, three, four = map(Pair, (1.0, 2.0, 3.0, 4.0))
    assert joined({"a": [one], "b": [two]}, {"b": [three], "c": [four]}) == {"a": [one], "b": [two, three], "c": [four]}


def test_pairs_with_company_do_not_decide() -> None:
    pairs = [Pair(2.0, 0.01), Pair(3.0, 0.6), Pair(2.2, 0.02), Pair(3.1, 0.7), Pair(2.1, 0.0)]
    assert sorted(quieter_half(pairs)) == [2.0, 2.1, 2.2]
    assert Verdict("validate", 2.0, pairs).change == pytest.approx(0.05)


def test_beside_another_checkout_the_floor_cancels_out() -> None:
    own, other = {"a": [Pair(3.0, 0.1), Pair(4.0, 0.0)]}, {"a": [Pair(2.0, 0.0), Pair(4.0, 0.3)]}
    assert against(own, other) == {"a": [Pair(1.5, 0.1), Pair(1.0, 0.3)]}


def test_a_baseline_holds_for_its_kind_of_machine_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(
        KEY, "2026-11-22T10:00:00Z", {"validate": [Pair(2.0), Pair(2.2), Pair(9.0, 0.5), Pair(9.0, 0.5)]}, path
    )
    write_baseline("another", "2026-11-23T10:00:00Z", {"validate": [Pair(5.0)]}, path)
    assert read_baseline(KEY, path) == {"validate": 2.1}
    with pytest.raises(BenchError, match="No baseline for a third"):
        read_baseline("a third", path)


def test_a_kind_of_machine_is_its_processor_python_and_kernel_series() -> None:
    assert machine_key({"CPU": "a CPU", "Python": "3.11.7", "kernel": "Linux 6.1.44", "cores": "2"}) == KEY


def test_the_committed_baseline_has_every_workload() -> None:
    for machine in json.loads(BASELINE.read_text())["machines"]:
        assert read_baseline(machine).keys() == {workload.name for workload in WORKLOADS}


class Scattered:
    """A fake: ratios drawn around a truth instead of measured; it keeps the requested measurements."""

    def __init__(self, truth: float, noise: float, seed: int = 1) -> None:
        self.asked: list[tuple[int, Effort]] = []
        self._chance = random.Random(seed)
        self._truth, self._noise = truth, noise

    def __call__(
        self, servers: Sequence[Server], workloads: Sequence[Workload], effort: Effort
    ) -> Mapping[str, Ratios]:
        self.asked.append((len(workloads), effort))
        count = effort.starts * effort.pairs
        draw = self._chance.gauss
        return {
            server.name: {
                one.name: [Pair(self._truth * draw(1, self._noise)) for _ in range(count)] for one in workloads
            }
            for server in servers
        }


REFERENCE = {workload.name: 2.0 for workload in WORKLOADS}


def failures(truth: float) -> int:
    gates = [Gate(SERVICE, WORKLOADS, REFERENCE, measure=Scattered(truth, 0.06, seed)) for seed in range(200)]
    return sum(any(verdict.regressed for verdict in gate.run()) for gate in gates)


def test_with_pairs_that_scatter_by_six_percent_noise_does_not_trip_the_gate_and_a_regression_does() -> None:
    assert failures(2.0) <= 2
    assert failures(2.0 * 1.15) >= 199


def test_only_what_looks_dearer_is_measured_again() -> None:
    same, dearer = Scattered(2.0, 0.0), Scattered(2.4, 0.0)
    Gate(SERVICE, WORKLOADS, REFERENCE, measure=same).run()
    assert same.asked == [(len(WORKLOADS), FIRST)]
    verdicts = Gate(SERVICE, WORKLOADS, REFERENCE, measure=dearer).run()
    assert dearer.asked == [(len(WORKLOADS), FIRST), (len(WORKLOADS), AGAIN)]
    assert {len(one.pairs) for one in verdicts} == {FIRST.starts * FIRST.pairs + AGAIN.starts * AGAIN.pairs}


def test_what_is_a_little_dearer_gets_a_second_look_and_is_not_failed() -> None:
    little = Scattered(2.1, 0.0)
    assert not any(one.regressed for one in Gate(SERVICE, WORKLOADS, REFERENCE, measure=little).run())
    assert little.asked == [(len(WORKLOADS), FIRST), (len(WORKLOADS), AGAIN)]


def test_another_checkout_is_the_reference_where_there_is_one() -> None:
    other = replace(SERVICE, name="the other checkout")
    verdicts = Gate(SERVICE, WORKLOADS, {}, other, Scattered(5.0, 0.0)).run()
    assert {(one.reference, one.change) for one in verdicts} == {(1.0, 0.0)}


def test_a_directory_without_the_service_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no checkout"):
        checkout(tmp_path)
