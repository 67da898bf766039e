"""The conformance suite of the ledger's stores, passed by SQLite and by a real PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arsenal_fast.identity.amendments import Amendment, Amendments
from arsenal_fast.identity.revocation import EVERYTHING
from arsenal_fast.identity.validity import MAX_TTL, Life
from arsenal_fast.ledger.errors import Busy, Refused
from arsenal_fast.ledger.model import (
    AuditQuery,
    Cursor,
    LedgerRecord,
    TokenChange,
    TokenQuery,
    TokenRecord,
    TokensUsed,
)
from arsenal_fast.ledger.prune import verify
from arsenal_fast.ledger.sqlite import SqliteStore
from arsenal_fast.ledger.store import PRUNE_ROWS, Item, Lives, Store
from tests.ledger.moments import CASES, Case
from tests.support.ledger import DOMAIN, HOUR, T0, id_of, opened, put, revoked, revoked_all, revoked_prefix, row
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres_server import PostgresServer


@pytest.fixture(
    params=["sqlite", *(pytest.param(each, marks=pytest.mark.integration) for each in ("postgres", "pooler"))]
)
def url(request: pytest.FixtureRequest) -> str:
    """Each database in turn, empty, and PostgreSQL behind PgBouncer."""
    if request.param != "pooler":
        found: str = request.getfixturevalue(f"{request.param}_url")
        return found
    pooler: PgBouncer = request.getfixturevalue("pooler")
    return pooler.url_of(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """In transaction mode."""
    with PgBouncer(postgres_server) as pooler:
        yield pooler


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(opened(url)) as store:
        yield store


def has_a_row_of_each_life(store: Store) -> bool:
    """Whether there is a row for each life beside its event; SQLite has none."""
    return not isinstance(store, SqliteStore)


def kinds(store: Store, **filters: Any) -> list[str]:
    query = AuditQuery(T0, "me", limit=1000)._replace(**filters)
    return [event.kind for event in store.audit(query).events]


# What is known of identities


def test_nothing_is_known_at_first(store: Store) -> None:
    store.ping()
    assert store.find([id_of(1), id_of(2)]) == [None, None]
    assert store.epochs() == {}
    assert store.audit(AuditQuery(T0, "me")).events == []


def test_a_life_is_found_as_it_was_written(store: Store) -> None:
    assert put(store, row(1), row(2, T0 + 5, 60_000)) == [Life(T0, T0 + HOUR), Life(T0 + 5, T0 + 60_005)]
    assert store.find([id_of(2), id_of(3), id_of(1), id_of(2)]) == [
        LedgerRecord(Life(T0 + 5, T0 + 60_005), 0),
        None,
        LedgerRecord(Life(T0, T0 + HOUR), 0),
        LedgerRecord(Life(T0 + 5, T0 + 60_005), 0),
    ]


def test_what_one_connection_has_written_another_one_finds(store: Store, url: str) -> None:
    put(store, row(1))
    with closing(opened(url, "read")) as other:
        assert other.find([id_of(1)]) == [LedgerRecord(Life(T0, T0 + HOUR), 0)]


def test_thousands_of_identities_are_written_and_found_in_order(store: Store) -> None:
    rows = [row(number, T0 + number) for number in range(2_345)]
    assert put(store, *rows) == [each.life for each in rows]
    assert store.find([each.id for each in reversed(rows)]) == [LedgerRecord(each.life, 0) for each in reversed(rows)]


def test_nothing_is_asked_and_nothing_is_written(store: Store) -> None:
    assert store.find([]) == []
    assert store.write([]) == []
    assert put(store) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_new_life_is_settled_with_what_is_held(store: Store, case: Case) -> None:
    if case.held is not None:
        if case.held.life is not None:
            put(store, row(1)._replace(life=case.held.life))
        if case.held.floor:
            store.write([revoked(1, case.held.floor)])
    if case.epoch:
        store.write([revoked_prefix("player", case.epoch), revoked_prefix("other", T0 + 10_000)])
    before = kinds(store, run="1")
    assert put(store, row(1)._replace(life=case.life), late=case.late) == [case.answer]
    (past,) = store.find([id_of(1)])
    assert past == LedgerRecord(case.newest, case.held.floor if case.held else 0)
    assert len(kinds(store, run="1")) == len(before) + case.event
    assert put(store, row(1)._replace(life=case.life), late=case.late) == [case.answer]
    assert len(kinds(store, run="1")) == len(before) + case.event, "a repeated write adds nothing"


def test_the_epoch_of_everything_ends_lives_of_every_prefix(store: Store) -> None:
    put(store, row(1), row(1, prefix="other"))
    assert store.write([revoked_all(T0 + 1)]) == [T0 + 1]
    lives = put(store, row(1, T0 + 9), row(1, T0 + 9, prefix="other"))
    assert lives == [Life(T0 + 9, T0 + 9 + HOUR)] * 2


def test_of_several_rows_of_one_identity_the_first_counts(store: Store) -> None:
    first = row(1, T0 + 1)
    assert put(store, first, row(2), row(1, T0 + 2), row(1, T0 + 3)) == [
        first.life,
        row(2).life,
        first.life,
        first.life,
    ]
    assert kinds(store) == ["issued", "issued"]


def test_the_order_counts_within_a_group(store: Store) -> None:
    answers = store.write([Lives([row(1)]), revoked(1, T0 + 5), Lives([row(1, T0 + 6)]), Lives([row(1, T0 + 7)])])
    again = Life(T0 + 6, T0 + 6 + HOUR)
    assert answers == [[row(1).life], T0 + 6, [again], [again]]
    assert store.find([id_of(1)]) == [LedgerRecord(again, T0 + 5)]


def test_an_epoch_counts_from_its_place_in_a_group(store: Store) -> None:
    put(store, row(1))
    answers = store.write([Lives([row(1, T0 + 1)]), revoked_prefix("player", T0 + 2), Lives([row(1, T0 + 3)])])
    assert answers == [[row(1).life], T0 + 2, [Life(T0 + 3, T0 + 3 + HOUR)]]


def test_a_renewal_takes_the_place_of_the_life_that_is_nearly_over(store: Store) -> None:
    put(store, row(1))
    renewed = row(1, T0 + HOUR - 5, kind="renewed")
    assert put(store, renewed) == [renewed.life]
    assert store.find([id_of(1)]) == [LedgerRecord(renewed.life, 0)]
    assert kinds(store) == ["renewed", "issued"]


def test_of_two_writers_at_once_both_are_told_the_same_life(store: Store, url: str) -> None:
    def write(number: int) -> list[Life]:
        with closing(opened(url)) as own:
            while True:
                try:
                    return put(own, *(row(run, T0 + number) for run in order[number % 2]))
                except Busy:
                    pass  # as the threads do

    runs = list(range(50))
    order = [runs, runs[::-1]]  # the worst for locks
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(write, range(4)))
    for number in range(4):
        if number % 2:
            told[number].reverse()
    assert told[0] == told[1] == told[2] == told[3]
    assert [past.life for past in store.find([id_of(run) for run in runs]) if past] == told[0]
    assert kinds(store) == ["issued"] * 50


# Revocations


def test_a_floor_rises_and_never_falls(store: Store) -> None:
    put(store, row(1))
    assert store.write([revoked(1, T0 + 5)]) == [T0 + 6]
    assert store.write([revoked(1, T0 + 3, at=T0 + 1)]) == [T0 + 6]
    assert store.find([id_of(1)]) == [LedgerRecord(row(1).life, T0 + 5)]


def test_an_identity_can_be_revoked_before_it_is_known(store: Store) -> None:
    assert store.write([revoked(1, T0 + 5)]) == [T0 + 6]
    assert store.find([id_of(1)]) == [LedgerRecord(None, T0 + 5)]


def test_an_epoch_rises_and_never_falls(store: Store) -> None:
    for before, in_force in [(T0 + 5, T0 + 5), (T0 + 3, T0 + 5), (T0 + 7, T0 + 7)]:
        assert store.write([revoked_prefix("player", before, at=before)]) == [in_force]
    store.write([revoked_all(T0)])
    assert store.epochs() == {"player": T0 + 7, EVERYTHING: T0}


def test_a_revocation_that_is_written_again_is_one_event(store: Store) -> None:
    rows: list[Item] = [
        revoked(1, T0),
        revoked_prefix("player", T0),
        revoked_all(T0),
        AuditQuery(T0, "me"),
    ]
    store.write(rows)
    store.write(rows)
    assert sorted(kinds(store)) == ["audit_read", "revoked", "revoked_all", "revoked_prefix"]


# What can't be written


@pytest.mark.parametrize("text", ["\udc80", "a\ud800b"])
def test_a_row_that_can_never_be_written_is_refused_and_the_store_lives_on(store: Store, text: str) -> None:
    with pytest.raises(Refused):
        put(store, row(1), row(2, environment=text))
    assert store.find([id_of(1)]) == [None], "a group is written whole or not at all"
    assert put(store, row(1)) == [row(1).life]


def test_a_number_that_is_too_long_is_refused(store: Store) -> None:
    with pytest.raises(Refused):
        put(store, row(1, 1 << 70))
    store.ping()


@pytest.mark.parametrize(
    "text", ["", "'; DROP TABLE lives; --", '"\\u0000"', "\\u0000", "a\tb\r\nc", "ü€😀", "%s ? $1", "x" * 9999]
)
def test_every_other_text_comes_back_as_it_was(store: Store, text: str) -> None:
    put(store, row(1, environment=text, caller=text, request_id=text))
    (event,) = store.audit(AuditQuery(T0, "me")).events
    assert (event.environment, event.caller, event.request_id) == (text, text, text)


def test_a_nul_is_written_or_replaced_but_loses_no_row(store: Store) -> None:
    assert put(store, row(1, environment="a\0b\\u0000")) == [row(1).life]
    (event,) = store.audit(AuditQuery(T0, "me")).events
    assert event.environment in {"a\0b\\u0000", "a\N{REPLACEMENT CHARACTER}b\\u0000"}


# The audit


def test_an_event_tells_all_that_is_known(store: Store) -> None:
    put(store, row("r.1", T0 + 1, 60_000, kind="renewed", environment="prod", request_id="q-7"))
    store.write([revoked("r.1", T0 + 2, at=T0 + 2)])
    store.write([revoked_prefix("player", T0 + 2, at=T0 + 3), revoked_all(T0 + 3, at=T0 + 4)])
    store.write([AuditQuery(T0 + 5, "auditor", "q-8", "player")])
    parts = {"prefix": "player", "run": "r.1", "domain": "sports.api.yourbook.com", "version": "v1"}
    none = dict.fromkeys(
        [
            *("prefix", "run", "domain", "version", "generated", "expires", "issued_before", "environment"),
            *("request_id", "token", "subject", "rate_limit"),
        ]
    )
    told = [event._asdict() for event in store.audit(AuditQuery(T0, "me")).events]
    assert [event.pop("seq") for event in told] == sorted(range(1, 6), reverse=True)
    assert told == [
        none | {"kind": "audit_read", "at": T0 + 5, "caller": "auditor", "request_id": "q-8", "prefix": "player"},
        none | {"kind": "revoked_all", "at": T0 + 4, "issued_before": T0 + 3, "caller": "ops"},
        none | {"kind": "revoked_prefix", "at": T0 + 3, "issued_before": T0 + 2, "caller": "ops", "prefix": "player"},
        none | parts | {"kind": "revoked", "at": T0 + 2, "issued_before": T0 + 3, "caller": "ops", "request_id": "r-1"},
        none
        | parts
        | {"kind": "renewed", "at": T0 + 1, "generated": T0 + 1, "expires": T0 + 60_001, "environment": "prod"}
        | {"caller": "203.0.113.9", "request_id": "q-7"},
    ]


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [7, 6, 5, 4, 3, 2, 1, 0]),
    ({"prefix": "player"}, [6, 4, 2, 0]),
    ({"prefix": "playe"}, []),
    ({"run": "3"}, [3]),
    ({"prefix": "other", "run": "3"}, [3]),
    ({"prefix": "player", "run": "3"}, []),
    ({"since": T0 + 3}, [7, 6, 5, 4, 3]),
    ({"until": T0 + 3}, [2, 1, 0]),
    ({"since": T0 + 2, "until": T0 + 5}, [4, 3, 2]),
    ({"prefix": "other", "since": T0 + 2, "until": T0 + 6}, [5, 3]),
    ({"prefix": "%"}, []),
    ({"limit": 2}, [7, 6]),
]


@pytest.mark.parametrize(("filters", "runs"), FILTERS, ids=str)
def test_the_audit_is_filtered_and_newest_first(store: Store, filters: dict[str, Any], runs: list[int]) -> None:
    put(store, *(row(number, T0 + number, prefix="other" if number % 2 else "player") for number in range(8)))
    page = store.audit(AuditQuery(T0, "me")._replace(**filters))
    assert [int(event.run or "") for event in page.events] == runs
    assert (page.after is not None) is ("limit" in filters)


@pytest.mark.parametrize("filters", [{}, {"prefix": "player"}, {"run": "1"}, {"prefix": "player", "run": "1"}], ids=str)
def test_no_event_is_missed_or_told_twice_while_rows_arrive(store: Store, filters: dict[str, Any]) -> None:
    """Of several of one moment, too; and what was written late, with an old moment, shifts nothing."""
    for number in range(20):
        put(store, row(1, T0 + number // 4)._replace(id=f"player-1@{DOMAIN}/v{number}:id"))
    wanted = [event.seq for event in store.audit(AuditQuery(T0, "me", limit=1000)._replace(**filters)).events]
    told: list[int] = []
    after: Cursor | None = None
    while True:
        page = store.audit(AuditQuery(T0, "me", limit=3, after=after)._replace(**filters))
        told += [event.seq for event in page.events]
        after = page.after
        if after is None:
            break
        put(store, row(1, T0 + 100 + len(told))._replace(id=f"player-1@{DOMAIN}/w{len(told)}:id"))
    assert told == wanted


def test_the_last_page_has_no_next_one(store: Store) -> None:
    put(store, *(row(number, T0 + number) for number in range(4)))
    first = store.audit(AuditQuery(T0, "me", limit=2))
    last = store.audit(AuditQuery(T0, "me", limit=2, after=first.after))
    assert first.after == Cursor(T0 + 2, first.events[-1].seq)
    assert last.after is None


# Pruning

DAY = 86_400_000


def test_what_is_over_is_pruned_and_what_lives_stays(store: Store) -> None:
    put(store, row("old", T0 - 2 * DAY), row("long", T0 - 2 * DAY, 10 * DAY), row("new", T0))
    assert sum(store.pruning(T0 - DAY)) == 2 + has_a_row_of_each_life(store)
    assert kinds(store) == ["issued"]
    assert [past is not None for past in store.find([id_of("old"), id_of("long"), id_of("new")])] == [False, True, True]


def test_a_bound_stays_until_no_life_from_before_it_can_be_left(store: Store) -> None:
    before = T0 - DAY
    safe = before - MAX_TTL * 1000
    store.write([revoked("kept", safe, at=safe), revoked("spent", safe - 1, at=safe)])
    store.write([revoked_prefix("kept", safe, at=safe), revoked_prefix("spent", safe - 1, at=safe)])
    assert sum(store.pruning(before)) == 6
    assert store.find([id_of("kept"), id_of("spent")]) == [LedgerRecord(None, safe), None]
    assert store.epochs() == {"kept": safe}


def test_pruning_goes_in_steps_and_ends(store: Store) -> None:
    put(store, *(row(number, T0 - 2 * DAY) for number in range(4_500)))
    steps = list(store.pruning(T0 - DAY))
    assert sum(steps) == 4_500 + 4_500 * has_a_row_of_each_life(store)
    assert max(steps) <= PRUNE_ROWS
    assert sum(store.pruning(T0 - DAY)) == 0
    assert store.find([id_of(0)]) == [None]


# The bound


def trim(store: Store, keep: int, now: int = T0 + DAY) -> list[int]:
    """Rows of each step, until there is nothing left to do."""
    steps = []
    while deleted := store.trim(keep, now)[0]:
        steps.append(deleted)
    return steps


def test_the_newest_events_are_kept_and_older_ones_leave_in_steps(store: Store, url: str) -> None:
    assert store.trim(1, T0) == (0, 0), "an empty ledger has nothing to lose"
    put(store, *(row(number, T0 + number) for number in range(PRUNE_ROWS + 30)))
    assert store.trim(PRUNE_ROWS + 30, T0) == (0, 0)
    assert store.trim(20, T0 + DAY) == (PRUNE_ROWS, T0 + PRUNE_ROWS - 1)
    assert trim(store, 20) == [10]
    assert [event.run for event in store.audit(AuditQuery(T0, "me")).events] == [
        str(number) for number in reversed(range(PRUNE_ROWS + 10, PRUNE_ROWS + 30))
    ]
    assert verify(url).faults == []


def test_without_their_events_the_living_and_their_bounds_are_known_all_the_same(store: Store, url: str) -> None:
    put(store, row("living", T0 - 5, DAY), row("over", T0 - 5, 3), row("revoked", T0 - 5, DAY))
    store.write([revoked("revoked", T0 - 2, at=T0 - 2), revoked_prefix("other", T0 - 2, at=T0 - 2)])
    put(store, *(row(number, T0) for number in range(10)))
    before = store.find([id_of("living"), id_of("revoked"), id_of(3)])
    assert trim(store, 10) == [5]
    deleted = sum(store.pruning(0))  # what is known of the one that was over before the oldest event that is left
    assert deleted == has_a_row_of_each_life(store)
    assert store.find([id_of("living"), id_of("revoked"), id_of(3)]) == before
    assert store.find([id_of("over")]) == [None]
    assert store.epochs() == {"other": T0 - 2}
    report = verify(url)
    assert (report.events, report.lives, report.faults) == (10, 12, [])


def test_what_is_known_of_identities_does_not_grow_without_their_events(store: Store) -> None:
    """Lives of an hour, one a minute, for a hundred hours, and no retention: only the bound on events."""
    minute = 60_000
    known = []
    for hour in range(100):
        put(store, *(row(f"{hour}.{number}", T0 + (hour * 60 + number) * minute) for number in range(60)))
        trim(store, 100, T0 + hour * 60 * minute)
        list(store.pruning(0))
        ids = [id_of(f"{each}.{number}") for each in range(hour + 1) for number in range(60)]
        known.append(sum(past is not None for past in store.find(ids)))
    assert max(known) <= 100 + 60, "one for each event that is kept, and those that live"


def test_an_event_of_the_future_ends_no_living_identity(store: Store) -> None:
    put(store, row("future", T0 + 400 * DAY), row("long", T0, 2 * DAY), *(row(number, T0 + 1) for number in range(5)))
    assert trim(store, 5, now=T0 + 2) == [2]
    list(store.pruning(0))
    assert store.find([id_of("long")]) == [LedgerRecord(row("long", T0, 2 * DAY).life, 0)]


def test_several_workers_trim_together_and_no_more_than_they_should(store: Store, url: str) -> None:
    put(store, *(row(number, T0 + number) for number in range(6 * PRUNE_ROWS)))

    def work(_: int) -> int:
        with closing(opened(url)) as other:
            total = 0
            while True:
                try:
                    deleted, _ = other.trim(PRUNE_ROWS, T0 + DAY)
                except Busy:
                    continue
                if not deleted:
                    return total
                total += deleted

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, range(3))) == 5 * PRUNE_ROWS
    report = verify(url)
    assert (report.events, report.faults) == (PRUNE_ROWS, [])


# Service tokens


def minted(number: int, *, subject: str = "bot", issued_ms: int = T0, expires_ms: int = T0 + HOUR) -> TokenChange:
    record = TokenRecord(f"{number:020x}", "name", subject, "issue", 7, None, issued_ms, expires_ms, "cli")
    return TokenChange("token_minted", issued_ms, "cli", None, record.id, subject, 7, record)


def amended(number: int, rate_limit: int, at: int, ends_ms: int = T0 + HOUR) -> TokenChange:
    key, kind = f"token:{number:020x}", "token_limited" if rate_limit else "token_revoked"
    amendment = Amendment(at, rate_limit, ends_ms)
    return TokenChange(kind, at, "cli", "r", f"{number:020x}", "bot", rate_limit or None, None, key, amendment)  # type: ignore[arg-type]


def test_tokens_are_told_newest_first_in_pages(store: Store) -> None:
    store.write([minted(number, issued_ms=T0 + number // 2) for number in range(5)])
    store.write([minted(9, subject="shop")])
    told = store.tokens(TokenQuery(9, subject="bot"))
    assert [int(record.id, 16) for record in told] == [4, 3, 2, 1, 0]
    assert told[0] == minted(4, issued_ms=T0 + 2).record
    after = store.tokens(TokenQuery(2, subject="bot", after=(told[1].issued_ms, told[1].id)))
    assert [int(record.id, 16) for record in after] == [2, 1]
    assert [record.subject for record in store.tokens(TokenQuery(9, token_id=f"{9:020x}"))] == ["shop"]
    assert store.tokens(TokenQuery(9, token_id="x")) == []


def test_a_change_that_is_written_twice_is_one_event_and_one_token(store: Store) -> None:
    for _ in range(2):
        assert store.write([minted(1), amended(1, 9, T0 + 1)]) == [0, 0]
    assert [event.kind for event in store.audit(AuditQuery(T0, "me")).events] == ["token_limited", "token_minted"]
    assert len(store.tokens(TokenQuery(9))) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(1, 3)), max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ledger_merges_amendments_by_the_rule_of_the_workers(
    store: Store, told: list[tuple[int, int, int]]
) -> None:
    changes = [amended(1, limit, T0 + at, T0 + end) for limit, at, end in told]
    known = Amendments()
    known.learn(store.amendments())
    for change in changes:
        store.write([change])
        assert change.key is not None
        assert change.amendment is not None
        known.learn({change.key: change.amendment})
    assert store.amendments() == known.held


def test_use_is_kept_by_its_latest_minute(store: Store) -> None:
    store.write([minted(1)])
    for moment in (60_000, 180_000, 120_000):
        store.write([TokensUsed({f"{1:020x}": moment, "unknown": moment})])
    assert [record.last_used_ms for record in store.tokens(TokenQuery(9))] == [180_000]


def test_expired_tokens_and_what_concerns_them_are_pruned(store: Store) -> None:
    store.write([minted(1, expires_ms=T0 + 5), minted(2, expires_ms=T0 + 50)])
    store.write([amended(1, 0, T0, T0 + 5), amended(2, 0, T0, T0 + 50)])
    for _ in store.pruning(T0 + 10):
        pass
    assert [int(record.id, 16) for record in store.tokens(TokenQuery(9))] == [2]
    assert set(store.amendments()) == {f"token:{2:020x}"}
