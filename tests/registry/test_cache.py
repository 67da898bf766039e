"""The identities that a worker caches: asserted to a store that returns, and dropped when another life holds."""

from collections.abc import Sequence

import pytest

from arsenal_fast.identity.validity import Issued, IssueRow, Life, Mode
from arsenal_fast.registry.cache import CachedIdentity
from arsenal_fast.registry.issuer import BatchRequest
from tests.support.registry import (
    AUDIT,
    Bench,
    HalfAway,
    flushed,
    half,
    identity,
)
from tests.support.rig import Rig, request
from tests.support.stores import SwitchedStore


def test_a_life_has_one_record_however_many_asked_for_it_at_once() -> None:
    bench = Bench()
    bench.store.holding = True
    answers: list[Sequence[CachedIdentity]] = []
    for _ in range(3):
        bench.issuer.issue(BatchRequest([identity(1).id], 60_000, lambda: AUDIT, answers.append, bench.cache))
    bench.store.release_all()
    assert len({id(records[0]) for records in answers}) == 1


@pytest.mark.parametrize("count", [1, 199, 200, 201, 450])
def test_when_the_store_is_back_it_is_told_of_every_life_in_small_commands(count: int) -> None:
    bench = Bench()
    bench.store.away = True
    records = bench.issue(*range(count))
    bench.store.away = False
    bench.store.issues.clear()
    bench.cache.restore()
    rows = [row for rows in bench.store.issues for row in rows]
    assert max(len(rows) for rows in bench.store.issues) <= 200
    assert sorted(rows) == sorted(
        IssueRow(record.id, record.life.ttl, Mode.ASSERT, record.life.generated) for record in records
    )
    other = Bench(store=bench.store)
    other.rig.advance(1)
    assert [record.life for record in other.issue(*range(count))] == [record.life for record in records]


def test_what_has_expired_in_the_outage_is_not_told() -> None:
    bench = Bench()
    bench.store.away = True
    bench.issue(1, ttl=10)
    bench.issue(2)
    bench.rig.advance(10)
    bench.store.away = False
    bench.cache.restore()
    assert [row.id for row in bench.store.issues[-1]] == [identity(2).id]


def test_where_another_worker_was_first_its_life_holds() -> None:
    bench = Bench()
    bench.store.away = True
    own = bench.issue(1, 2)
    bench.store.away = False
    bench.rig.advance(5)
    other = Bench(store=bench.store)
    theirs = other.issue(1)[0]
    bench.cache.restore()
    assert bench.issue(1)[0].life == theirs.life != own[0].life
    assert bench.issue(2)[0].life == own[1].life


def test_a_store_that_goes_away_again_is_told_at_its_next_return() -> None:
    bench = Bench()
    bench.store.away = True
    records = bench.issue(*range(300))
    bench.store.away, bench.store.holding = False, True
    bench.cache.restore()
    bench.store.away = True
    bench.store.release()
    bench.store.holding = False
    bench.store.release()
    bench.store.away = False
    bench.cache.restore()
    assert [issued.life for issued in _issued(bench.store, range(300))] == [record.life for record in records]


def _issued(store: SwitchedStore, runs: range) -> list[Issued]:
    answers: list[Sequence[Issued] | None] = []
    store.issue([IssueRow(identity(run).id, 1000) for run in runs], answers.append)
    assert answers[0] is not None
    return list(answers[0])


def test_an_identity_that_is_answered_from_prepared_answers_is_told_to_the_store_too() -> None:
    rig = Rig(settings={"quota": None, "cache_size": 16}, switched=True)
    client = rig.connect()
    first = client.get("/api/v1/id?run=hot").json
    for number in range(100):  # look-ups that push it out of the cache again and again
        issue = BatchRequest([identity(number).id], 60_000, lambda: AUDIT, lambda _: None, rig.service.identities)
        rig.service.issuer.issue(issue)
        assert client.get("/api/v1/id?run=hot").json == first
    rig.shared.memory = rig.memory()  # the store has lost everything
    rig.shared.come_back()
    rig.advance(5)
    other = Rig(settings={"quota": None}, store=rig.shared)
    other.advance(5)
    assert other.get("/api/v1/id?run=hot").json == first


