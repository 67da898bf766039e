"""What the ledger promises the service, on the event loop: for each real database, and with one that is ill at will."""

import asyncio
import gc
import resource
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger import backend
from arsenal_fast.ledger import writer as threads
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.errors import Busy, Unavailable, Unfit
from arsenal_fast.ledger.group import GroupWriter
from arsenal_fast.ledger.model import AuditQuery, LedgerRecord
from arsenal_fast.ledger.packed_rows import pack
from arsenal_fast.ledger.prune import verify
from arsenal_fast.ledger.store import PRUNE_ROWS, Lives
from arsenal_fast.ledger.writer import Entry
from arsenal_fast.memory_budget import LEDGER_ENTRY, LEDGER_ROW
from tests.support.ledger import T0, ask, find, id_of, record, revoked, revoked_prefix, row, running
from tests.support.loops import Answer, run, until
from tests.support.stores_of_ledger import ScriptedStore

PATIENT = 5.0  # seconds: a test's machine may be slow, and nobody is meant to run into a time-out
HASTY = 0.02  # seconds, where somebody is
OCTETS = LEDGER_ENTRY + len(pack([row(250)]))  # of a row that waits


def patient(url: str) -> Ledger:
    return Ledger(url, timeout=PATIENT)


# With each database


def test_a_row_is_answered_when_it_is_written(url: str) -> None:
    async def main() -> None:
        async with running(patient(url)) as ledger:
            assert ledger.status == "healthy"
            assert await record(ledger, row(1), row(2)) == [row(1).life, row(2).life]
            assert await find(ledger, id_of(2), id_of(3)) == [LedgerRecord(row(2).life, 0), None]
            assert (ledger.counters.rows, ledger.counters.commits, ledger.counters.waiting) == (2, 1, 0)
            assert ledger.counters.commit_times.count == 1
            assert ledger.counters.commit_times.nanoseconds > 0

    run(main())


def test_what_one_process_wrote_the_next_one_knows(url: str) -> None:
    async def write() -> None:
        async with running(patient(url)) as ledger:
            await record(ledger, row(1))
            assert await ask(ledger.revoke, revoked(2, T0)) == T0 + 1
            assert await ask(ledger.revoke, revoked_prefix("other", T0 + 5)) == T0 + 5

    async def read() -> None:
        async with running(patient(url)) as ledger:
            assert await find(ledger, id_of(1), id_of(2)) == [LedgerRecord(row(1).life, 0), LedgerRecord(None, T0)]
            assert await ask(ledger.epochs) == {"other": T0 + 5}
            assert await record(ledger, row(1, T0 + 9)) == [row(1).life]

    run(write())
    run(read())


def test_rows_of_many_callers_are_one_commit(url: str) -> None:
    async def main() -> None:
        async with running(patient(url)) as ledger:
            answers = [Answer[Any]() for _ in range(300)]
            for number, answer in enumerate(answers):
                ledger.record([row(number)], answer)
            assert [await answer.wait() for answer in answers] == [[row(number).life] for number in range(300)]
            assert ledger.counters.commits < 10

    run(main())


def test_several_ledgers_write_one_database(url: str) -> None:
    async def main() -> None:
        async with running(patient(url)) as one, running(patient(url)) as other, running(patient(url)) as third:
            ledgers = [one, other, third]
            asked = [asyncio.ensure_future(record(ledgers[n % 3], row(n % 40, T0 + n))) for n in range(240)]
            told: dict[int, set[Life]] = {}
            for number, future in enumerate(asked):
                lives = await future
                assert lives is not None
                told.setdefault(number % 40, set()).update(lives)
            assert [len(lives) for lives in told.values()] == [1] * 40, "an identity has one life, whoever asks"

    run(main())


