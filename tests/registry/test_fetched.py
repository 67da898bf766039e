"""What the store has given with the admissions: lives that hold are kept, and told to the requests."""

from __future__ import annotations

import pytest

from arsenal_fast.identity.validity import Fetched, Issued, Life, LookedUp, Outcome, StoreRecord
from tests.support.registry import Bench, One, fetched, identity, with_ledger
from tests.support.rig import START

NOW = round(START * 1000)
LIVING = Life(NOW - 5000, NOW + 55_000)


def test_fetched_lives_are_kept_and_counted_and_the_store_is_not_asked() -> None:
    bench = Bench()
    given = [fetched(bench, outcome) for outcome in (Outcome.ISSUED, Outcome.FOUND, Outcome.RENEWED)]
    wanted = [One(bench, run) for run in (1, 2, 3)]
    bench.fetched.keep(wanted, given, bench.cache.invalidations)
    lives = [each.fetched for each in wanted]
    assert lives == [each.life for each in given]
    assert [entry and entry.life for entry in bench.cache.get_all([each.id for each in wanted])] == lives
    assert bench.store.issues == []
    assert (bench.hits(), bench.metrics.identity_issued, bench.metrics.identity_renewed) == ((3, 2), 1, 1)


def test_what_the_store_has_looked_up_or_left_out_is_not_counted_here() -> None:
    bench = Bench()
    looked, left_out = LookedUp(None), None
    requests = [One(bench, 1), One(bench, 2)]
    bench.fetched.keep(requests, [looked, left_out], 7)
    assert [(each.fetched, each.invalidations) for each in requests] == [(looked, 7), (left_out, 7)]
    assert bench.hits() == (0, 0)


def test_a_life_that_was_fetched_before_a_revocation_is_handed_out_and_not_kept() -> None:
    bench = Bench()
    request = One(bench, 1)
    bench.cache.invalidate([identity(2).id])
    life = fetched(bench, Outcome.FOUND)
    bench.fetched.keep([request], [life], bench.cache.invalidations - 1)
    assert request.fetched == life.life
    assert bench.cache.get(identity(1).id) is None


def test_a_living_life_that_was_looked_up_is_told_and_kept_as_a_found_one() -> None:
    bench = with_ledger()
    request = One(bench, 1)
    bench.fetched.keep([request], [LookedUp(StoreRecord(LIVING, LIVING.generated - 1))], bench.cache.invalidations)
    assert request.fetched == LIVING
    entry = bench.cache.get(request.id)
    assert entry is not None
    assert entry.life == LIVING
    assert (bench.hits(), bench.store.finds, bench.metrics.identity_issued) == ((1, 1), [], 0)


NO_HOLD: dict[str, tuple[Fetched | None, dict[str, int]]] = {
    "unknown": (LookedUp(None), {}),
    "provisional": (LookedUp(StoreRecord(LIVING, 0, True)), {}),
    "revoked": (LookedUp(StoreRecord(LIVING, LIVING.generated)), {}),
    "over": (LookedUp(StoreRecord(Life(NOW - 5000, NOW))), {}),
    "from before an epoch": (LookedUp(StoreRecord(LIVING)), {"player": LIVING.generated + 1}),
    "not in the ledger yet": (Issued(Outcome.ISSUED, LIVING), {}),
    "refused": (None, {}),
}


@pytest.mark.parametrize("case", NO_HOLD)
def test_what_does_not_hold_yet_is_told_as_the_store_said_it(case: str) -> None:
    bench, (said, epochs) = with_ledger(), NO_HOLD[case]
    bench.cache.sync.learn_epochs(epochs)
    request = One(bench, 1)
    bench.fetched.keep([request], [said], 7)
    assert (request.fetched, request.invalidations) == (said, 7)
    assert (bench.cache.get(request.id), bench.hits()) == (None, (0, 0))
