"""Ledgers whose time-outs and store a test controls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arsenal_fast.ledger.backend import Ledger
from tests.support.loops import until
from tests.support.stores_of_ledger import ScriptedStore

PATIENT = 5.0  # seconds: a test's machine may be slow, and no call should time out

HASTY = 0.02  # seconds, where calls should time out


def patient(url: str) -> Ledger:
    return Ledger(url, timeout=PATIENT)


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
