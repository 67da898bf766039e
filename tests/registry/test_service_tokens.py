"""Minting, limiting and withdrawing service tokens: what store and ledger are told, and what comes back."""

from typing import Any

import pytest

from arsenal_fast.identity.amendments import (
    LONGEST_MS,
    WITHDRAWN,
    Amendment,
    Amendments,
    subject_key,
    token_key,
)
from arsenal_fast.ledger.model import TokenQuery
from arsenal_fast.registry.issuer import AuditContext
from arsenal_fast.registry.service_tokens import (
    MAX_NAME,
    NAME_RANGE,
    Outcome,
    ServiceTokens,
    TokenOrder,
    TokenState,
    mint,
    name_fault,
    state_of,
    withdrawal_of_subject,
)
from arsenal_fast.replies import run
from arsenal_fast.tokens.claims import ServiceToken, token_id
from tests.support.ledgers import SwitchedLedger
from tests.support.rig import KEYS, START, Rig
from tests.support.stores import SwitchedStore

CALLER = AuditContext("sub:ops", "r-1")
ORDER = TokenOrder("bot", ["audit", "behalf"], 7, 30, 5, "bot of the shop")
UNKNOWN = "0123456789abcdef0123"
START_MS = int(START * 1000)


class Desk:
    """The tokens of one worker, over a store and a ledger with switches."""

    def __init__(self, *, ledger: bool = True) -> None:
        self.now = START
        self.store = SwitchedStore(Rig().memory())
        self.ledger = SwitchedLedger() if ledger else None
        self.amendments = Amendments()
        self.used: set[str] = set()
        self.tokens = ServiceTokens(
            keys=KEYS,
            revocations=self.store,
            ledger=self.ledger,
            amendments=self.amendments,
            now=lambda: self.now,
            used=lambda: self.used,
        )

    def take(self, coroutine: Any) -> Any:
        """Run a coroutine whose answers all come at once."""
        results: list[Any] = []

        async def main() -> None:
            results.append(await coroutine)

        def failed(error: Exception) -> None:
            raise error

        run(main(), failed)
        (result,) = results
        return result

    def states(self) -> list[TokenState]:
        found: list[TokenState] = self.take(self.tokens.page(TokenQuery(100)))
        return found