def test_reading_the_audit_is_an_event_that_stands_in_no_page_of_its_own(url: str) -> None:
    async def main() -> None:
        async with running(patient(url)) as ledger:
            await record(ledger, row(1))
            query = AuditQuery(T0 + 9, "auditor", "q-1", prefix="player")
            first = await ask(ledger.audit, query)
            again = await ask(ledger.audit, query._replace(at=T0 + 10))
            assert [event.kind for event in first.events] == ["issued"]
            assert [event.kind for event in again.events] == ["audit_read", "issued"]
            assert again.events[0][2:] == (T0 + 9, "player", *[None] * 7, "auditor", "q-1")

    run(main())


@pytest.mark.parametrize("rows", [100, 1_000])
def test_a_ledger_that_is_written_without_a_pause_keeps_to_its_bound(
    url: str, rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    bound, most = 2_000, 0

    async def main() -> Ledger:
        nonlocal most
        async with running(Ledger(url, timeout=PATIENT, max_rows=bound)) as ledger:
            for start in range(0, 10_000, rows):
                await record(ledger, *(row(number, T0 + number) for number in range(start, start + rows)))
                most = max(most, ledger.counters.rows - ledger.counters.trimmed)
        return ledger

    counters = run(main(), deadline=60).counters
    assert most <= bound + 2 * max(PRUNE_ROWS, rows)
    assert verify(url).events == counters.rows - counters.trimmed
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert line.startswith("the ledger is full (LEDGER_MAX_ROWS is 2000): its oldest events leave")


def test_what_the_retention_does_not_want_is_not_counted_as_trimmed(caplog: pytest.LogCaptureFixture) -> None:
    store = ScriptedStore()
    trimmed = [(500, T0 - 1), (500, T0), (500, T0 + 1), (0, 0)]
    store.trim = lambda keep, now: trimmed.pop(0)  # type: ignore[method-assign]
    counters = Counters()
    writer = GroupWriter(counters, max_rows=10)
    writer.prune_before = T0
    for _ in range(4):
        writer.rest(store)
    assert (counters.trimmed, len(caplog.records)) == (1_000, 1)
    assert not trimmed


@pytest.mark.parametrize("max_rows", [0, 10])
def test_only_a_ledger_with_a_bound_is_looked_at(max_rows: int) -> None:
    store = ScriptedStore()
    looked: list[int] = []
    store.trim = lambda keep, now: (0, looked.append(keep) or 0)  # type: ignore[func-returns-value,method-assign]
    writer = GroupWriter(Counters(), max_rows)
    for number in range(4 * PRUNE_ROWS):
        writer.serve(store, [Entry(Lives([row(number)]), 1, lambda _: None, 0.0)])
    assert len(looked) == (8 if max_rows else 0), "at the start, then once for so many rows"


def test_pruning_goes_on_behind_the_work(url: str) -> None:
    async def main() -> None:
        async with running(patient(url)) as ledger:
            await record(ledger, row("old", T0, 1000), row("new", T0 + 9_000))
            ledger.prune(T0 + 5_000)
            while (await find(ledger, id_of("old"))) != [None]:
                pass  # each look-up is a turn of the loop
            assert await find(ledger, id_of("new")) == [LedgerRecord(row("new", T0 + 9_000).life, 0)]
            assert await record(ledger, row(2)) == [row(2).life]

    run(main())


def test_closing_writes_what_waits(url: str) -> None:
    async def write() -> int:
        ledger = patient(url)
        await ledger.start()
        answers = [Answer[Any]() for _ in range(2_000)]
        for number, answer in enumerate(answers):
            ledger.record([row(number)], answer)
        left = await ledger.close()
        assert [len(answer.calls) for answer in answers] == [1] * 2_000
        return left

    async def read() -> Any:
        async with running(patient(url)) as ledger:
            return await find(ledger, *(id_of(number) for number in range(2_000)))

    assert run(write()) == 0
    assert run(read()) == [LedgerRecord(row(number).life, 0) for number in range(2_000)]


# With a store that is ill at will


@asynccontextmanager
async def scripted(store: ScriptedStore, **options: Any) -> AsyncIterator[Ledger]:
    ledger = Ledger("sqlite:///unused.db", opening=store.open, **{"timeout": PATIENT, "gap": 0.0} | options)
    await ledger.start()
    try:
        yield ledger
    finally:
        store.gate.set()
        await ledger.close(HASTY)


async def begun(store: ScriptedStore) -> None:
    """The thread is within the store."""
    await until(store.begun.is_set)


def test_a_store_that_stands_still_costs_one_timeout_and_loses_nothing() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store, timeout=HASTY) as ledger:
            store.begun.clear()
            store.gate.clear()
            assert await record(ledger, row(1)) is None
            assert ledger.counters.timeouts == 1
            told: list[Any] = []
            ledger.record([row(2), row(3)], told.append)
            assert told == [None], "from now on nobody waits"
            assert (ledger.status, ledger.counters.waiting) == ("degraded", 3)
            assert "in time" in ledger.fault
            store.gate.set()
            await until(lambda: ledger.status == "healthy")
            assert (ledger.counters.waiting, ledger.counters.dropped, ledger.fault) == (0, 0, "")
            assert await find(ledger, id_of(1), id_of(3)) == [
                LedgerRecord(row(1).life, 0),
                LedgerRecord(row(3).life, 0),
            ]

    run(main())