def test_a_prepared_answer_goes_when_its_record_is_forgotten() -> None:
    other = Rig(settings={"quota": None}, switched=True)
    rig = Rig(settings={"quota": None}, store=other.shared)
    other.shared.away = True
    client, target = rig.connect(), "/api/v1/id?run=1"
    own = client.get(target).json
    spelled = client.get(f"{target}&prefix=unknown").json
    assert own == spelled == client.get(target).json
    other.shared.away = False
    rig.advance(9)
    other.advance(9)
    theirs = other.get(target).json
    other.shared.come_back()
    assert theirs != own
    for spelling in (target, f"{target}&prefix=unknown"):
        client.send(request("GET", spelling))
        assert client.answers("GET")[0].json == theirs


def test_a_record_that_another_life_replaces_is_forgotten_wherever_it_is_held() -> None:
    bench = Bench()
    old = bench.issue(1)[0]
    bench.cache.invalidate(None)
    flushed(bench)
    bench.rig.advance(5)
    new = bench.issue(1)[0]
    assert new.life != old.life
    assert (old.fresh_until_s, old.expires_s) == (0, 0)
    assert bench.issue(1) == [new]


def test_what_was_revoked_in_an_outage_is_not_asserted_and_not_remembered() -> None:
    other = Bench()
    bench = Bench(store=other.store)
    record = bench.issue(1)[0]
    other.rig.advance(1)
    other.revoke(1)
    bench.cache.restore()
    assert (record.fresh_until_s, record.expires_s) == (0, 0)
    assert bench.issue(1)[0].life.generated > record.life.generated


def test_the_shards_that_are_back_get_their_identities_while_another_is_away() -> None:
    bench = Bench(store=HalfAway(Rig().memory()), shard_of=half)
    bench.issue(1, 2, 3, 5)
    bench.store.issues.clear()
    bench.cache.restore()
    asserted = [{row.id for row in rows} for rows in bench.store.issues]
    assert {identity(1).id, identity(3).id, identity(5).id} in asserted
    assert {identity(2).id} in asserted


def test_a_change_in_any_shard_is_followed_and_the_epochs_are_of_all() -> None:
    bench = Bench()
    shard = SwitchedStore(Rig().memory())
    sync = bench.cache.follow(shard)
    record = bench.issue(1)[0]
    shard.revoke(record.id, record.life, lambda _: None)
    shard.set_epoch("player", 7, lambda _: None)
    gone: list[str] = []
    sync.catch_up(1, lambda: gone.append("on"))
    assert gone == ["on"]
    assert bench.cache.get(record.id) is None
    assert bench.cache.sync.epochs == {"player": 7}


# Lives that are kept without an entry.

LIFE = Life(1_763_805_600_000, 1_763_809_200_000)
ONE, TWO, THREE = (identity(run).id for run in (1, 2, 3))


def remembering(*ids: str) -> Bench:
    bench = Bench()
    for each in ids:
        bench.cache.remember(each, LIFE, bench.cache.invalidations)
    return bench


def test_a_remembered_life_has_one_entry_from_when_it_is_asked_for() -> None:
    cache = remembering(ONE).cache
    entry = cache.get(ONE)
    assert entry is not None
    assert (entry.id, entry.life) == (ONE, LIFE)
    assert (entry.fresh_until_s, entry.expires_s) == (LIFE.renew_at / 1000, LIFE.expires / 1000)
    assert cache.get(ONE) is entry
    assert cache.get_all([ONE]) == [entry]


def test_entries_lives_and_unknown_ids_are_asked_for_together() -> None:
    cache = remembering(TWO).cache
    put = cache.put(ONE, LIFE, 0)
    one, two, three = cache.get_all([ONE, TWO, THREE])
    assert one is put
    assert two is not None
    assert (two.id, two.life, three) == (TWO, LIFE, None)


