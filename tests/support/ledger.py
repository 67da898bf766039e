"""Rows for a ledger, and reading from one; nothing here sleeps."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.backend import Ledger, opener
from arsenal_fast.ledger.model import LedgerRecord, LedgerRow, LifeKind, RevocationRow
from arsenal_fast.ledger.store import Lives, Store
from arsenal_fast.ledger.url import parse_url
from tests.support.loops import Answer

T0 = 1_790_000_000_000  # ms, some moment in 2026
HOUR = 3_600_000  # ms
DOMAIN = "sports.api.yourbook.com"


def row(
    run: str | int,
    generated: int = T0,
    ttl: int = HOUR,
    *,
    prefix: str = "player",
    kind: LifeKind = "issued",
    environment: str | None = None,
    caller: str = "203.0.113.9",
    request_id: str | None = None,
) -> LedgerRow:
    life = Life(generated, generated + ttl)
    return LedgerRow(kind, id_of(run, prefix), life, environment, caller, request_id)


def id_of(run: str | int, prefix: str = "player") -> str:
    return f"{prefix}-{run}@{DOMAIN}/v1:id"


def revoked(run: str | int, floor: int, at: int = T0, prefix: str = "player") -> RevocationRow:
    """The end of one identity."""
    return RevocationRow("revoked", at, floor + 1, "ops", "r-1", prefix, str(run), DOMAIN, "v1")


def revoked_prefix(prefix: str, before: int, at: int = T0) -> RevocationRow:
    return RevocationRow("revoked_prefix", at, before, "ops", None, prefix)


def revoked_all(before: int, at: int = T0) -> RevocationRow:
    return RevocationRow("revoked_all", at, before, "ops")


@asynccontextmanager
async def running(ledger: Ledger) -> AsyncIterator[Ledger]:
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.close()


async def ask(port: Callable[..., None], *arguments: Any) -> Any:
    """Call a port and wait for its one answer."""
    answer: Answer[Any] = Answer()
    port(*arguments, answer)
    return await answer.wait()


async def record(ledger: Ledger, *rows: LedgerRow) -> Sequence[Life] | None:
    lives: Sequence[Life] | None = await ask(ledger.record, rows)
    return lives


async def find(ledger: Ledger, *ids: str) -> Sequence[LedgerRecord | None] | None:
    records: Sequence[LedgerRecord | None] | None = await ask(ledger.find, ids)
    return records


def opened(url: str, purpose: str = "write") -> Store:
    address = parse_url(url)
    assert address is not None
    return opener(address)(purpose)


def put(store: Store, *rows: LedgerRow, late: bool = False) -> list[Life]:
    (lives,) = store.write([Lives(rows, late)])
    assert not isinstance(lives, int)
    return list(lives)
