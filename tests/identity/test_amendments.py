"""Amendments of service tokens: which of two prevails, and what a token is worth after them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.identity.amendments import (
    WITHDRAWN,
    Amendment,
    Amendments,
    prevails,
    rank,
    subject_key,
    token_key,
)
from arsenal_fast.identity.grammar import prefix_fault

ISSUED_S = 1000
END = 10**13

# Held, new, and whether the new one prevails.
PAIRS = [
    (None, Amendment(5, 7, END), True),
    (None, Amendment(5, WITHDRAWN, END), True),
    (Amendment(5, 7, END), Amendment(6, 8, END), True),
    (Amendment(6, 8, END), Amendment(5, 7, END), False),
    (Amendment(6, 8, END), Amendment(5, WITHDRAWN, END), True),
    (Amendment(5, WITHDRAWN, END), Amendment(6, 8, END), False),
    (Amendment(5, WITHDRAWN, END), Amendment(6, WITHDRAWN, END), True),
    (Amendment(5, 8, END), Amendment(5, 7, END), True),
    (Amendment(5, 7, END), Amendment(5, 8, END), False),
    (Amendment(5, 7, END), Amendment(5, 7, END), False),
]


@pytest.mark.parametrize(("held", "new", "wins"), PAIRS)
def test_a_withdrawal_is_final_and_of_two_limits_the_later_one_holds(
    held: Amendment | None, new: Amendment, wins: bool
) -> None:
    assert prevails(new, held) is wins


def test_no_prefix_of_an_identity_is_the_key_of_an_amendment() -> None:
    for key in (token_key("0123456789abcdef0123"), subject_key("bot")):
        assert prefix_fault(key) is not None


amendments = st.builds(Amendment, st.integers(0, 5), st.integers(0, 3), st.integers(1, 4))
maps = st.dictionaries(st.sampled_from(["token:1", "token:2", "sub:a"]), amendments)


@given(st.lists(maps, max_size=6), st.randoms())
def test_in_whichever_order_and_however_often_amendments_come_all_replicas_hold_the_same(
    told: list[Mapping[str, Amendment]], chance: object
) -> None:
    one, other = Amendments(), Amendments()
    for each in told:
        one.learn(each)
    shuffled = [*told, *told]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for each in shuffled:
        other.learn(each)
    assert one.held == other.held
    for key, held in one.held.items():
        assert rank(held) == max(rank(each[key]) for each in told if key in each)
    assert one.missing_from(other.held) == {}


@given(st.lists(maps, max_size=4), maps)
def test_what_a_store_lacks_is_what_makes_it_hold_the_same(known: list[Mapping[str, Amendment]], held: object) -> None:
    worker, store = Amendments(), Amendments()
    for each in known:
        worker.learn(each)
    store.learn(held)  # type: ignore[arg-type]
    worker.learn(store.held)
    store.learn(worker.missing_from(store.held))
    assert store.held == worker.held


# Amendments, and what is left of a token "1" of subject "a" that was issued in second 1000.
WORTH: list[tuple[dict[str, Amendment], int | None]] = [
    ({}, None),
    ({"token:1": Amendment(5, 9, END)}, 9),
    ({"token:1": Amendment(5, WITHDRAWN, END)}, WITHDRAWN),
    ({"token:2": Amendment(5, WITHDRAWN, END)}, None),
    ({"sub:a": Amendment(1_000_000, WITHDRAWN, END)}, None),
    ({"sub:a": Amendment(1_000_001, WITHDRAWN, END)}, WITHDRAWN),
    ({"sub:a": Amendment(1_001_000, WITHDRAWN, END), "token:1": Amendment(2_000_000, 9, END)}, WITHDRAWN),
    ({"sub:b": Amendment(1_001_000, WITHDRAWN, END)}, None),
]


@pytest.mark.parametrize(("held", "worth"), WORTH)
def test_what_a_token_is_worth(held: dict[str, Amendment], worth: int | None) -> None:
    known = Amendments()
    known.learn(held)
    assert known.rate_limit("1", "a", ISSUED_S) == worth


def test_only_what_is_new_is_told() -> None:
    known, told = Amendments(), list[Mapping[str, Amendment]]()
    known.on_change = told.append
    first = {"token:1": Amendment(5, 9, END), "token:2": Amendment(5, 9, END)}
    known.learn(first)
    known.learn(first)
    later = {"token:1": Amendment(6, WITHDRAWN, END)}
    known.learn(first | later)
    assert told == [first, later]


def test_what_concerns_expired_tokens_only_is_forgotten() -> None:
    known = Amendments()
    for number in range(10_000):
        known.learn({token_key(str(number)): Amendment(number, WITHDRAWN, number + 100)})
        if number % 100 == 0:
            known.prune(number)
            assert len(known.held) <= 201
    known.prune(10_099)
    assert known.held == {}


def test_the_last_withdrawal_of_a_subject_is_told() -> None:
    known = Amendments()
    assert known.withdrawn_before_ms("a") == 0
    known.learn({subject_key("a"): Amendment(7, WITHDRAWN, END)})
    assert known.withdrawn_before_ms("a") == 7