def test_what_was_told_none_is_a_fact_when_it_is_written() -> None:
    """Whoever was told None has handed its life out: it is remembered although an older one stands."""

    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store, timeout=HASTY) as ledger:
            store.known[id_of(1)] = store.known[id_of(2)] = LedgerRecord(row(1).life, 0)
            store.begun.clear()
            store.gate.clear()
            assert await record(ledger, row(1, T0 + 5)) is None  # its commit is under way already
            ledger.record([row(2, T0 + 5)], lambda _: None)  # this one waits behind it
            store.gate.set()
            await until(lambda: ledger.counters.waiting == 0)
            late = LedgerRecord(row(1, T0 + 5).life, 0)
            assert await find(ledger, id_of(1), id_of(2)) == [late, late]

    run(main())


def test_rows_wait_in_their_order_and_are_written_in_it() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store) as ledger:
            store.fault = Unavailable("away")
            assert await record(ledger, row(0)) is None
            for number in range(1, 2_000):
                ledger.record([row(number)], lambda _: None)
            assert (ledger.status, ledger.fault, ledger.counters.waiting) == ("degraded", "away", 2_000)
            store.fault = None
            await until(lambda: ledger.counters.waiting == 0)
            written = [
                each.id for group in store.groups for item in group if isinstance(item, Lives) for each in item.rows
            ]
            assert written == [id_of(number) for number in range(2_000)]
            assert all(item.late for group in store.groups for item in group if isinstance(item, Lives))
            assert max(len(group) for group in store.groups) <= threads.MAX_ROWS
            assert ledger.status == "healthy"
            assert ledger.counters.rows == 2_000

    run(main())


def test_past_the_bound_the_oldest_are_dropped_and_counted() -> None:
    async def main() -> None:
        store = ScriptedStore()
        store.fault = Unavailable("away")
        async with scripted(store, capacity=100 * OCTETS) as ledger:
            for number in range(250):
                ledger.record([row(number)], lambda _: None)
            assert ledger.counters.waiting + ledger.counters.dropped == 250
            assert 95 <= ledger.counters.waiting <= 100
            store.fault = None
            await until(lambda: ledger.counters.waiting == 0)
            assert ledger.counters.rows == 250 - ledger.counters.dropped
            assert id_of(0) not in store.known
            assert {id_of(number) for number in range(160, 250)} <= store.known.keys()

    run(main())


