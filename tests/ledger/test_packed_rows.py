"""Packed rows unpack unchanged, and take no more memory while they wait than they are counted for."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.bridge import forget
from arsenal_fast.ledger.errors import Unavailable
from arsenal_fast.ledger.model import LedgerRow
from arsenal_fast.ledger.packed_rows import pack, unpack
from arsenal_fast.memory_budget import LEDGER_ENTRY, LEDGER_ROW, MIB, of_container, shares
from tests.support import hostile_keys
from tests.support.ledger import T0, row, running
from tests.support.loops import run
from tests.support.stores_of_ledger import ScriptedStore

MOMENTS: Final = st.integers(0, 1 << 63)
ANY_TEXT: Final = st.text(st.characters(exclude_categories=()))  # lone surrogates too
ROWS: Final = st.builds(
    LedgerRow,
    st.sampled_from(["issued", "renewed"]),
    ANY_TEXT,
    st.builds(Life, MOMENTS, MOMENTS),
    st.none() | ANY_TEXT,
    ANY_TEXT,
    st.none() | ANY_TEXT,
)
ENTRIES: Final = 1_000

Rows = Callable[[int], list[LedgerRow]]


def usual(number: int) -> list[LedgerRow]:
    """The row of a request for one identity."""
    return [row(f"{number:08d}", T0 + number, caller=f"2001:db8:{number:x}::/64", request_id=f"{number:032x}")]


def longest(number: int) -> list[LedgerRow]:
    """A row with the longest of everything that a request can bring."""
    (short,) = usual(number)
    texts = f"sub:{number:0128d}", f"{number:0128d}"
    return [short._replace(id=hostile_keys.identity(number), caller=texts[0], request_id=texts[1])]


def batch(number: int) -> list[LedgerRow]:
    """The rows of a batch."""
    return [row(f"{number}.{each}", T0 + number, environment=f"environment-{each}") for each in range(50)]


@given(st.lists(ROWS))
def test_rows_come_out_as_they_went_in(rows: list[LedgerRow]) -> None:
    found = unpack(pack(rows))
    assert found == rows
    assert {type(each.life) for each in found} <= {Life}


def test_a_text_that_many_rows_share_is_packed_once() -> None:
    rows = [row(number, caller="sub:" + "x" * 128) for number in range(50)]
    assert len(pack(rows)) < 50 * 100


def taken(ledger: Ledger, make: Rows) -> int:
    """Bytes that so many entries take while they wait."""
    ledger.record(make(0), forget)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(ENTRIES):
            ledger.record(make(number), forget)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [usual, longest, batch])
def test_rows_that_wait_for_the_ledger_take_no_more_than_they_are_weighed(make: Rows) -> None:
    async def main() -> int:
        store = ScriptedStore()
        store.fault = Unavailable("away")
        async with running(Ledger("sqlite:///unused.db", opening=store.open)) as ledger:
            octets = taken(ledger, make)
            store.fault = None
            return octets

    assert run(main()) <= ENTRIES * (LEDGER_ENTRY + len(pack(make(ENTRIES))))


@pytest.mark.parametrize("make", [usual, longest])
def test_rows_whose_callers_wait_take_no_more_than_they_are_weighed(make: Rows) -> None:
    async def main() -> int:
        store = ScriptedStore()
        async with running(Ledger("sqlite:///unused.db", opening=store.open, timeout=30.0)) as ledger:
            store.gate.clear()
            octets = taken(ledger, make)
            store.gate.set()
            return octets

    assert run(main()) <= ENTRIES * LEDGER_ROW


def test_the_guides_container_keeps_50_000_rows_waiting() -> None:
    assert shares(of_container(256 * MIB)).ledger_rows > 50_000 * (LEDGER_ENTRY + len(pack(usual(50_000))))
