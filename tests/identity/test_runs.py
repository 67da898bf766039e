"""Drawn runs: 80 random bits after the time, in a reserved form."""

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.identity.grammar import MAX_LOCAL, compose, run_fault
from arsenal_fast.identity.runs import DRAWN, LAST_MOMENT, LENGTH, MAX_PREFIX, RANDOM_BYTES, draw_run, is_drawn
from arsenal_fast.identity.validity import timestamp

NOW = 1_795_341_600_000  # 2026-11-22T10:00:00Z
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

MOMENTS = st.integers(0, LAST_MOMENT)
CHANCE = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


def drawn(now_ms: int, chance: bytes) -> str:
    """The run of this moment and these bytes; nothing else is read from the source."""
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return chance

    run = draw_run(now_ms, source)
    assert asked == [10], "80 bits, drawn once"
    return run


def number(run: str) -> int:
    """What a ULID's 26 characters say, by its specification."""
    value = 0
    for character in "0" + run.removeprefix("_"):
        value = value * 32 + ALPHABET.index(character)
    return value


# (ms, bytes of the source, run). The moment of the second is the example of the ULID specification: 01ARYZ6S41.
RUNS = [
    (0, bytes(10), "_" + "0" * 25),
    (1_469_918_176_385, bytes(9) + b"\x01", "_1aryz6s41" + "0" * 15 + "1"),
    (NOW, bytes(range(10)), "_1m81b5h80000g40r40m30e209"),
    (LAST_MOMENT, b"\xff" * 10, "_" + "z" * 25),
    (LAST_MOMENT + 1, bytes(10), "_" + "z" * 9 + "0" * 16),
    (1 << 80, bytes(10), "_" + "z" * 9 + "0" * 16),
    (-1, b"\xff" * 10, "_" + "0" * 9 + "z" * 16),
    (-(1 << 80), bytes(10), "_" + "0" * 25),
]


@pytest.mark.parametrize(("now", "chance", "run"), RUNS)
def test_a_run_is_the_moment_and_the_chance(now: int, chance: bytes, run: str) -> None:
    assert drawn(now, chance) == run


@given(MOMENTS, CHANCE)
def test_a_run_is_a_ulid_and_a_good_run_of_an_identity(now: int, chance: bytes) -> None:
    run = drawn(now, chance)
    value = number(run)
    assert (value >> 80, value & (1 << 80) - 1) == (now, int.from_bytes(chance))
    assert re.fullmatch(r"_[0-9abcdefghjkmnpqrstvwxyz]{25}", run)
    assert len(run) == LENGTH
    assert run_fault(run) is None
    assert is_drawn(run)


@given(st.tuples(MOMENTS, CHANCE), st.tuples(MOMENTS, CHANCE))
def test_runs_are_in_the_order_of_their_moments_and_never_the_same(
    one: tuple[int, bytes], other: tuple[int, bytes]
) -> None:
    runs = drawn(*one), drawn(*other)
    assert (runs[0] < runs[1]) == (one < other)
    assert (runs[0] == runs[1]) == (one == other)


def test_the_runs_of_one_millisecond_differ() -> None:
    runs = [draw_run(NOW, os.urandom) for _ in range(1000)]
    assert len(set(runs)) == 1000
    assert len({run[:10] for run in runs}) == 1
    assert not any(after[10:] == before[10:] for before, after in pairwise(runs))


def test_runs_last_until_the_stated_moment() -> None:
    assert LAST_MOMENT == 35_184_372_088_831
    assert timestamp(LAST_MOMENT) == "3084-12-12T12:41:28.831Z"


def test_a_run_is_decoded_as_documented() -> None:
    page = Path(__file__).parents[2] / "docs" / "identity-and-trust.md"
    (block,) = (each for each in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if "drawn_at" in each)
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    for now, _, run in RUNS[:4]:
        assert namespace["drawn_at"](run) == now


def test_the_longest_prefix_has_room_for_a_drawn_run() -> None:
    assert MAX_PREFIX == 37
    identity = compose("p" * MAX_PREFIX, draw_run(NOW, os.urandom), "a.example", "v1")
    assert len(identity.email.partition("@")[0]) == MAX_LOCAL


FORM = "_1m81b5h80000g40r40m30e209"
NEAR = [
    *("", "_", FORM[1:], FORM[:-1], FORM + "0", "0" + FORM, FORM + "\n", " " + FORM, "-" + FORM[1:]),
    *(FORM[:5] + each + FORM[6:] for each in "ilouILOU_.-:`{\u0661\u017f"),
]


def test_only_the_form_is_drawn() -> None:
    assert is_drawn(FORM)
    assert is_drawn(FORM.upper())
    assert [run for run in NEAR if is_drawn(run)] == []


@given(st.from_regex(DRAWN, fullmatch=True))
def test_every_text_of_the_form_is_drawn(run: str) -> None:
    assert is_drawn(run)