def test_the_bound_is_the_same_after_each_outage() -> None:
    """Rows are written in time, late or again, and dropped, and the octets of each are given back."""

    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store, capacity=100 * OCTETS, timeout=HASTY) as ledger:
            for outage in range(4):
                assert await record(ledger, row(1), row(2)) is not None
                store.begun.clear()
                store.gate.clear()
                assert await record(ledger, row(1, T0 + 5 + outage)) is None  # an older life stands: written again
                before = ledger.counters.dropped
                for number in range(250):
                    ledger.record([row(number)], lambda _: None)
                assert ledger.counters.waiting == 100
                assert ledger.counters.dropped - before == 151
                store.gate.set()
                await until(lambda: ledger.counters.waiting == 0 and ledger.healthy)

    run(main())


def test_rows_whose_callers_wait_are_bounded_too() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store, capacity=10 * LEDGER_ROW) as ledger:
            store.begun.clear()
            store.gate.clear()
            first, *others = [Answer[Any]() for _ in range(21)]
            ledger.record([row(0)], first)
            await begun(store)
            for number, answer in enumerate(others):
                ledger.record([row(1 + number)], answer)
            assert [answer.calls for answer in others] == [[None]] * 11 + [[]] * 9
            assert (ledger.counters.waiting, ledger.counters.dropped) == (10, 11)
            store.gate.set()
            assert await first.wait() == [row(0).life]
            assert [await answer.wait() for answer in others[11:]] == [[row(n).life] for n in range(12, 21)]

    run(main())


def test_memory_stays_bounded_while_the_store_is_away() -> None:
    async def main() -> None:
        store = ScriptedStore()
        store.fault = Unavailable("away")
        async with scripted(store, capacity=1_000 * OCTETS) as ledger:
            for number in range(50_000):
                ledger.record([row(number)], lambda _: None)
            assert ledger.counters.waiting <= 1_000
            gc.collect()
            entries = [each for each in gc.get_objects() if isinstance(each, threads.Entry)]
            assert len(entries) < 2_000

    run(main())


def test_somebody_elses_lock_is_waited_for() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store) as ledger:
            opened = store.opened
            store.fault = Busy("locked")
            answer: Answer[Any] = Answer()
            ledger.record([row(1)], answer)
            await until(lambda: ledger.counters.failures >= 2)
            assert ledger.status == "healthy"
            assert not answer.calls
            store.fault = None
            assert await answer.wait() == [row(1).life]
            assert (store.opened, store.closed) == (opened, 0), "the connection was good"

    run(main())


def test_a_row_that_can_never_be_written_takes_no_other_with_it() -> None:
    async def main() -> None:
        store = ScriptedStore()
        store.poison = "bad"
        async with scripted(store) as ledger:
            answers = [Answer[Any]() for _ in range(9)]
            for number, answer in enumerate(answers):
                rows = [
                    row(f"{number}.{part}", caller="bad" if (number, part) == (4, 1) else "good") for part in range(3)
                ]
                ledger.record(rows, answer)
            told = [await answer.wait() for answer in answers]
            assert [lives is None for lives in told] == [number == 4 for number in range(9)]
            assert len(store.known) == 26
            assert (ledger.counters.refused, ledger.counters.waiting, ledger.status) == (1, 0, "healthy")

    run(main())


def test_a_connection_that_broke_while_nobody_looked_is_made_again_unnoticed() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store) as ledger:
            for ask_once in (lambda: record(ledger, row(1)), lambda: find(ledger, id_of(1))):
                store.faults_once = Unavailable("broken")
                assert await ask_once() is not None
            assert (ledger.counters.failures, ledger.healthy) == (0, True)
            assert (store.opened, store.closed) == (4, 2)

    run(main())


def test_a_fault_of_ours_is_an_outage_that_says_so() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store) as ledger:
            store.fault = ZeroDivisionError("boom")
            assert await record(ledger, row(1)) is None
            assert "ZeroDivisionError" in ledger.fault
            store.fault = None
            await until(lambda: ledger.status == "healthy")
            assert id_of(1) in store.known

    run(main())


