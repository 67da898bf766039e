"""Issuing: requests to the store, rows that wait for the ledger, and both in an outage."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.validity import IssueRow, Life, Mode, Outcome, StoreRecord
from arsenal_fast.registry.cache import CachedIdentity
from arsenal_fast.registry.issuer import AuditContext
from tests.support.ledgers import Book, SwitchedLedger
from tests.support.registry import (
    Bench,
    HalfAway,
    One,
    fetched,
    flushed,
    half,
    held_in_store,
    identity,
    kept,
    with_ledger,
)
from tests.support.rig import START, Rig
from tests.support.stores import SwitchedStore


def test_what_is_remembered_is_not_asked_for_again_until_it_is_to_be_renewed() -> None:
    bench = Bench()
    first = bench.issue(1, 2)
    bench.rig.advance(45)
    assert bench.issue(2, 1) == first[::-1]
    assert len(bench.store.issues) == 1
    bench.rig.advance(0.001)
    renewed = bench.issue(1)
    assert renewed[0].life.generated == first[0].life.generated + 45_001
    assert bench.store.issues[1] == [IssueRow(identity(1).id, 60_000)]


def test_only_the_rows_that_are_missing_are_asked_for() -> None:
    bench = Bench()
    bench.issue(2)
    records = bench.issue(1, 2, 3)
    assert [split(record.id) for record in records] == [identity(run) for run in (1, 2, 3)]
    assert [row.id for row in bench.store.issues[1]] == [identity(1).id, identity(3).id]


def test_a_hit_is_a_look_up_that_found_a_living_record_here_or_in_the_store() -> None:
    bench = Bench()
    bench.issue(1, 2)
    assert bench.hits() == (2, 0)
    bench.issue(1, 2, 3)
    assert bench.hits() == (3, 2)
    other = Bench(store=bench.store)
    other.issue(1)
    assert other.hits() == (1, 1), "found in the store"
    bench.find(1, 4)
    assert bench.hits() == (2, 1)
    bench.rig.advance(50)
    bench.issue(1)
    assert bench.hits() == (1, 1), "what is renewed was living"
    bench.rig.advance(60)
    bench.issue(1)
    assert bench.hits() == (1, 0), "what has expired was not"
    assert (bench.metrics.identity_issued, bench.metrics.identity_renewed) == (4, 1)


# Outages


def test_without_the_store_the_worker_issues_by_itself_and_says_so() -> None:
    bench = Bench()
    bench.store.away = True
    record = bench.issue(1)[0]
    assert record.life == Life(int(START * 1000), int(START * 1000) + 60_000)
    assert bench.issue(1) == [record]
    assert bench.metrics.identity_issued_without_store == 1
    bench.rig.advance(50)
    assert bench.issue(1)[0].life.generated == record.life.generated + 50_000


def test_a_new_life_is_handed_out_when_the_ledger_has_it_and_not_before() -> None:
    bench = with_ledger()
    kept(bench).holding = True
    answers = bench.ask(1)
    assert answers == []
    kept(bench).release()
    assert answers == [], "committed, and not told yet"
    kept(bench).release()
    assert [record.id for record in answers[0]] == [identity(1).id]
    assert kept(bench).book.records[identity(1).id].life == answers[0][0].life


def test_what_lives_here_or_in_the_store_never_waits_for_the_ledger() -> None:
    bench = with_ledger()
    first = bench.issue(1)
    other = with_ledger(kept(bench).book, bench.store)
    for ledger in (kept(bench), kept(other)):
        ledger.holding = True
    assert bench.issue(1) == first
    assert other.issue(1)[0].life == first[0].life
    assert bench.find(1) == other.find(1) == ([first[0].life], True)
    assert (kept(other).recorded, kept(other).finds) == ([], [])


def test_the_lives_of_one_commit_are_confirmed_by_one_command() -> None:
    bench = with_ledger()
    kept(bench).holding = True
    for run in (1, 2, 3):
        bench.ask(run)
    soon: list[Callable[[], None]] = []
    bench.issuer.call_soon = soon.append
    asked = len(bench.store.issues)
    kept(bench).release_all()
    (send,) = soon
    send()
    assert [[(row.id, row.mode) for row in rows] for rows in bench.store.issues[asked:]] == [
        [(identity(run).id, Mode.CONFIRM) for run in (1, 2, 3)]
    ]
    assert all(
        record is not None and not record.provisional for record in (held_in_store(bench, run) for run in (1, 2, 3))
    )


def test_in_a_batch_only_the_new_ones_are_written_down() -> None:
    bench = with_ledger()
    bench.issue(2)
    assert [split(record.id) for record in bench.issue(1, 2, 3)] == [identity(run) for run in (1, 2, 3)]
    assert [[row.id for row in rows] for rows in kept(bench).recorded] == [
        [identity(2).id],
        [identity(1).id, identity(3).id],
    ]


def test_an_identity_twice_in_a_batch_is_one_event() -> None:
    bench = with_ledger()
    first, second = bench.issue(1, 1)
    assert first.life == second.life
    assert [event.kind for event in kept(bench).book.events] == ["issued"]
    assert bench.store.memory.identities.records.get(identity(1).id, int(START * 1000)) == StoreRecord(first.life)


def test_a_row_says_who_asked_under_which_id_for_which_environment() -> None:
    bench = with_ledger()
    bench.ask(1, 2, audit=AuditContext("sub:ci", "r-1", ("dev", "prod")))
    bench.ask(3, audit=AuditContext("203.0.113.9"))
    bench.rig.advance(50)
    bench.ask(1, audit=AuditContext("2001:db8::/64", "r-2"))
    rows = [row for rows in kept(bench).recorded for row in rows]
    assert [(row.kind, row.id, row.environment, row.caller, row.request_id) for row in rows] == [
        ("issued", identity(1).id, "dev", "sub:ci", "r-1"),
        ("issued", identity(2).id, "prod", "sub:ci", "r-1"),
        ("issued", identity(3).id, None, "203.0.113.9", None),
        ("renewed", identity(1).id, None, "2001:db8::/64", "r-2"),
    ]
    assert rows[0].life == (int(START * 1000), int(START * 1000) + 60_000)


REQUEST_IDS = [
    ({"X_Request_Id": "r-1"}, "r-1"),
    ({"X_Request_Id": "x" * 200}, None),
    ({"X_Request_Id": ""}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "request_id"), REQUEST_IDS)
def test_requests_are_written_down_with_their_client_and_id(headers: dict[str, str], request_id: str | None) -> None:
    ledger = SwitchedLedger()
    rig = Rig(ledger=ledger)
    one = rig.get("/api/v1/id?run=1", **headers).headers["x-request-id"]
    body = {"environments": [{"name": "dev", "run": "2"}, {"name": "\u00e9", "run": "3"}]}
    answer = rig.post("/api/v1/identities", body, Authorization=rig.bearer(subject="ci"), **headers)
    batch = answer.headers["x-request-id"]
    assert (one, batch) == (request_id, request_id) if request_id else one != batch
    rows = [row for rows in ledger.recorded for row in rows]
    assert [(split(row.id).run, row.environment, row.caller, row.request_id) for row in rows] == [
        ("1", None, "203.0.113.9", one),
        ("2", "dev", "sub:ci", batch),
        ("3", "\u00e9", "sub:ci", batch),
    ]


def test_a_request_id_that_is_no_text_is_not_written_down() -> None:
    ledger = SwitchedLedger()
    client = Rig(ledger=ledger).connect()
    client.send(b"GET /api/v1/id?run=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: \xe9\xff\r\n\r\n")
    (answer,) = client.answers("GET")
    assert answer.status == 200
    assert ledger.recorded[0][0].request_id == answer.headers["x-request-id"]


def test_a_life_is_provisional_in_the_store_until_the_ledger_has_it() -> None:
    bench = with_ledger()
    kept(bench).holding = True
    bench.ask(1)
    held = held_in_store(bench, 1)
    assert held is not None
    assert held.provisional
    kept(bench).release_all()
    held = held_in_store(bench, 1)
    assert held is not None
    assert not held.provisional


def test_who_finds_a_provisional_life_asks_the_ledger_too() -> None:
    bench = with_ledger()
    other = with_ledger(kept(bench).book, bench.store)
    kept(bench).holding = True
    mine = bench.ask(1)
    theirs = other.issue(1)
    kept(bench).release_all()
    assert theirs[0].life == mine[0][0].life
    assert [row.kind for rows in kept(other).recorded for row in rows] == ["issued"]
    assert [event.kind for event in kept(bench).book.events] == ["issued"], "written once"


def test_the_older_life_of_the_ledger_wins_and_the_store_is_told() -> None:
    bench = with_ledger()
    first = bench.issue(1)[0]
    flushed(bench)
    bench.rig.advance(5)
    other = with_ledger(kept(bench).book, bench.store)
    other.rig.advance(5)
    assert other.issue(1)[0].life == first.life
    assert held_in_store(bench, 1) == StoreRecord(first.life)
    assert (other.metrics.identity_issued, other.metrics.identity_lookup_hits) == (0, 1)
    third = Bench(store=bench.store)
    assert third.issue(1)[0].life == first.life, "found in the store"


def test_a_life_that_is_due_does_not_win() -> None:
    bench = with_ledger()
    first = bench.issue(1)[0]
    flushed(bench)
    bench.rig.advance(50)
    second = bench.issue(1)[0]
    assert second.life.generated == first.life.generated + 50_000
    assert [event.kind for event in kept(bench).book.events] == ["issued", "issued"]


def test_with_the_ledger_away_issuing_goes_on_and_is_written_down_at_its_return() -> None:
    bench = with_ledger()
    ledger = kept(bench)
    ledger.away = True
    records = bench.issue(1, 2)
    assert [split(record.id) for record in records] == [identity(1), identity(2)]
    assert bench.issue(1, 2) == records
    held = held_in_store(bench, 1)
    assert held is not None
    assert held.provisional
    assert ledger.counters.waiting == 2
    other = with_ledger(ledger.book, bench.store)
    kept(other).away = True
    assert other.issue(1)[0].life == records[0].life
    ledger.come_back()
    assert ledger.book.records[identity(1).id].life == records[0].life
    kept(other).away = False
    flushed(bench)
    third = with_ledger(ledger.book, bench.store)
    third.rig.advance(5)
    assert [record.life for record in third.issue(1, 2)] == [record.life for record in records]


def test_with_the_store_away_the_ledger_still_keeps_workers_to_one_life() -> None:
    bench = with_ledger()
    other = with_ledger(kept(bench).book, bench.store)
    bench.store.away = True
    mine = bench.issue(1)[0]
    other.rig.advance(5)
    bench.rig.advance(5)
    assert other.issue(1)[0].life == mine.life
    assert other.find(1) == bench.find(1) == ([mine.life], True)


def test_a_store_that_goes_away_before_it_has_taken_the_older_life_delays_nobody() -> None:
    bench = with_ledger()
    first = bench.issue(1)[0]
    flushed(bench)
    other = with_ledger(kept(bench).book, bench.store)
    kept(other).holding = True
    answers = other.ask(1)
    bench.store.away = True
    kept(other).release_all()
    assert answers[0][0].life == first.life


# Two workers, and a store that loses its memory


class Handed:
    """Two workers over one store and one ledger; every life of one identity that was issued."""

    def __init__(self) -> None:
        book, store = Book(), SwitchedStore(Rig().memory())
        self.benches = [Bench(store=SwitchedStore(store.memory), ledger=SwitchedLedger(book)) for _ in range(2)]
        self.flush()
        self.answers: list[list[Sequence[CachedIdentity]]] = []

    def flush(self) -> None:
        memory = self.benches[0].rig.memory()
        for bench in self.benches:
            bench.store.memory = memory

    def take(self, step: str, worker: int) -> None:
        bench = self.benches[worker]
        ledger = kept(bench)
        match step:
            case "ask":
                self.answers.append(bench.ask(1))
            case "hold":
                bench.store.holding = ledger.holding = True
            case "store":
                if bench.store.held:
                    bench.store.release()
            case "ledger":
                if ledger.writes or ledger.reads:
                    ledger.release()
            case "forget":
                bench.cache.restore()
            case "flush":
                self.flush()
            case "pass":
                for each in self.benches:
                    each.rig.advance(0.5)

    def finish(self) -> None:
        busy = True
        while busy:
            for bench in self.benches:
                bench.store.release_all()
                kept(bench).release_all()
            busy = any(bench.store.held for bench in self.benches)

    def lives(self) -> set[Life]:
        assert all(len(answers) == 1 for answers in self.answers), "every caller was answered once"
        return {answers[0][0].life for answers in self.answers}


steps = st.tuples(
    st.sampled_from(["ask", "ask", "ask", "hold", "store", "store", "ledger", "ledger", "flush", "forget", "pass"]),
    st.integers(0, 1),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, min_size=3, max_size=30))
def test_two_workers_never_hand_out_two_lives_of_one_identity_whatever_the_store_forgets(
    story: list[tuple[str, int]],
) -> None:
    """All of it takes less time than three quarters of a life."""
    handed = Handed()
    for step, worker in story:
        handed.take(step, worker)
    handed.finish()
    for worker in (0, 1):
        handed.take("ask", worker)
    handed.finish()
    assert len(handed.lives()) == 1


def test_only_what_is_in_a_shard_that_is_away_is_issued_without_the_store() -> None:
    other = Bench()
    life = other.issue(1)[0].life
    bench = Bench(store=HalfAway(other.store.memory), shard_of=half)
    records = bench.issue(1, 2, 3)
    assert records[0].life == life
    assert bench.metrics.identity_issued_without_store == 1
    assert [[row.id for row in rows] for rows in bench.store.issues] == [
        [identity(1).id, identity(3).id],
        [identity(2).id],
    ]


# Lives that the store has issued together with the admission.


def test_new_lives_that_were_fetched_in_a_tick_are_one_entry_of_the_ledger_and_found_ones_none() -> None:
    bench = with_ledger()
    requests = [One(bench, run) for run in (1, 2, 3)]
    given = [fetched(bench, outcome) for outcome in (Outcome.ISSUED, Outcome.FOUND, Outcome.PROVISIONAL)]
    soon: list[Callable[[], None]] = []
    bench.issuer.call_soon = soon.append
    bench.fetched.keep(requests, given, 0)
    assert [each.fetched for each in requests] == [given[0], given[1].life, given[2]]
    for index in (0, 2):
        bench.issuer.issue_missing(requests[index], given[index], 0)
    assert [len(request.got) for request in requests] == [0, 0, 0]
    (record,) = soon
    record()
    ((one, three),) = kept(bench).recorded
    assert [one.id, three.id] == [identity(1).id, identity(3).id]
    assert [len(request.got) for request in requests] == [1, 0, 1]


def test_a_fetched_life_from_before_an_epoch_that_was_learnt_meanwhile_is_asked_for_again() -> None:
    bench = Bench()
    request = One(bench, 1)
    life = fetched(bench, Outcome.FOUND, age_s=5)
    bench.cache.sync.learn_epochs({"player": life.life.generated + 1})
    bench.fetched.keep([request], [life], bench.cache.invalidations)
    assert request.fetched == life
    assert bench.cache.get(request.id) is None
    bench.issuer.issue_missing(request, life, bench.cache.invalidations)
    assert [row.epoch for row in bench.store.issues[0]] == [life.life.generated + 1]
    assert request.got[0][0].life.generated > life.life.generated
