"""The index of names: whatever part of it is folded, look-ups and pages tell the same."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arsenal_fast.identity.validity import MAX_TTL, Life
from arsenal_fast.ledger import names
from arsenal_fast.ledger.errors import Refused, Unavailable
from arsenal_fast.ledger.model import AuditQuery, LedgerRecord
from arsenal_fast.ledger.names import LOWER_BITS, name_key, new_prime
from arsenal_fast.ledger.sqlite import SqliteStore
from arsenal_fast.ledger.verify import verify
from tests.support.ledger import DOMAIN, HOUR, T0, id_of, put, revoked, row

PRIME = 549_755_813_881  # the greatest below 2 ** 39


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold after a few rows."""
    monkeypatch.setattr(names, "SLICE", 8)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"{tmp_path}/identity.db"


@pytest.fixture
def store(path: str) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path, writer=True)) as store:
        yield store


def count(store: SqliteStore, what: str) -> int:
    ((number,),) = store.read(what)
    return int(number)


def folded(store: SqliteStore) -> int:
    return count(store, "SELECT value FROM meta WHERE name = 'folded'")


def put_all(store: SqliteStore, numbers: range, size: int = 3) -> None:
    for start in numbers[::size]:
        put(store, *(row(number, T0 + number) for number in range(start, min(start + size, numbers.stop))))


def runs(store: SqliteStore, **filters: Any) -> list[str | None]:
    return [event.run for event in store.audit(AuditQuery(T0, "me", limit=1000)._replace(**filters)).events]


def test_what_is_folded_and_what_is_not_are_found_alike(store: SqliteStore, path: str) -> None:
    put_all(store, range(100))
    assert 50 < folded(store) < 100, "some are, some are not"
    assert count(store, "SELECT count(*) FROM names") < 100
    ids = [id_of(number) for number in range(101)]
    wanted = [LedgerRecord(row(number, T0 + number).life, 0) for number in range(100)]
    for purpose in (True, False):
        with closing(SqliteStore(path, writer=purpose)) as other:
            assert other.find(ids) == [*wanted, None]
            assert [runs(other, run=str(number)) for number in range(101)] == [[str(each)] for each in range(100)] + [
                []
            ]
            assert runs(other, run="7", prefix="other") == []
    assert verify(f"sqlite:///{path}").faults == []


@pytest.mark.parametrize("size", [1, 3, 8, 50])
def test_however_many_rows_are_written_the_tail_has_a_bound(store: SqliteStore, path: str, size: int) -> None:
    with closing(SqliteStore(path)) as reader:
        for start in range(0, 1_000, size):
            put(store, *(row(number, T0 + number) for number in range(start, start + size)))
            reader.find([id_of(0)])
            for each in (store, reader):
                assert len(each._names._tail) <= names.SLICE * 3 // 2 + size
            assert len(store._names._entries) + len(store._names._slice) <= names.SLICE * 2 + size


STEPS: Final = 16  # of SQLite's machine, between two calls of the handler