def test_a_callback_that_fails_does_not_take_the_answers_of_others() -> None:
    async def main() -> None:
        store = ScriptedStore()
        loop = asyncio.get_running_loop()
        failures: list[Any] = []
        loop.set_exception_handler(lambda _, context: failures.append(context))
        async with scripted(store) as ledger:

            def fail(_: object) -> None:
                raise ZeroDivisionError

            answer: Answer[Any] = Answer()
            ledger.record([row(1)], fail)
            ledger.record([row(2)], answer)
            assert await answer.wait() == [row(2).life]
            assert [type(context["exception"]) for context in failures] == [ZeroDivisionError]

    run(main())


def test_lookups_of_one_moment_are_one_question() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store) as ledger:
            await record(ledger, row(1), row(2))
            store.begun.clear()
            store.gate.clear()
            first: Answer[Any] = Answer()
            ledger.find([id_of(1)], first)
            await begun(store)
            answers = [Answer[Any]() for _ in range(10)]
            for number, answer in enumerate(answers):
                ledger.find([id_of(number), id_of(2)], answer)
            store.gate.set()
            assert await first.wait() == [LedgerRecord(row(1).life, 0)]
            told = [await answer.wait() for answer in answers]
            assert [records[1] for records in told] == [LedgerRecord(row(2).life, 0)] * 10
            assert [records[0] is not None for records in told] == [number in {1, 2} for number in range(10)]
            assert store.finds == 2

    run(main())


def test_a_lookup_that_takes_too_long_is_told_none_and_the_next_ones_at_once() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store, timeout=HASTY) as ledger:
            store.gate.clear()
            assert await find(ledger, id_of(1)) is None
            told: list[Any] = []
            ledger.find([id_of(1)], told.append)
            ledger.epochs(told.append)
            ledger.audit(AuditQuery(T0, "me"), told.append)
            assert told == [None, None, None]
            assert ledger.status == "degraded"
            store.gate.set()
            await until(lambda: ledger.status == "healthy")

    run(main())


def test_more_lookups_than_can_be_answered_are_told_none_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "MAX_LOOKUPS", 10)

    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store) as ledger:
            store.gate.clear()
            answers = [Answer[Any]() for _ in range(4)]
            for answer in answers:
                ledger.find([id_of(1)] * 4, answer)
            assert [answer.calls for answer in answers] == [[], [], [None], [None]]
            store.gate.set()
            assert await answers[1].wait() == [None] * 4

    run(main())


@pytest.mark.parametrize("what", ["find", "audit"])
def test_a_question_that_is_refused_is_told_none_and_no_other(what: str) -> None:
    async def main() -> None:
        store = ScriptedStore()
        store.poison = "bad"
        async with scripted(store) as ledger:
            asked: list[Answer[Any]] = [Answer(), Answer()]
            if what == "find":
                ledger.find(["bad"], asked[0])
                ledger.find([id_of(1)], asked[1])
            else:
                ledger.audit(AuditQuery(T0, "bad"), asked[0])
                ledger.audit(AuditQuery(T0, "good"), asked[1])
            assert await asked[0].wait() is None
            assert await asked[1].wait() is not None
            assert ledger.status == "healthy"

    run(main())


def test_the_audit_is_handed_over_although_its_reading_must_wait_to_be_written() -> None:
    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store, timeout=HASTY) as ledger:
            assert ledger._write is not None
            ledger._write.ready = False
            assert (await ask(ledger.audit, AuditQuery(T0, "me"))).events == []
            await until(lambda: bool(store.groups))

    run(main())


def test_the_ledger_starts_without_its_database_and_says_so() -> None:
    async def main() -> None:
        store = ScriptedStore()
        store.fault = Unavailable("away")
        async with scripted(store) as ledger:
            changes: list[str] = []
            ledger.on_change = lambda: changes.append(ledger.status)
            assert (ledger.status, ledger.healthy, ledger.fault) == ("unavailable", False, "away")
            assert await find(ledger, id_of(1)) is None
            assert await record(ledger, row(1)) is None
            store.fault = None
            await until(lambda: ledger.healthy)
            assert changes == ["degraded", "healthy"]
            await until(lambda: id_of(1) in store.known)

    run(main())


