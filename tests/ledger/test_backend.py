"""The ledger as the service uses it: start, end, and the results of each port."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger import backend, threads
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.errors import Busy, Unavailable, Unfit
from arsenal_fast.ledger.model import AuditQuery, LedgerRecord
from tests.support.ledger import T0, ask, find, id_of, record, revoked, revoked_prefix, row, running
from tests.support.loops import Answer, run, until
from tests.support.scripted_ledger import HASTY, PATIENT, patient, scripted
from tests.support.stores_of_ledger import ScriptedStore


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
            assert [len(lives) for lives in told.values()] == [1] * 40, "an identity has one life for every caller"

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
            assert again.events[0][2:] == (T0 + 9, "player", *[None] * 7, "auditor", "q-1", None, None, None)

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
        assert await record(ledger, row(3)) is None, "no caller waits after the end"
        assert await find(ledger, id_of(1)) is None
        store.gate.set()

    run(main())


def test_with_nothing_to_write_closing_does_not_wait_for_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "PING", 0.01)

    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store) as ledger:
            store.fault = Unavailable("away")
            await until(lambda: ledger.status == "unavailable")
            async with asyncio.timeout(PATIENT):
                assert await ledger.close(patience=10 * PATIENT) == 0

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