def test_a_minted_token_says_what_was_ordered_and_its_record_too() -> None:
    token, change = mint(KEYS, ORDER, Amendments(), START, CALLER)
    end = int(START) + 30 * 86_400
    assert KEYS.verify_service(token, START) == ServiceToken(
        "bot", frozenset({"audit", "behalf"}), 7, end, int(START), 5, token_id(token)
    )
    assert change.record == (
        *(token_id(token), "bot of the shop", "bot", "audit behalf", 7, 5, START_MS, end * 1000, "sub:ops", 0),
    )
    assert change[:7] == ("token_minted", START_MS, "sub:ops", "r-1", token_id(token), "bot", 7)


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (ORDER._replace(subject="two words"), "A subject is 1 to 128"),
        (ORDER._replace(scopes=["root"]), "A scope is one of"),
        (ORDER._replace(rate_limit=0), "rate_limit is not a whole number"),
        (ORDER._replace(scopes=["issue"]), "per_subject is not a whole number"),
        (ORDER._replace(name="a\nb"), NAME_RANGE),
    ],
)
def test_a_bad_order_is_refused_in_one_sentence(order: TokenOrder, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mint(KEYS, order, Amendments(), START, CALLER)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_all_tokens_of_a_second_are_withdrawn_with_their_subject_and_those_minted_afterwards_are_good(
    part: float,
) -> None:
    amendments = Amendments()
    before = mint(KEYS, ORDER, amendments, START + part, CALLER)[1].record
    change = withdrawal_of_subject("bot", START + part, CALLER)
    assert change.key == subject_key("bot")
    assert change.amendment == Amendment(START_MS + 1000, WITHDRAWN, START_MS + 1000 + LONGEST_MS)
    amendments.learn({change.key: change.amendment})
    token, after = mint(KEYS, ORDER, amendments, START + part, CALLER)
    assert before is not None
    assert after.record is not None
    assert isinstance(KEYS.verify_service(token, START + part), ServiceToken)
    states = [state_of(record, amendments, START).status for record in (before, after.record)]
    assert states == ["revoked", "active"]


def test_a_withdrawn_token_is_in_store_ledger_and_worker_alike() -> None:
    desk = Desk()
    _, record = desk.take(desk.tokens.mint(ORDER, CALLER))
    outcome = desk.take(desk.tokens.revoke(record.id, CALLER))
    assert (outcome.known, outcome.in_force) == (True, True)
    held = {token_key(record.id): Amendment(START_MS, WITHDRAWN, record.expires_ms)}
    assert desk.ledger is not None
    assert desk.amendments.held == desk.ledger.book.amendments == held
    changes: list[Any] = []
    desk.store.changes(0, changes.append)
    assert changes[0].amendments == held
    assert [state.status for state in desk.states()] == ["revoked"]
    assert [event.kind for event in desk.ledger.book.events] == ["token_minted", "token_revoked"]


def test_another_limit_is_told_and_a_withdrawn_token_gets_none() -> None:
    desk = Desk()
    _, record = desk.take(desk.tokens.mint(ORDER, CALLER))
    assert desk.take(desk.tokens.limit(record.id, 9, CALLER)).in_force
    assert [state.rate_limit for state in desk.states()] == [9]
    desk.now += 1
    assert desk.take(desk.tokens.revoke(record.id, CALLER)).in_force
    desk.now += 1
    assert not desk.take(desk.tokens.limit(record.id, 10, CALLER)).in_force
    assert [state.status for state in desk.states()] == ["revoked"]


def test_a_token_that_nobody_knows_is_withdrawn_all_the_same() -> None:
    desk = Desk()
    outcome = desk.take(desk.tokens.revoke(UNKNOWN, CALLER))
    assert isinstance(outcome, Outcome)
    assert (outcome.known, outcome.in_force) == (False, True)
    assert desk.amendments.held == {token_key(UNKNOWN): Amendment(START_MS, WITHDRAWN, START_MS + LONGEST_MS)}


@pytest.mark.parametrize("limit", [WITHDRAWN, 9])
def test_while_the_store_is_away_the_ledger_alone_makes_it_so(limit: int) -> None:
    desk = Desk()
    desk.store.away = True
    outcome = desk.take(desk.tokens.limit(UNKNOWN, limit, CALLER))
    assert outcome.in_force
    assert desk.ledger is not None
    assert desk.ledger.book.amendments == desk.amendments.held != {}
    if limit == WITHDRAWN:
        assert not desk.take(desk.tokens.limit(UNKNOWN, 9, CALLER)).in_force


@pytest.mark.parametrize("ledger", [True, False])
def test_while_both_are_away_nothing_is_done(ledger: bool) -> None:
    desk = Desk(ledger=ledger)
    desk.store.away = True
    if desk.ledger is not None:
        desk.ledger.away = True
    assert desk.take(desk.tokens.revoke(UNKNOWN, CALLER)) is None
    assert desk.amendments.held == {}
    if desk.ledger is not None:
        desk.ledger.come_back()
        assert desk.ledger.book.amendments == {}


def test_without_a_ledger_a_withdrawal_is_in_force_and_nothing_can_be_listed() -> None:
    desk = Desk(ledger=False)
    assert desk.take(desk.tokens.revoke(UNKNOWN, CALLER)).in_force
    assert desk.take(desk.tokens.page(TokenQuery(1))) is None


def test_use_is_written_to_the_minute_and_what_has_ended_is_forgotten() -> None:
    desk = Desk()
    _, record = desk.take(desk.tokens.mint(ORDER, CALLER))
    desk.take(desk.tokens.revoke(record.id, CALLER))
    desk.used = {record.id, UNKNOWN}
    desk.now += 90
    desk.tokens.tend()
    assert [state.record.last_used_ms for state in desk.states()] == [START_MS + 60_000]
    assert desk.amendments.held
    desk.now += 31 * 86_400
    desk.used = set()
    desk.tokens.tend()
    assert desk.amendments.held == {}


def test_an_expired_token_is_told_as_one() -> None:
    desk = Desk()
    desk.take(desk.tokens.mint(ORDER, CALLER))
    desk.now += 30 * 86_400
    assert [state.status for state in desk.states()] == ["expired"]


@pytest.mark.parametrize(("name", "good"), [("a", True), ("x" * MAX_NAME, True), ("", False), ("x" * 129, False)])
def test_a_name_has_a_range(name: str, good: bool) -> None:
    assert (name_fault(name) is None) is good
