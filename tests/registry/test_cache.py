"""The identities that a worker caches: asserted to a store that returns, and dropped when another life holds."""

from collections.abc import Sequence

import pytest

from arsenal_fast.identity.validity import Issued, IssueRow, Mode
from arsenal_fast.registry.cache import CachedIdentity
from arsenal_fast.registry.issuer import BatchRequest
from tests.support.registry import (
    AUDIT,
    Bench,
    flushed,
    identity,
)
from tests.support.rig import Rig, request
from tests.support.stores import SwitchedStore


def test_a_life_has_one_record_however_many_asked_for_it_at_once() -> None:
    bench = Bench()
    bench.store.holding = True
    answers: list[Sequence[CachedIdentity]] = []
    for _ in range(3):
        bench.issuer.issue(BatchRequest([identity(1).id], 60_000, lambda: AUDIT, answers.append))
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
        rig.service.issuer.issue(BatchRequest([identity(number).id], 60_000, lambda: AUDIT, lambda _: None))
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
