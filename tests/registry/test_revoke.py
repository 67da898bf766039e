"""Revoking: effective once the store has it, counted once, recorded each time."""

from collections.abc import Callable
from typing import Any

import pytest

from arsenal_fast.identity.revocation import Revoked
from arsenal_fast.identity.validity import Life
from arsenal_fast.registry.revoke import Revoker
from arsenal_fast.replies import run
from arsenal_fast.tokens.claims import IdentityToken
from tests.support.ledgers import SwitchedLedger
from tests.support.registry import AUDIT, Bench, identity, kept, raise_again, with_ledger

NOW_MS = int(Bench().rig.wall * 1000)


def told(call: Callable[[Revoker], Any], bench: Bench) -> list[Any]:
    """Where the answer will be."""
    answers: list[Any] = []

    async def work() -> None:
        answers.append(await call(bench.revoker))

    run(work(), raise_again)
    return answers


def revoke(bench: Bench, number: int, token: IdentityToken | None = None) -> Revoked | None:
    (answer,) = told(lambda revoker: revoker.revoke(identity(number), token, AUDIT), bench)
    assert answer is None or isinstance(answer, Revoked)
    return answer


def token_of(number: int, life: Life) -> IdentityToken:
    return IdentityToken(identity(number).id, life.generated, life.expires // 1000)


def written(bench: Bench) -> list[tuple[str, int, str | None]]:
    """Kind, moment and run of each revocation."""
    return [(row.kind, row.at, row.run) for row in kept(bench).revoked]


def test_a_living_identity_is_ended_forgotten_counted_and_written_down() -> None:
    bench = with_ledger()
    (entry,) = bench.issue(1)
    bench.rig.advance(1)
    revoked = revoke(bench, 1)
    assert revoked == Revoked(known=True, life=entry.life, floor=NOW_MS + 1000, already=False)
    assert entry.expires_s == 0
    assert bench.cache.get(entry.id) is None
    assert bench.metrics.identity_revoked == 1
    (row,) = kept(bench).revoked
    assert (row.kind, row.at, row.issued_before) == ("revoked", NOW_MS + 1000, NOW_MS + 1001)
    assert (row.caller, row.prefix, row.run) == (AUDIT.caller, "player", "1")


def test_a_second_time_is_an_event_of_its_own_moment_and_not_counted() -> None:
    bench = with_ledger()
    bench.issue(1)
    first = revoke(bench, 1)
    bench.rig.advance(5)
    second = revoke(bench, 1)
    assert first is not None
    assert second is not None
    assert (second.already, second.floor) == (True, first.floor)
    assert written(bench) == [("revoked", NOW_MS, "1"), ("revoked", NOW_MS + 5000, "1")]
    assert bench.metrics.identity_revoked == 1


def test_what_nobody_knows_is_not_written_down() -> None:
    bench = with_ledger()
    revoked = revoke(bench, 1)
    assert revoked is not None
    assert not revoked.known
    assert (written(bench), bench.metrics.identity_revoked) == ([], 0)


def test_a_token_makes_a_life_known_that_every_store_has_forgotten() -> None:
    bench = with_ledger()
    life = Life(NOW_MS - 1000, NOW_MS + 59_000)
    revoked = revoke(bench, 1, token_of(1, life))
    assert revoked is not None
    assert (revoked.known, revoked.life, revoked.already) == (True, life, False)


def test_the_token_of_a_dead_life_ends_nothing() -> None:
    bench = with_ledger()
    (dead,) = bench.issue(1)
    life = dead.life
    revoke(bench, 1)
    bench.rig.advance(1)
    (next_one,) = bench.issue(1)
    revoked = revoke(bench, 1, token_of(1, life))
    assert revoked == Revoked(known=True, life=life, floor=NOW_MS, already=True)
    assert bench.cache.get(next_one.id) is next_one
    assert len(written(bench)) == 1


def test_with_the_store_away_nothing_is_done() -> None:
    bench = with_ledger()
    (entry,) = bench.issue(1)
    bench.store.away = True
    assert revoke(bench, 1) is None
    assert told(lambda revoker: revoker.revoke_before("player", NOW_MS, AUDIT), bench) == [None]
    assert bench.cache.get(entry.id) is entry
    assert (written(bench), bench.metrics.identity_revoked) == ([], 0)


def test_a_ledger_that_is_away_takes_no_revocation_back() -> None:
    bench = with_ledger()
    bench.issue(1)
    kept(bench).away = True
    revoked = revoke(bench, 1)
    assert revoked is not None
    assert revoked.known
    kept(bench).come_back()
    assert [event.kind for event in kept(bench).book.events] == ["issued", "revoked"]


def test_the_answer_waits_until_the_revocation_is_written() -> None:
    bench = with_ledger()
    bench.issue(1)
    kept(bench).holding = True
    answers = told(lambda revoker: revoker.revoke(identity(1), None, AUDIT), bench)
    assert answers == []
    kept(bench).release_all()
    assert len(answers) == 1


@pytest.mark.parametrize(("prefix", "kind"), [("player", "revoked_prefix"), (None, "revoked_all")])
def test_an_epoch_ends_what_began_before_it_and_everything_is_looked_up_again(prefix: str | None, kind: str) -> None:
    bench = with_ledger()
    (entry,) = bench.issue(1)
    bench.rig.advance(2)
    before = NOW_MS + 1000
    assert told(lambda revoker: revoker.revoke_before(prefix, before, AUDIT), bench) == [before]
    assert (entry.expires_s, len(bench.cache)) == (0, 0)
    assert bench.cache.epoch_ms(entry.id) == before
    assert written(bench) == [(kind, NOW_MS + 2000, None)]
    (row,) = kept(bench).revoked
    assert (row.prefix, row.issued_before) == (prefix, before)


def test_an_epoch_never_falls_and_the_answer_is_the_one_in_force() -> None:
    bench = Bench(ledger=SwitchedLedger())
    assert told(lambda revoker: revoker.revoke_before(None, NOW_MS, AUDIT), bench) == [NOW_MS]
    assert told(lambda revoker: revoker.revoke_before(None, NOW_MS - 1, AUDIT), bench) == [NOW_MS]


def test_without_a_ledger_nothing_is_written_and_the_answer_is_the_same() -> None:
    bench = Bench()
    (entry,) = bench.issue(1)
    revoked = revoke(bench, 1)
    assert revoked is not None
    assert (revoked.life, revoked.already) == (entry.life, False)