def test_a_start_waits_for_others_who_open_the_database_too() -> None:
    async def main() -> None:
        store = ScriptedStore()
        faults = [Busy("locked")] * 6

        def opening(purpose: str) -> ScriptedStore:
            if faults:
                raise faults.pop()
            return store.open(purpose)

        ledger = Ledger("sqlite:///unused.db", opening=opening)
        await ledger.start()
        assert ledger.healthy
        await ledger.close()

    run(main())


def test_a_database_that_is_unfit_is_no_start() -> None:
    async def main() -> None:
        store = ScriptedStore()
        store.fault = Unfit("It is of a newer program.")
        ledger = Ledger("sqlite:///unused.db", opening=store.open)
        with pytest.raises(ConfigurationError) as caught:
            await ledger.start()
        assert caught.value.faults == ("DATABASE_URL: It is of a newer program.",)

    run(main())


def test_closing_is_bounded_and_tells_what_was_not_written() -> None:
    async def main() -> None:
        store = ScriptedStore()
        ledger = Ledger("sqlite:///unused.db", opening=store.open, timeout=PATIENT)
        await ledger.start()
        store.gate.clear()
        answer: Answer[Sequence[Life] | None] = Answer()
        ledger.record([row(1), row(2)], answer)
        assert await ledger.close(HASTY) == 2
        assert await answer.wait() is None
        assert await record(ledger, row(3)) is None, "nobody is kept waiting after the end"
        assert await find(ledger, id_of(1)) is None
        store.gate.set()

    run(main())


def test_closing_tries_again_until_its_time_is_over() -> None:
    async def main() -> None:
        store = ScriptedStore()
        ledger = Ledger("sqlite:///unused.db", opening=store.open)
        await ledger.start()
        store.fault = Unavailable("away")
        assert await record(ledger, row(1)) is None
        closing = asyncio.ensure_future(ledger.close(PATIENT))
        await until(lambda: ledger.counters.failures >= 3)
        store.fault = None
        assert await closing == 0
        assert id_of(1) in store.known

    run(main())


def test_the_threads_end_with_the_ledger() -> None:
    async def main() -> set[str]:
        store = ScriptedStore()
        async with scripted(store):
            running_now = {thread.name for thread in threading.enumerate()}
        assert store.opened == store.closed == 2
        return running_now

    assert {"ledger-writer", "ledger-reader"} <= run(main())
    assert not {"ledger-writer", "ledger-reader"} & {thread.name for thread in threading.enumerate()}


def test_a_ledger_that_was_never_started_tells_none() -> None:
    async def main() -> None:
        ledger = Ledger("sqlite:///unused.db")
        assert ledger.status == "unavailable"
        assert await record(ledger, row(1)) is None
        assert await ledger.close() == 0

    run(main())


def test_without_work_the_threads_only_look_whether_the_database_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PING", 0.01)
    monkeypatch.setattr("arsenal_fast.ledger.group.PING", 0.01)

    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store) as ledger:
            pings = store.pings
            await until(lambda: store.pings > pings + 4)
            store.fault = Unavailable("away")
            await until(lambda: ledger.status == "unavailable")
            store.fault = None
            await until(lambda: ledger.status == "healthy")

    run(main())


def test_an_idle_ledger_costs_no_cpu(sqlite_url: str) -> None:
    async def main() -> None:
        async with running(patient(sqlite_url)) as ledger:
            await record(ledger, row(1))
            before = resource.getrusage(resource.RUSAGE_SELF)
            await asyncio.sleep(0.3)  # what is measured is that nothing happens meanwhile
            after = resource.getrusage(resource.RUSAGE_SELF)
            assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.03

    run(main())


# Without a ledger