def test_a_remembered_life_of_a_protected_prefix_requires_the_scope() -> None:
    rig = Rig(settings={"protected_prefixes": frozenset({"player"})})
    rig.service.identities.remember(ONE, LIFE, 0)
    entry = rig.service.identities.get(ONE)
    assert entry is not None
    assert entry.required_scope == "issue"


def test_a_life_that_is_remembered_again_leaves_its_entry_alone() -> None:
    bench = remembering(ONE)
    entry = bench.cache.get(ONE)
    bench.cache.remember(ONE, LIFE, 0)
    assert entry is not None
    assert bench.cache.get(ONE) is entry is bench.cache.put(ONE, LIFE, 0)
    assert entry.expires_s


def test_another_life_that_is_remembered_forgets_the_entry() -> None:
    bench = remembering(ONE)
    entry = bench.cache.get(ONE)
    later = Life(LIFE.generated + 1, LIFE.expires)
    bench.cache.remember(ONE, later, 0)
    assert entry is not None
    assert (entry.fresh_until_s, entry.expires_s) == (0, 0)
    found = bench.cache.get(ONE)
    assert found is not None
    assert found.life == later


def test_of_lives_that_were_found_a_full_cache_keeps_those_that_come_back() -> None:
    bench = Bench(capacity=20)
    for run in range(21):
        bench.cache.remember(identity(run).id, LIFE, 0)
    found = [identity(run).id for run in range(100, 110)]
    for each in (*found, found[3]):
        bench.cache.offer(each, LIFE, 0)
    kept = [index for index, entry in enumerate(bench.cache.get_all(found)) if entry is not None]
    assert 3 in kept
    assert len(kept) < 4, "hardly any two keys have the same mark"


def test_a_later_life_that_was_found_forgets_the_entry_also_in_a_full_cache() -> None:
    bench = Bench(capacity=1)
    for each in (TWO, ONE):
        bench.cache.remember(each, LIFE, 0)
    entry = bench.cache.get(ONE)
    later = Life(LIFE.generated + 1, LIFE.expires)
    bench.cache.offer(ONE, later, 0)
    assert entry is not None
    assert entry.expires_s == 0
    found = bench.cache.get(ONE)
    assert found is not None
    assert found.life == later


@pytest.mark.parametrize("revoked", [[ONE], None])
def test_a_remembered_life_is_revoked_as_an_entry_is(revoked: Sequence[str] | None) -> None:
    bench = remembering(ONE, TWO)
    bench.cache.invalidate(revoked)
    assert bench.cache.get(ONE) is None
    assert (bench.cache.get(TWO) is None) is (revoked is None)


def test_nothing_is_kept_of_a_life_that_was_asked_for_before_a_revocation() -> None:
    bench = remembering(TWO)
    bench.cache.invalidate([THREE])
    bench.cache.remember(ONE, LIFE, bench.cache.invalidations - 1)
    entry = bench.cache.put(TWO, LIFE, bench.cache.invalidations - 1)
    assert bench.cache.get_all([ONE, TWO]) == [None, None]
    assert (entry.life, entry.expires_s) == (LIFE, 0)


@pytest.mark.parametrize("asked_for", [False, True])
def test_remembered_lives_are_asserted_and_dropped_where_another_holds(asked_for: bool) -> None:
    bench = remembering(ONE, TWO)
    if asked_for:
        bench.cache.get_all([ONE, TWO])
    other = Bench(store=bench.store)
    theirs = other.issue(1)[0]
    bench.cache.restore()
    asserted = {row.id: (row.generated, row.mode) for row in bench.store.issues[-1]}
    assert asserted == dict.fromkeys((ONE, TWO), (LIFE.generated, Mode.ASSERT))
    assert bench.cache.get(ONE) is None
    assert bench.issue(1)[0].life == theirs.life
    kept = bench.cache.get(TWO)
    assert kept is not None
    assert kept.life == LIFE


def test_lives_that_are_forgotten_for_want_of_room_are_gone() -> None:
    bench = Bench(capacity=2)
    for run in range(9):
        bench.cache.remember(identity(run).id, LIFE, 0)
    assert bench.cache.get(identity(0).id) is None
    assert bench.cache.get(identity(8).id) is not None
    assert len(bench.cache) <= 4