def test_what_others_write_is_learned_at_a_cost_that_does_not_grow_with_the_ledger(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in steps of SQLite's machine: with a million events each look-up would take 60 ms."""
    monkeypatch.setattr(SqliteStore, "_time_limit", lambda *_: nullcontext())  # it counts steps in the same way
    costs: list[dict[str, int]] = []
    with closing(SqliteStore(path, writer=True)) as store, closing(SqliteStore(path)) as reader:

        def cost(of: SqliteStore, ask: Callable[[], object]) -> int:
            steps = 0

            def count_steps() -> bool:
                nonlocal steps
                steps += STEPS
                return False

            of.connection.set_progress_handler(count_steps, STEPS)
            ask()
            of.connection.set_progress_handler(None, 0)
            return steps

        written = itertools.count(10_000)
        for numbers in (range(300), range(300, 6_000)):
            put_all(store, numbers, size=60)
            with closing(SqliteStore(path, writer=True)) as other:
                put(other, row(next(written)))
                costs.append(
                    {
                        "look-up": cost(reader, lambda: reader.find([id_of(7), id_of("none")])),
                        "write": cost(store, lambda: put(store, row(next(written)))),
                        "check": cost(store, store.ping),
                        "nothing to trim": cost(store, lambda: store.trim(10_000, T0)),
                        "page": cost(reader, lambda: reader.audit(AuditQuery(T0, "me", limit=10))),
                        "page of a run": cost(reader, lambda: reader.audit(AuditQuery(T0, "me", run="7", limit=10))),
                    }
                )
    few, many = costs
    assert all(few.values())
    assert {name: most for name, most in many.items() if most > 3 * few[name] + 300} == {}, few


def test_a_held_life_stands_wherever_it_is(store: SqliteStore) -> None:
    put_all(store, range(60))
    told = put(store, *(row(number, T0 + 1_000) for number in range(60)))
    assert told == [row(number, T0 + number).life for number in range(60)]
    assert count(store, "SELECT count(*) FROM events") == 60


def test_of_many_lives_the_newest_is_found_though_an_older_one_was_written_last(store: SqliteStore) -> None:
    for moment in (5, 9, 7, 3):
        put(store, row("x", T0 + moment), late=True)
        put_all(store, range(moment * 100, moment * 100 + 20))
        newest = max(each for each in (5, 9, 7, 3)[: (5, 9, 7, 3).index(moment) + 1])
        assert store.find([id_of("x")]) == [LedgerRecord(Life(T0 + newest, T0 + newest + HOUR), 0)]
    assert len(runs(store, run="x")) == 4


def test_what_another_connection_has_written_is_known_before_it_is_settled(store: SqliteStore, path: str) -> None:
    with closing(SqliteStore(path, writer=True)) as other:
        for number in range(40):
            first, second = (store, other) if number % 2 else (other, store)
            assert put(first, row(number, T0)) == put(second, row(number, T0 + 5)) == [row(number, T0).life]
        assert folded(other) > 20
        assert count(other, "SELECT count(*) FROM events") == 40
    assert verify(f"sqlite:///{path}").faults == []


def test_after_a_restore_nothing_of_the_ledger_before_is_known(store: SqliteStore, path: str, tmp_path: Path) -> None:
    """Not even its prime: a backup may be of another ledger, or of an older release."""
    with closing(SqliteStore(f"{tmp_path}/other.db", writer=True)) as other, closing(SqliteStore(path)) as reader:
        put_all(other, range(50))
        put_all(store, range(100, 190))
        assert reader.find([id_of(150), id_of(7)]) == [LedgerRecord(row(150, T0 + 150).life, 0), None]
        with closing(sqlite3.connect(path, isolation_level=None)) as target:
            other.connection.backup(target)
        for each in (store, reader):
            assert each.find([id_of(150), id_of(7), id_of(49)]) == [
                None,
                LedgerRecord(row(7, T0 + 7).life, 0),
                LedgerRecord(row(49, T0 + 49).life, 0),
            ]
            assert runs(each, run="7") == ["7"]
        put_all(store, range(200, 260))
        assert put(store, row(49, T0 + 500), row(150, T0 + 500)) == [row(49, T0 + 49).life, row(150, T0 + 500).life]
        assert reader.find([id_of(250)]) == [LedgerRecord(row(250, T0 + 250).life, 0)]
    assert verify(f"sqlite:///{path}").faults == []


def test_a_group_that_was_rolled_back_leaves_nothing(store: SqliteStore) -> None:
    put_all(store, range(10))
    with pytest.raises(Refused):
        put(store, row("lost"), row("bad", environment="\udc80"))
    assert store.find([id_of("lost")]) == [None]
    put_all(store, range(10, 60))
    assert store.find([id_of(number) for number in range(60)] + [id_of("lost")])[-2:] == [
        LedgerRecord(row(59, T0 + 59).life, 0),
        None,
    ]
    assert put(store, row("lost", T0 + 7)) == [row("lost", T0 + 7).life]


def test_events_between_are_folded_too(store: SqliteStore, path: str) -> None:
    for number in range(30):
        put(store, row(number, T0 + number))
        store.write([revoked(number, T0 + 100, at=T0 + 100), AuditQuery(T0 + number, "me", run=f"asked {number}")])
    assert folded(store) > 30
    assert runs(store, run="1") == ["1", "1"]
    assert runs(store, run="asked 1") == ["asked 1"]
    assert store.find([id_of(1)]) == [LedgerRecord(row(1, T0 + 1).life, T0 + 100)]
    assert verify(f"sqlite:///{path}").faults == []


def test_an_older_release_that_still_writes_is_read(store: SqliteStore, path: str) -> None:
    """It writes event and life, and knows of no index."""
    put_all(store, range(20))
    statement = (
        "INSERT INTO events (kind, at, prefix, run, domain, version, generated, expires, caller)"
        " VALUES ('issued', ?, 'player', ?, ?, 'v1', ?, ?, 'old')"
    )
    with closing(sqlite3.connect(path)) as old, old:
        for number in range(20, 40):
            old.execute(statement, (T0 + number, str(number), DOMAIN, T0 + number, T0 + number + HOUR))
            old.execute("REPLACE INTO lives VALUES (?, ?, ?, 0)", (id_of(number), T0 + number, T0 + number + HOUR))
    put_all(store, range(40, 80))
    assert put(store, row(30, T0 + 99)) == [row(30, T0 + 30).life]
    assert runs(store, run="30") == ["30"]
    assert verify(f"sqlite:///{path}").faults == []


def test_a_long_tail_of_an_older_release_is_folded_without_reading_it(
    store: SqliteStore, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST", 64)
    monkeypatch.setattr(names, "STEP", 30)
    put_all(store, range(20))
    statement = (
        "INSERT INTO events (kind, at, prefix, run, domain, version, generated, expires, caller)"
        f" VALUES ('issued', ?, 'player', ?, '{DOMAIN}', 'v1', ?, ?, 'old')"
    )
    moments = [(T0 + number, str(number), T0 + number, T0 + number + HOUR) for number in range(20, 200)]
    with closing(sqlite3.connect(path)) as old, old:
        old.executemany(statement, moments)
    with closing(SqliteStore(path)) as reader:
        with pytest.raises(Unavailable, match="index of names"):
            reader.find([id_of(150)])
        with pytest.raises(Unavailable, match="index of names"):
            put(store, row(150, T0 + 500))
        store.ping()
        assert 200 - 16 <= folded(store) <= 200
        assert reader.find([id_of(150), id_of(200)]) == [LedgerRecord(row(150, T0 + 150).life, 0), None]
    assert put(store, row(150, T0 + 500)) == [row(150, T0 + 150).life]
    assert runs(store, run="150") == ["150"]
    assert verify(f"sqlite:///{path}").faults == []


def test_entries_of_pruned_events_leave_and_living_identities_stay(store: SqliteStore, path: str) -> None:
    put(store, row("long", T0, MAX_TTL * 1000), row("over", T0, 1))
    put_all(store, range(1, 100))
    assert store.trim(20, T0 + 10_000)[0] == 81
    assert count(store, "SELECT count(*) FROM names WHERE seq < (SELECT min(seq) FROM events)") > 50
    list(store.pruning(0))
    assert count(store, "SELECT count(*) FROM names WHERE seq < (SELECT min(seq) FROM events)") == 0
    known = store.find([id_of("long"), id_of("over"), id_of(1), id_of(99)])
    assert known == [
        LedgerRecord(row("long", T0, MAX_TTL * 1000).life, 0),
        None,
        LedgerRecord(row(1, T0 + 1).life, 0),
        LedgerRecord(row(99, T0 + 99).life, 0),
    ]
    assert verify(f"sqlite:///{path}").faults == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9), st.booleans()), max_size=40))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_folding_changes_nothing_that_is_told(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    told: list[Any] = []
    for size in (1, 1_000_000):
        with pytest.MonkeyPatch.context() as patch, closing(SqliteStore(f"{folder}/{size}.db", writer=True)) as store:
            patch.setattr(names, "SLICE", size)
            lives = [put(store, row(run, T0 + moment), late=late) for run, moment, late in rows]
            pages = [runs(store, run=run, limit=limit) for run in "abcd" for limit in (1, 9)]
            told.append((lives, pages, store.find([id_of(run) for run in "abcd"])))
    assert told[0] == told[1]


# Keys


def test_the_prime_is_another_one_in_each_ledger_and_a_prime(tmp_path: Path) -> None:
    drawn = {new_prime() for _ in range(20)}
    assert len(drawn) > 15
    for number in drawn:
        assert 1 << 38 < number < 1 << 39
        assert all(number % each for each in range(2, 10_000))


@pytest.mark.parametrize("number", [561, 41_041, 825_265, 321_197_185, 3_215_031_751, 999_999_999_989 * 3])
def test_what_only_looks_like_a_prime_is_none(number: int) -> None:
    assert not names._is_prime(number)


def test_small_primes_and_large_ones_are_known() -> None:
    assert [number for number in range(19, 60, 2) if names._is_prime(number)] == [
        19,
        23,
        29,
        31,
        37,
        41,
        43,
        47,
        53,
        59,
    ]
    assert names._is_prime(PRIME)


def test_names_that_count_up_are_neighbours() -> None:
    keys = [name_key(PRIME, "player", f"90000{number}", "a.example/v1:id") for number in range(10)]
    assert [after - before for before, after in itertools.pairwise(keys)] == [1 << 2 * LOWER_BITS] * 9
    assert all(0 <= key < 1 << 63 for key in keys)


def test_prefix_domain_and_version_each_change_the_key() -> None:
    names_of = [
        ("p", "1", "d/v1:id"),
        ("q", "1", "d/v1:id"),
        ("p", "1", "e/v1:id"),
        ("p", "1", "d/v2:id"),
        ("p", "2", "d/v1:id"),
    ]
    assert len({name_key(PRIME, *each) for each in names_of}) == len(names_of)


def test_names_of_one_key_are_not_taken_for_each_other(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "name_key", lambda *_: 7)
    put_all(store, range(60))
    assert folded(store) > 30
    assert store.find([id_of(3), id_of(58), id_of(60)]) == [
        LedgerRecord(row(3, T0 + 3).life, 0),
        LedgerRecord(row(58, T0 + 58).life, 0),
        None,
    ]
