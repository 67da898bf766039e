"""The sketch of the heaviest callers keeps its stated error, alone and merged."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.observability.callers import CROWD, KEPT, WINDOW_S, Ranking, RecentCallers, Sketch


def key(number: int) -> bytes:
    return b"198.51.%d.%d" % divmod(number, 256)


def fed(batches: list[tuple[int, int, int]]) -> tuple[Sketch, Counter[str]]:
    """A sketch of batches (first caller, how many, hits of each), and what it should have counted."""
    sketch, exact = Sketch(), Counter[str]()
    for first, many, hits in batches:
        keys = [key(number) for number in range(first, first + many)]
        sketch.add(keys, [hits] * many)
        exact.update({each.decode(): hits for each in keys})
    return sketch, exact


def assert_bounded(ranking: Ranking, exact: Counter[str]) -> None:
    assert len(ranking.counts) <= KEPT
    assert ranking.error * (KEPT + 1) <= exact.total()
    for name, number in exact.items():
        assert 0 <= number - ranking.counts[name] <= ranking.error, name


batches = st.lists(
    st.tuples(st.integers(0, 5000), st.sampled_from([1, 3, 300, 512]), st.sampled_from([1, 1, 2, 50])), max_size=40
)


@settings(max_examples=30, deadline=None)
@given(batches, batches)
def test_no_count_is_too_high_and_none_lower_than_the_error_says(
    one: list[tuple[int, int, int]], other: list[tuple[int, int, int]]
) -> None:
    (sketch, exact), (second, others) = fed(one), fed(other)
    ranking, added = sketch.ranking(1.0), second.ranking(2.0)
    assert_bounded(ranking, exact)
    ranking.add(added.counts, added.error, added.seconds)
    assert_bounded(ranking, exact + others)
    assert ranking.seconds == 2.0


def test_a_crowd_of_strangers_hides_nobody_and_takes_bounded_memory() -> None:
    sketch = Sketch()
    for number in range(20_000):
        sketch.add([b"heavy", key(number)], [1, 1])
        assert len(sketch._counts) <= CROWD + 2
    ranking = sketch.ranking(1.0)
    (name, count), *_ = ranking.heaviest()
    assert name == "heavy"
    assert count + ranking.error >= 20_000
    assert ranking.error <= 40_000 // (KEPT + 1)


def test_looks_count_nothing() -> None:
    sketch = Sketch()
    sketch.add([b"a", b"b"], [0, 2])
    assert sketch.ranking(1.0).heaviest() == [("b", 2)]


def test_callers_of_equal_counts_are_in_the_order_of_their_names() -> None:
    sketch = Sketch()
    sketch.add([b"b", b"c", b"a"], [1, 2, 1])
    assert sketch.ranking(1.0).heaviest() == [("c", 2), ("a", 1), ("b", 1)]


def test_a_report_has_this_window_and_the_one_before() -> None:
    recent = RecentCallers()
    recent.begun_s = 100.0
    recent.add([b"a"], [5])
    first = recent.report(100.0 + WINDOW_S)
    assert (first.counts, first.seconds) == ({"a": 5}, WINDOW_S)
    recent.add([b"a", b"b"], [1, 1])
    second = recent.report(110.0 + WINDOW_S)
    assert (second.counts, second.seconds) == ({"a": 6, "b": 1}, WINDOW_S + 10)
    recent.report(100.0 + 2 * WINDOW_S)
    third = recent.report(101.0 + 2 * WINDOW_S)
    assert (third.counts, third.seconds) == ({"a": 1, "b": 1}, WINDOW_S + 1), "the first window is forgotten"
