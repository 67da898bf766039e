"""Runs increase whatever the clock does, and never meet those of another node."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.identity.grammar import run_fault
from arsenal_fast.identity.life import timestamp
from arsenal_fast.identity.runs import EPOCH, LAST_MOMENT, NODES, RunSequence

NOW = 1_795_341_600_000  # 2026-11-22T10:00:00Z

CLOCKS = st.lists(st.integers(EPOCH - 10, EPOCH + 10) | st.integers(0, LAST_MOMENT), min_size=1, max_size=50)


def parts(run: str) -> tuple[int, int, int]:
    number = int(run)
    return (number >> 22) + EPOCH, number >> 10 & 0xFFF, number & 0x3FF


@pytest.mark.parametrize(
    ("node", "now", "run"),
    [
        (0, EPOCH, "0"),
        (0, EPOCH + 1, str(1 << 22)),
        (1, EPOCH, str(1 << 10)),
        (NODES - 1, EPOCH, str(4095 << 10)),
        (NODES - 1, LAST_MOMENT, str(2**63 - 1024)),
    ],
)
def test_the_first_run_has_the_moment_and_the_node(node: int, now: int, run: str) -> None:
    assert RunSequence(node).next(now) == run


def test_runs_of_one_millisecond_count_up_and_then_run_ahead_of_the_clock() -> None:
    sequence = RunSequence(7)
    runs = [parts(sequence.next(NOW)) for _ in range(1026)]
    assert runs[0] == (NOW, 7, 0)
    assert runs[1023] == (NOW, 7, 1023)
    assert runs[1024] == (NOW + 1, 7, 0)
    assert runs[1025] == (NOW + 1, 7, 1)
    assert parts(sequence.next(NOW + 1)) == (NOW + 1, 7, 2), "the clock has not passed it yet"
    assert parts(sequence.next(NOW + 2)) == (NOW + 2, 7, 0), "now it has"


def test_a_clock_that_steps_back_does_not_bring_runs_back() -> None:
    sequence = RunSequence(7)
    assert parts(sequence.next(NOW)) == (NOW, 7, 0)
    assert parts(sequence.next(NOW - 3_600_000)) == (NOW, 7, 1)
    assert parts(sequence.next(0)) == (NOW, 7, 2)


def test_a_clock_before_the_epoch_starts_at_the_epoch() -> None:
    assert parts(RunSequence(3).next(0)) == (EPOCH, 3, 0)


@given(st.integers(0, NODES - 1), CLOCKS)
def test_runs_strictly_increase_whatever_the_clock_does(node: int, clock: list[int]) -> None:
    sequence = RunSequence(node)
    runs = [int(sequence.next(now)) for now in clock]
    assert all(before < after for before, after in pairwise(runs))
    assert all(run >> 10 & 0xFFF == node for run in runs)


@given(st.sets(st.integers(0, NODES - 1), min_size=2, max_size=5), CLOCKS)
def test_no_two_nodes_make_the_same_run(nodes: set[int], clock: list[int]) -> None:
    sequences = [RunSequence(node) for node in nodes]
    runs = [sequence.next(now) for sequence in sequences for now in clock]
    assert len(set(runs)) == len(runs)


@given(st.integers(0, NODES - 1), st.integers(0, LAST_MOMENT - 1))
def test_a_run_is_a_good_run_of_an_identity_and_fits_63_bits(node: int, now: int) -> None:
    run = RunSequence(node).next(now)
    assert run_fault(run) is None
    assert 0 <= int(run) < 2**63


def test_63_bits_last_until_the_stated_moment() -> None:
    assert timestamp(LAST_MOMENT) == "2089-09-06T15:47:35.551Z"
    assert int(RunSequence(0).next(LAST_MOMENT + 1)) == 2**63


@pytest.mark.parametrize("node", [-1, NODES, 10**9])
def test_a_node_out_of_range_is_refused(node: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 4095"):
        RunSequence(node)
