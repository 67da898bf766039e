"""The threads of a ledger: groups, locks of others, broken connections, and idle times."""

import asyncio
import resource
from typing import Any

import pytest

from arsenal_fast.ledger import writer as threads
from arsenal_fast.ledger.errors import Busy, Unavailable
from tests.support.ledger import find, id_of, record, row, running
from tests.support.loops import Answer, run, until
from tests.support.scripted_ledger import patient, scripted
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
