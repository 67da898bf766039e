"""The bounded map, compared with an unbounded model."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.cache import OFFERS, GenerationalCache

CAPACITIES = st.integers(1, 4)
KEYS = st.integers(0, 8)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "put", "get", "discard"]), KEYS), min_size=1, max_size=80)


def run(cache: GenerationalCache[int, int], steps: list[tuple[str, int]]) -> None:
    for step, key in steps:
        if step == "put":
            cache.put(key, key)
        elif step == "discard":
            cache.discard(key)
        else:
            cache.get(key)


@given(CAPACITIES, STEPS)
def test_what_is_remembered_is_what_was_put_last(capacity: int, steps: list[tuple[str, int]]) -> None:
    cache: GenerationalCache[int, str] = GenerationalCache(capacity)
    model: dict[int, str] = {}
    for number, (step, key) in enumerate(steps):
        if step == "put":
            held = cache.peek(key)  # perhaps the last moment before it is dropped
            model[key] = f"value {number}"
            assert cache.put(key, model[key]) in (held, None)
            assert cache.get(key) == model[key]
        elif step == "discard":
            model.pop(key, None)
            cache.discard(key)
            assert cache.get(key) is None
        else:
            assert cache.get(key) in (None, model.get(key))


@given(CAPACITIES, STEPS, st.booleans())
def test_an_entry_survives_capacity_insertions_after_its_last_use(
    capacity: int, before: list[tuple[str, int]], asked_for: bool
) -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(capacity)
    run(cache, before)
    cache.put(-1, -1)
    if asked_for:
        run(cache, [("put", 50 + key) for key in range(capacity)])
        assert cache.get(-1) == -1  # the last use
    run(cache, [("put", 100 + key) for key in range(capacity)])
    assert cache.get(-1) == -1


@given(CAPACITIES, st.integers(0, 12))
def test_what_is_not_used_is_forgotten_after_twice_capacity_insertions(capacity: int, before: int) -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(capacity)
    for key in range(before):
        cache.put(key, key)
    cache.put(-1, -1)
    for key in range(100, 100 + 2 * capacity):
        cache.put(key, key)
    assert cache.get(-1) is None


@given(CAPACITIES, STEPS)
def test_the_entries_are_bounded_counted_and_listed_once(capacity: int, steps: list[tuple[str, int]]) -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(capacity)
    for step in steps:
        run(cache, [step])
        values = list(cache.values())
        assert len(values) == len(set(values)) == len(cache) <= 2 * capacity


class Value:
    """Something whose end can be seen."""


def test_what_is_forgotten_is_let_go_little_by_little_and_soon() -> None:
    capacity = 100
    alive: weakref.WeakSet[Value] = weakref.WeakSet()
    cache: GenerationalCache[int, Value] = GenerationalCache(capacity)
    let_go = []
    gc.disable()
    try:
        for key in range(10 * capacity):
            value = Value()
            alive.add(value)
            before = len(alive)
            cache.put(key, value)
            del value
            let_go.append(before - len(alive))
            assert len(alive) <= 3 * capacity
    finally:
        gc.enable()
    assert max(let_go) == 2, "one insertion pays for freeing two entries at most"


def test_values_can_be_read_while_entries_come_and_go() -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(4)
    for key in range(6):
        cache.put(key, key)
    seen = []
    for value in cache.values():
        seen.append(value)
        cache.put(100 + value, -1)
        cache.discard(value)
    assert set(seen) <= {*range(6), -1}


def test_clear_forgets_everything() -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(3)
    for key in range(8):
        cache.put(key, key)
    cache.clear()
    assert len(cache) == 0
    assert [cache.get(key) for key in range(8)] == [None] * 8


def test_counting_the_entries_does_not_walk_them() -> None:
    """Every snapshot reads the number, twice a second: with 65,536 entries a walk is 20 ms."""

    class Key(int):
        hashed = 0

        def __hash__(self) -> int:
            Key.hashed += 1
            return int(self)

    cache: GenerationalCache[Key, int] = GenerationalCache(50)
    for number in range(99):
        cache.put(Key(number), number)
    Key.hashed = 0
    assert len(cache) in range(50, 101)
    assert Key.hashed == 0


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_cache_of_nothing_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        GenerationalCache[str, str](capacity)


def test_the_callback_gets_each_dropped_value_once() -> None:
    retired: list[int] = []
    cache: GenerationalCache[int, int] = GenerationalCache(4, retired.append)
    for key in range(1, 101):
        cache.put(key, key)
    held = {value for _, value in cache.held()}
    assert sorted([*retired, *held]) == list(range(1, 101))
    assert len(held) <= 12
    cache.clear()
    assert sorted(retired) == list(range(1, 101))
    assert not list(cache.held())


def test_a_value_can_be_seen_until_it_is_forgotten_without_keeping_it() -> None:
    retired: list[int] = []
    cache: GenerationalCache[int, int] = GenerationalCache(4, retired.append)
    for key in range(1, 30):
        cache.put(key, key)
        assert [each for each in range(1, key + 1) if cache.peek(each) is None] == sorted(retired)
    cache.discard(29)
    assert cache.peek(29) is None


def test_a_value_that_was_replaced_while_it_was_being_forgotten_is_not_forgotten_afterwards() -> None:
    forgotten: list[str] = []
    cache: GenerationalCache[str, str] = GenerationalCache(3, forgotten.append)
    for key in "abcdefg":
        cache.put(key, key)
    assert sorted(forgotten) == ["b", "c"], "and a is the next"
    assert cache.put("a", "new a") == "a"
    for key in "hij":
        cache.put(key, key)
    assert len(forgotten) > 2
    assert "a" not in forgotten


def offer(cache: GenerationalCache[int, int], key: int) -> None:
    if cache.takes_new(key):
        cache.put(key, key)


def test_what_is_offered_is_taken_while_there_is_room() -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(4)
    for key in range(5):
        offer(cache, key)
    assert list(cache.values()) == [4, 0, 1, 2, 3]


def full() -> GenerationalCache[int, int]:
    cache: GenerationalCache[int, int] = GenerationalCache(50)
    for key in range(51):
        cache.put(key, key)
    return cache


@given(st.lists(st.integers(100, 200), max_size=60))
def test_without_room_what_is_offered_is_taken_the_second_time(keys: list[int]) -> None:
    cache = full()
    for key in keys:
        offer(cache, key)
    assert set(cache.values()) - set(range(51)) == {key for key in keys if keys.count(key) > 1}


def test_of_keys_that_come_once_few_displace_others() -> None:
    cache = full()
    taken = [key for key in range(100, 100 + 10 * OFFERS) if cache.takes_new(hash(str(key)))]
    assert 0.02 < len(taken) / (10 * OFFERS) < 0.05


def test_what_was_offered_long_ago_is_offered_for_the_first_time() -> None:
    cache = full()
    assert [cache.takes_new(100), cache.takes_new(100)] == [False, True]
    assert not any(map(cache.takes_new, range(101, 101 + OFFERS)))
    assert not cache.takes_new(100)


def test_what_replaces_an_entry_is_always_taken() -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(20)
    for key in range(61):  # a young one, an old generation, and one that is being forgotten
        cache.put(key, key)
    held = [key for key, _ in cache.held()]
    assert {60, 20}.issubset(held)
    assert len(held) > len(cache), "some are being forgotten"
    assert all(map(cache.takes, held))


WEIGHTS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["put", "get", "discard"])), max_size=120)


@given(st.integers(1, 40), WEIGHTS)
def test_entries_that_are_weighed_never_take_more_than_two_generations_and_an_entry(
    room: int, steps: list[tuple[int, str]]
) -> None:
    """A key weighs what it is, from 0 to 30, so that light entries make way for heavy ones and the other way round."""
    cache: GenerationalCache[int, int] = GenerationalCache(1000, weigh=lambda key, _: key, room=room)
    for key, step in steps:
        run(cache, [(step, key)])
        assert sum(value for _, value in cache.held()) <= 2 * (room + 30) + 30
        assert sum(cache._young.values()) < room + 30


WEIGHED = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=120)


@given(st.integers(1, 40), WEIGHED)
def test_an_entry_that_becomes_heavier_or_lighter_is_weighed_as_it_is(room: int, steps: list[tuple[int, int]]) -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(1000, weigh=lambda _, value: value, room=room)
    for key, value in steps:
        cache.put(key, value)
        assert cache._bytes == sum(cache._young.values()) < room + 30
        assert sum(value for _, value in cache.held()) <= 2 * (room + 30) + 30


GROUPS = st.lists(st.dictionaries(KEYS, st.integers(0, 30), max_size=5), max_size=40)


@given(CAPACITIES, st.integers(1, 120), GROUPS)
def test_entries_that_are_put_together_are_put_as_one_by_one(
    capacity: int, room: int, groups: list[dict[int, int]]
) -> None:
    together, single = (
        GenerationalCache[int, int](capacity, weigh=lambda _, value: value, room=room) for _ in range(2)
    )
    for group in groups:
        before = {key: value for key in group if (value := together.peek(key)) is not None}
        replaced = dict(together.put_all(group))
        assert replaced.items() <= before.items(), "as far as they were not forgotten meanwhile"
        for key, value in group.items():
            single.put(key, value)
        assert (together._young, together._old) == (single._young, single._old)
        assert together._bytes == single._bytes
        assert len(list(together.held())) <= 3 * capacity


def test_entries_that_are_put_together_make_those_they_replace_known() -> None:
    cache: GenerationalCache[int, str] = GenerationalCache(10)
    cache.put(1, "old")
    assert cache.put_all({1: "new", 2: "other"}) == [(1, "old")]
    assert cache.put_all({3: "third"}) == ()
    assert dict(cache.held()) == {1: "new", 2: "other", 3: "third"}


def test_entries_that_are_put_together_free_twice_as_many() -> None:
    cache: GenerationalCache[int, int] = GenerationalCache(10)
    for key in range(21):
        cache.put(key, key)
    assert len(cache._dying) == 8
    cache.put_all({21: 21, 22: 22, 23: 23})
    assert len(cache._dying) == 2


def test_an_entry_that_is_put_again_is_weighed_once() -> None:
    cache: GenerationalCache[str, int] = GenerationalCache(1000, weigh=lambda _, value: value, room=100)
    cache.put("other", 50)
    for _ in range(20):
        cache.put("same", 40)
    assert set(cache._young) == {"other", "same"}
    cache.discard("same")
    for number in range(4):
        cache.put(f"{number}", 10)
    assert len(cache._young) == 5
