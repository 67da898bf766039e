"""Between event loop and threads: time-outs, the order of waiting rows, and the bound of their memory."""

import asyncio
import gc
from typing import Any

from arsenal_fast.ledger import threads
from arsenal_fast.ledger.errors import Unavailable
from arsenal_fast.ledger.model import AuditQuery, LedgerRecord
from arsenal_fast.ledger.packed_rows import pack
from arsenal_fast.ledger.store import Lives
from arsenal_fast.memory_budget import LEDGER_ENTRY, LEDGER_ROW
from tests.support.ledger import T0, find, id_of, record, row
from tests.support.loops import Answer, run, until
from tests.support.scripted_ledger import HASTY, begun, scripted
from tests.support.stores_of_ledger import ScriptedStore

UNIT_BITS = LEDGER_ENTRY + len(pack([row(250)]))  # of a row that waits


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
            assert told == [None], "from now on no request waits"
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
    """A caller that got None has issued its life: it is kept although an older one is valid."""

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
        async with scripted(store, capacity=100 * UNIT_BITS) as ledger:
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
    """Rows are written in time, late or again, and dropped, and the bytes of each are given back."""

    async def main() -> None:
        store = ScriptedStore()
        async with scripted(store, capacity=100 * UNIT_BITS, timeout=HASTY) as ledger:
            for outage in range(4):
                assert await record(ledger, row(1), row(2)) is not None
                store.begun.clear()
                store.gate.clear()
                assert await record(ledger, row(1, T0 + 5 + outage)) is None  # an older life is valid: written again
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
        async with scripted(store, capacity=1_000 * UNIT_BITS) as ledger:
            for number in range(50_000):
                ledger.record([row(number)], lambda _: None)
            assert ledger.counters.waiting <= 1_000
            gc.collect()
            entries = [each for each in gc.get_objects() if isinstance(each, threads.Entry)]
            assert len(entries) < 2_000

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
