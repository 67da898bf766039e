"""Look-ups: in the worker's memory, the store and the ledger, whichever can be read."""

from collections.abc import Callable

import pytest

from arsenal_fast.identity.validity import Life, LookedUp, StoreRecord
from arsenal_fast.registry.lookup import IdentityState
from tests.support.registry import (
    Bench,
    HalfAway,
    flushed,
    half,
    held_in_store,
    identity,
    kept,
    with_ledger,
)


def test_without_the_store_what_is_remembered_is_found_and_nothing_else_is_denied() -> None:
    bench = Bench()
    record = bench.issue(1)[0]
    bench.store.away = True
    assert bench.find(1) == ([record.life], True)
    assert bench.find(1, 2) == ([record.life, None], False)
    bench.rig.advance(60)
    assert bench.find(1) == ([None], False)


def test_a_life_that_the_store_has_lost_is_found_in_the_ledger_and_put_back() -> None:
    bench = with_ledger()
    life = bench.issue(1)[0].life
    bench.hits()
    other = with_ledger(kept(bench).book, bench.store)
    flushed(bench)
    other.rig.advance(5)
    assert other.known(1, 2) == ([IdentityState(life, 0, cached=False), None], True)
    assert other.hits() == (2, 1)
    assert kept(other).finds == [[identity(1).id, identity(2).id]]
    assert held_in_store(other, 1) == StoreRecord(life)
    assert other.known(1) == ([IdentityState(life, 0, cached=True)], True), "the store knows it again"
    assert len(kept(other).finds) == 1


def test_a_life_that_is_over_or_revoked_is_told_and_not_put_back() -> None:
    bench = with_ledger()
    life = bench.issue(1, 2)[0].life
    bench.revoke(2)
    flushed(bench)
    other = with_ledger(kept(bench).book, bench.store)
    other.rig.advance(60)
    known, readable = other.known(1, 2)
    assert readable
    assert known == [IdentityState(life, 0, cached=False), IdentityState(life, life.generated + 1, cached=False)]
    assert (held_in_store(other, 1), held_in_store(other, 2)) == (None, None)
    assert other.hits() == (2, 0)


# Store away, ledger away -> the state of an identity of another worker, and of one that was never requested.
READABLE = [
    (False, False, True, True),
    (True, False, True, True),
    (False, True, True, False),
    (True, True, False, False),
]


@pytest.mark.parametrize(("store_away", "ledger_away", "known", "readable"), READABLE)
def test_what_can_be_read_is_read(store_away: bool, ledger_away: bool, known: bool, readable: bool) -> None:
    bench = with_ledger()
    life = bench.issue(1)[0].life
    other = with_ledger(kept(bench).book, bench.store)
    bench.store.away, kept(other).away = store_away, ledger_away
    assert other.find(1, 2) == ([life if known else None, None], readable)


def test_a_proposed_life_is_not_told_while_the_ledger_holds_another() -> None:
    bench = with_ledger()
    life = bench.issue(1)[0].life
    flushed(bench)
    bench.rig.advance(5)
    other = with_ledger(kept(bench).book, bench.store)
    other.rig.advance(5)
    kept(other).holding = True
    answers = other.ask(1)
    third = with_ledger(kept(bench).book, bench.store)
    third.rig.advance(5)
    assert third.find(1) == ([life], True)
    kept(other).release_all()
    assert answers[0][0].life == life


def test_what_was_found_in_the_store_to_live_is_remembered() -> None:
    other = Bench()
    bench = Bench(store=other.store)
    record = other.issue(1)[0]
    assert bench.find(1) == ([record.life], True)
    assert bench.find(1) == ([record.life], True)
    assert len(bench.store.finds) == 1
    kept = bench.cache.get(identity(1).id)
    assert kept is not None
    assert kept.life == record.life


def test_what_was_found_while_something_was_revoked_is_told_and_not_remembered() -> None:
    other = Bench()
    bench = Bench(store=other.store)
    record = other.issue(1)[0]
    bench.store.holding = True
    answers = bench.looking_up(1)
    bench.cache.invalidate(["another identity"])
    bench.store.release_all()
    (known,) = answers[0][0]
    assert known is not None
    assert known.life == record.life
    assert bench.cache.get(identity(1).id) is None


def test_what_was_found_dead_is_not_remembered() -> None:
    other = Bench()
    bench = Bench(store=other.store)
    other.issue(1, ttl=10)
    bench.rig.advance(11)
    bench.find(1)
    assert bench.cache.get(identity(1).id) is None


def test_what_is_in_another_shard_is_found_while_one_is_away() -> None:
    """The second answer is that something could not be read."""
    other = Bench()
    life = other.issue(1)[0].life
    bench = Bench(store=HalfAway(other.store.memory), shard_of=half)
    assert bench.find(1) == ([life], True)
    assert bench.find(1, 2) == ([life, None], False)
    assert bench.find(2) == ([None], False)


def test_what_is_in_a_shard_that_is_away_comes_from_the_ledger() -> None:
    whole = with_ledger()
    lives = [record.life for record in whole.issue(1, 2)]
    bench = Bench(store=HalfAway(whole.store.memory), ledger=whole.ledger, shard_of=half)
    assert bench.find(1, 2) == (lives, True)


def test_responses_are_held_from_an_answer_of_the_store_or_the_ledger_on() -> None:
    bench = with_ledger()
    held: list[str] = []
    bench.lookup.gather_responses = lambda: held.append("held")
    bench.issue(1)
    bench.known(1)
    assert held == []
    bench.known(2)
    assert held == ["held", "held"]


# What the store has said together with the admission.


class Waiting:
    """A request that waits for one identity."""

    def __init__(self) -> None:
        self.got: list[tuple[IdentityState | None, bool]] = []

    def looked_up(self, _identity: str, state: IdentityState | None, readable: bool) -> None:
        self.got.append((state, readable))

    def cut_off(self) -> None:
        raise AssertionError


def test_a_life_that_was_fetched_and_is_over_is_told_and_is_no_hit() -> None:
    bench, life, request = Bench(), Life(1, 2), Waiting()
    bench.lookup.submit(identity(1).id, request, LookedUp(StoreRecord(life, 5)))
    assert request.got == [(IdentityState(life, 6, cached=True), True)]
    assert (bench.hits(), bench.cache.get(identity(1).id)) == ((1, 0), None)


def test_what_the_store_lacks_or_holds_as_provisional_is_read_from_the_ledger_alone() -> None:
    bench = with_ledger()
    lives = [entry.life for entry in bench.issue(1, 2)]
    other = with_ledger(kept(bench).book, bench.store)
    soon: list[Callable[[], None]] = []
    other.lookup.call_soon = soon.append
    records = [None, StoreRecord(lives[1], 0, True), None]
    requests = [Waiting() for _ in records]
    for run, (request, record) in enumerate(zip(requests, records, strict=True), 1):
        other.lookup.submit(identity(run).id, request, LookedUp(record))
    other.lookup.submit(identity(2).id, unasked := Waiting())
    assert [request.got for request in requests] == [[], [], []]
    (flush,) = soon
    flush()
    assert [request.got for request in requests] == [
        [(IdentityState(lives[0], 0, cached=False), True)],
        [(IdentityState(lives[1], 0, cached=True), True)],
        [(None, True)],
    ]
    assert unasked.got == [(IdentityState(lives[1], 0, cached=True), True)]
    assert other.store.finds == [[identity(2).id]]
    assert sorted(kept(other).finds[0]) == [identity(run).id for run in (1, 2, 3)]
