"""The gate's arithmetic: what fails, what passes, and what is measured again."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import BenchError
from bench.gate import AGAIN, FIRST, Effort, Pair, Pairs, Verdict, checkout, judge, quieter_half
from bench.workloads import WORKLOADS, Workload


@pytest.mark.parametrize(
    ("ratios", "change", "regressed"),
    [
        ((1.0, 1.0, 1.0), 0.0, False),
        ((1.15, 1.15, 1.15), 0.15, True),
        ((1.05, 1.08, 1.05), 0.05, False),
        ((1.0, 1.0, 9.0), 0.0, False),
        ((0.5, 1.15, 1.2), 0.15, True),
        ((0.5, 0.5, 0.5), -0.5, False),
    ],
)
def test_the_median_of_the_ratios_decides(ratios: Sequence[float], change: float, regressed: bool) -> None:
    verdict = Verdict("validate", [*map(Pair, ratios), *(Pair(99.0, 0.9) for _ in ratios)])
    assert verdict.change == pytest.approx(change)
    assert verdict.regressed is regressed


def test_pairs_with_company_do_not_decide() -> None:
    pairs = [Pair(2.0, 0.01), Pair(3.0, 0.6), Pair(2.2, 0.02), Pair(3.1, 0.7), Pair(2.1, 0.0)]
    assert sorted(quieter_half(pairs)) == [2.0, 2.1, 2.2]
    assert Verdict("validate", pairs).change == pytest.approx(1.1)


class Scattered:
    """A fake: pairs drawn around a truth instead of measured; it keeps the requested measurements."""

    def __init__(self, truth: float, noise: float, seed: int = 1) -> None:
        self.asked: list[tuple[int, Effort]] = []
        self._chance = random.Random(seed)
        self._truth, self._noise = truth, noise

    def __call__(self, workloads: Sequence[Workload], effort: Effort) -> Pairs:
        self.asked.append((len(workloads), effort))
        count, draw = effort.starts * effort.pairs, self._chance.gauss
        return {one.name: [Pair(self._truth * draw(1, self._noise)) for _ in range(count)] for one in workloads}


def failures(truth: float) -> int:
    runs = [judge(WORKLOADS, Scattered(truth, 0.06, seed)) for seed in range(200)]
    return sum(any(verdict.regressed for verdict in verdicts) for verdicts in runs)


def test_with_pairs_that_scatter_by_six_percent_noise_does_not_trip_the_gate_and_a_regression_does() -> None:
    assert failures(1.0) <= 2
    assert failures(1.15) >= 199


def test_only_what_looks_dearer_is_measured_again_and_judged_by_all_pairs() -> None:
    same, dearer = Scattered(1.0, 0.0), Scattered(1.2, 0.0)
    judge(WORKLOADS, same)
    assert same.asked == [(len(WORKLOADS), FIRST)]
    verdicts = judge(WORKLOADS, dearer)
    assert dearer.asked == [(len(WORKLOADS), FIRST), (len(WORKLOADS), AGAIN)]
    assert {len(one.pairs) for one in verdicts} == {FIRST.starts * FIRST.pairs + AGAIN.starts * AGAIN.pairs}


def test_what_is_a_little_dearer_gets_a_second_look_and_is_not_failed() -> None:
    little = Scattered(1.05, 0.0)
    assert not any(one.regressed for one in judge(WORKLOADS, little))
    assert little.asked == [(len(WORKLOADS), FIRST), (len(WORKLOADS), AGAIN)]


def test_a_directory_without_the_service_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no checkout"):
        checkout(tmp_path)
