"""Look-ups: in the worker's memory, the store and the ledger, whichever can be read."""

import pytest

from arsenal_fast.identity.validity import StoreRecord
from arsenal_fast.registry.lookup import IdentityState
from tests.support.registry import (
    Bench,
    flushed,
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
