"""The threads of a ledger: groups, refused rows, locks of others, broken connections, rest, pruning and trimming."""

import asyncio
import resource
from typing import Any

import pytest

from arsenal_fast.ledger import threads
from arsenal_fast.ledger.backend import GAP, Ledger
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.errors import Busy, Unavailable
from arsenal_fast.ledger.model import AuditQuery, LedgerRecord
from arsenal_fast.ledger.prune import verify
from arsenal_fast.ledger.store import PRUNE_ROWS, Lives
from arsenal_fast.ledger.threads import Entry, GroupWriter
from tests.support.ledger import T0, find, id_of, record, row, running
from tests.support.loops import Answer, run, until
from tests.support.scripted_ledger import PATIENT, begun, patient, scripted
from tests.support.stores_of_ledger import ScriptedStore


def test_rows_of_many_callers_are_one_commit(url: str) -> None:
    async def main() -> None:
        async with running(patient(url)) as ledger:
            answers = [Answer[Any]() for _ in range(300)]
            for number, answer in enumerate(answers):
                ledger.record([row(number)], answer)
            assert [await answer.wait() for answer in answers] == [[row(number).life] for number in range(300)]
            assert ledger.counters.commits < 10

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


@pytest.mark.parametrize(
    ("took_s", "rows", "wait_s"),
    [
        (0.0002, 1, 0.0001),
        (0.0002, 2, threads.SHARED),
        (0.004, 1, 0.002),
        (0.008, 1, 0.004),
        (0.008, 64, 0.004),
        (0.3, 1, GAP),
        (0.3, 64, GAP),
    ],
    ids=str,
)
def test_rows_wait_for_company_where_there_is_some_or_commits_are_slow(took_s: float, rows: int, wait_s: float) -> None:
    assert threads.wait_for_company(took_s, rows, GAP) == pytest.approx(wait_s)


def test_without_work_the_threads_only_look_whether_the_database_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PING", 0.01)

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
    job = GroupWriter(counters, max_rows=10)
    job.prune_before = T0
    for _ in range(4):
        job.rest(store)
    assert (counters.trimmed, len(caplog.records)) == (1_000, 1)
    assert not trimmed


@pytest.mark.parametrize("max_rows", [0, 10])
def test_only_a_ledger_with_a_bound_is_looked_at(max_rows: int) -> None:
    store = ScriptedStore()
    looked: list[int] = []
    store.trim = lambda keep, now: (0, looked.append(keep) or 0)  # type: ignore[func-returns-value,method-assign]
    job = GroupWriter(Counters(), max_rows)
    for number in range(4 * PRUNE_ROWS):
        job.serve(store, [Entry(Lives([row(number)]), 1, lambda _: None, 0.0)])
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
            assert [pasts[1] for pasts in told] == [LedgerRecord(row(2).life, 0)] * 10
            assert [pasts[0] is not None for pasts in told] == [number in {1, 2} for number in range(10)]
            assert store.finds == 2

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
