"""The Ledger port over SQLite or PostgreSQL: calls from the event loop, which never wait and never raise.

Each ``done`` is called once, on the event loop, within ``timeout``, perhaps before the call returns; None means
that the ledger is away, locked, full or slow. Rows to be written are then kept and written when it returns.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.bridge import Bridge, WriteBridge
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.model import (
    AuditPage,
    AuditQuery,
    LedgerRecord,
    LedgerRow,
    RevocationRow,
    TokenChange,
    TokenQuery,
    TokenRecord,
    TokensUsed,
)
from arsenal_fast.ledger.store import Lives, Store
from arsenal_fast.ledger.threads import Find, GroupReader, GroupWriter
from arsenal_fast.ledger.url import LedgerAddress, SqliteAddress, parse_url

TIMEOUT: Final = 1.0  # seconds until a callback gets None: a commit on a starved machine took over 0.25
CAPACITY: Final = 32 << 20  # bytes of rows that may wait, by default: 100,000 of usual length
MAX_LOOKUPS: Final = 10_000  # identities that may wait to be looked up: far more than can be within the time-out
GAP: Final = 0.005  # seconds: the longest wait between two commits, for rows that share the next one
START_SECONDS: Final = 2.0  # that ``start`` waits for the database: then the service starts without it
CLOSE_SECONDS: Final = 5.0  # that ``close`` waits for what is still to be written


class Ledger:
    """The Ledger port over SQLite or PostgreSQL.

    Raises ValueError with one sentence for a bad URL, ``none`` included. May be made before
    there is an event loop, and before a fork; ``start`` and everything after belong to one loop.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = TIMEOUT,
        capacity: int = CAPACITY,
        gap: float = GAP,
        max_rows: int = 0,
        opening: Callable[[str], Store] | None = None,
    ) -> None:
        """``capacity``: bytes of the rows that wait to be written. ``max_rows``: events that are kept, 0 for all.

        ``opening``: for tests: makes a store for ``write`` or ``read`` in place of the URL's.
        """
        address = parse_url(url)
        if address is None:
            raise ValueError("the ledger is turned off: DATABASE_URL is none.")
        self.counters = Counters()
        self.on_change: Callable[[], None] | None = None
        """Called when ``status`` or ``fault`` has changed."""
        self._address = address
        self._opening = opening or opener(address)
        self._timeout = timeout
        self._capacity = capacity
        self._gap = gap
        self._writing = GroupWriter(self.counters, max_rows)
        self._write: Bridge | None = None
        self._read: Bridge | None = None
        self._bridges: list[Bridge] = []
        """Both, once the ledger was started."""
        self._looked_up = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Ledger {self._address!r} {self.status}>"

    @property
    def status(self) -> str:
        """One word: healthy, degraded (it can be read or written, but not both), unavailable."""
        ready = [bridge.ready for bridge in self._bridges]
        if not any(ready):
            return "unavailable"
        return "healthy" if all(ready) else "degraded"

    @property
    def healthy(self) -> bool:
        return self.status == "healthy"

    @property
    def fault(self) -> str:
        """Why it is not healthy, in words that may be shown; empty while it is."""
        return next((bridge.fault for bridge in self._bridges if bridge.fault), "")

    async def start(self) -> None:
        """Start the threads; waits at most START_SECONDS for a first try. ConfigurationError for an unfit one."""
        shared: dict[str, Any] = {"timeout": self._timeout, "counters": self.counters, "changed": self._changed}
        opening = partial(self._opening, "write")
        self._write = WriteBridge("ledger-writer", opening, self._writing, self._gap, capacity=self._capacity, **shared)
        self._read = Bridge("ledger-reader", partial(self._opening, "read"), GroupReader(), **shared)
        self._bridges = [self._write, self._read]
        for bridge in self._bridges:
            bridge.thread.start()
        try:
            async with asyncio.timeout(START_SECONDS):
                for bridge in self._bridges:
                    await bridge.tried.wait()
        except TimeoutError:
            return
        if unfit := next((bridge.unfit for bridge in self._bridges if bridge.unfit), None):
            await self.close(0)
            raise ConfigurationError([f"DATABASE_URL: {unfit}"])

    async def close(self, patience: float = CLOSE_SECONDS) -> int:
        """Write the rows that wait, within ``patience`` seconds, and end; returns the number of rows not written."""
        self._closed = True
        for bridge in self._bridges:
            bridge.thread.close()
        try:
            async with asyncio.timeout(patience):
                for bridge in self._bridges:
                    await bridge.done.wait()
        except TimeoutError:
            for bridge in self._bridges:
                bridge.thread.abort()
        for bridge in self._bridges:
            bridge.end()
        return self.counters.waiting

    def record(self, rows: Sequence[LedgerRow], done: Callable[[Sequence[Life] | None], None]) -> None:
        """Write the lives; ``done`` gets, for each, the life that holds: its own, or an older one that stands."""
        self._submit(self._write, Lives(rows), len(rows), done)

    def revoke(self, entry: RevocationRow, done: Callable[[int | None], None]) -> None:
        """Write a revocation; ``done`` gets the ``issued_before`` in force, which may be a later one's."""
        self._submit(self._write, entry, 1, done)

    def find(self, ids: Sequence[str], done: Callable[[Sequence[LedgerRecord | None] | None], None]) -> None:
        """Look each identity up; ``done`` gets None in the place of an unknown one."""
        count = len(ids)

        def found(records: Sequence[LedgerRecord | None] | None) -> None:
            self._looked_up -= count
            done(records)

        if self._looked_up + count > MAX_LOOKUPS and self._looked_up:
            done(None)
        else:
            self._looked_up += count
            self.counters.lookups += count
            self._submit(self._read, Find(ids), count, found)

    def epochs(self, done: Callable[[dict[str, int] | None], None]) -> None:
        """Read all epochs: ``issued_before`` by prefix, that of EVERYTHING under the empty one."""
        self._submit(self._read, lambda store: store.epochs(), 1, done)

    def change_token(self, change: TokenChange, done: Callable[[int | None], None]) -> None:
        """Write a minted service token or an amendment, with its event."""
        self._submit(self._write, change, 1, done)

    def tokens(self, query: TokenQuery, done: Callable[[Sequence[TokenRecord] | None], None]) -> None:
        """Read minted service tokens, newest first."""
        self._submit(self._read, lambda store: store.tokens(query), 1, done)

    def amendments(self, done: Callable[[Mapping[str, Amendment] | None], None]) -> None:
        """Read the amendments of service tokens, by key."""
        self._submit(self._read, lambda store: store.amendments(), 1, done)

    def note_use(self, last_used_ms: Mapping[str, int]) -> None:
        """Write when service tokens were last used, by their ids."""
        self._submit(self._write, TokensUsed(last_used_ms), len(last_used_ms), lambda _: None)

    def audit(self, query: AuditQuery, done: Callable[[AuditPage | None], None]) -> None:
        """Read one page of events, newest first. The reading is recorded before ``done`` gets the page."""

        def read(page: AuditPage | None) -> None:
            if page is None:
                done(None)
            else:
                self._submit(self._write, query, 1, lambda _: done(page))

        self._submit(self._read, lambda store: store.audit(query), 1, read)

    def prune(self, before: int) -> None:
        """Delete older events in small steps between other work. ``before``: ms, not in the future."""
        self._writing.prune_before = before
        if self._write is not None:
            self._write.thread.nudge()

    def _submit(self, bridge: Bridge | None, work: Any, rows: int, done: Callable[[Any], None]) -> None:
        if bridge is None or self._closed:
            done(None)
        else:
            bridge.submit(work, rows, done)

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def opener(address: LedgerAddress) -> Callable[[str], Store]:
    """Return the function that opens a store of this address; ValueError where the driver is missing."""
    if isinstance(address, SqliteAddress):
        from arsenal_fast.ledger.sqlite import SqliteStore  # noqa: PLC0415 - only what is used is loaded

        return lambda purpose: SqliteStore(address.path, writer=purpose == "write")
    if find_spec("psycopg") is None:
        raise ValueError(
            "the database URL is one of PostgreSQL, but psycopg is missing: pip install 'psycopg[binary]'."
        )
    from arsenal_fast.ledger.postgres import PostgresStore  # noqa: PLC0415

    return lambda purpose: PostgresStore(address.url, reader=purpose == "read")
