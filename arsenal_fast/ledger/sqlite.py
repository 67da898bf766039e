"""The ledger in one SQLite file, written by several processes.

* WAL, so that readers and a backup never hold up the writer; ``BEGIN IMMEDIATE``, so that what was read
  within a transaction is still so when it commits: arbitration is plain Python between a read and a write.
* ``synchronous=FULL``: a commit is on the disk, not only with the kernel. ``kill -9`` would need no more than
  NORMAL, a power cut does; group commit pays for it once per group (figures:
  docs/decisions/0008-ledger-writer-thread.md).
* A group makes a few calls into SQLite, not one per row: each call releases the interpreter's lock, and a busy
  event loop delays getting it back. Hence statements with many rows of values, and results in one JSON text.
* A writer tries for the lock every POLL seconds, and not as SQLite does it: see ``_begin``.
* The file is checked before each commit: rows never go into one that was replaced or unlinked.
"""

# ruff: noqa: S608 - the statements hold names of ours only; values are parameters

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from arsenal_fast.identity.grammar import Identity, split
from arsenal_fast.identity.revocation import EVERYTHING
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.dialect import Read, for_sqlite
from arsenal_fast.ledger.errors import Busy, Refused, StoreError, Unavailable
from arsenal_fast.ledger.migrations import migrations_left
from arsenal_fast.ledger.model import AuditEvent, AuditPage, AuditQuery, LedgerRecord, settle
from arsenal_fast.ledger.store import EVENT_COLUMNS, Run, Store, audit_query, page_of, records_of

BUSY_MS: Final = 50  # the wait for another process's lock; after it our thread tries again
POLL: Final = 0.0005  # seconds between two tries of a writer, see _begin
CHECKPOINT_PAGES: Final = 4_000  # 16 MB of WAL between two checkpoints: each copies a page once, however often written
WAL_LIMIT: Final = 64 << 20  # octets that an emptied WAL may keep on the disk
AUDIT_SECONDS: Final = 0.5  # the time limit of an audit query: look-ups wait behind it
MODE: Final = 0o640  # of a new file: clients' addresses are in it

# Rows of one statement: each size is prepared once, and any number is a sum of a few of them.
SIZES: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)

_LIVES: Final = (
    "SELECT json_group_array(json_array(id, generated, expires, floor)) FROM lives"
    " WHERE id IN (SELECT value FROM json_each(?))"
)
_INSERT_EVENTS: Final = f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES "
_REPLACE_LIVES: Final = "REPLACE INTO lives (id, generated, expires, floor) VALUES "
_EPOCH: Final = "SELECT max(issued_before) FROM epochs WHERE prefix IN (?, ?)"
_LIFE_EVENT: Final = (
    "SELECT 1 FROM events INDEXED BY events_run"
    " WHERE run = ? AND prefix = ? AND at = ? AND domain = ? AND version = ? AND generated = ?"
)
_PAGE: Final = f"SELECT json_group_array(json_array({', '.join(AuditEvent._fields)})) FROM "


class SqliteStore(Store):
    """The ``Store`` over one SQLite connection; belongs to the thread that made it."""

    def __init__(self, path: str, *, writer: bool = False) -> None:
        """Open the file, make it if need be, and bring its schema up to date.

        ``writer``: it takes turns with the writers of other processes, commit after commit.
        """
        self._path = path
        with _translated():
            make_file(path)
            self._file = _identity_of(path)
            super().__init__(sqlite3.connect(path, isolation_level=None, cached_statements=256))
            try:
                self._prepare()
                if writer:
                    self.execute("PRAGMA busy_timeout = 0")
            except BaseException:
                self.connection.close()
                raise

    def _prepare(self) -> None:
        self.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        migrations_left(self.read)  # before anything is changed in a file that isn't ours
        if self.read("PRAGMA journal_mode = WAL") != [("wal",)]:
            raise Unavailable("The file system of the ledger can't hold SQLite's write-ahead log.")
        self.execute("PRAGMA synchronous = FULL")
        self.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        self.migrate()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.connection.execute(for_sqlite(statement), values)
        return cursor

    def write_lives(self, run: Run) -> list[Life]:
        known = self.look_up(list(run.rows))
        epochs: dict[str, int] = {}
        answers: list[Life] = []
        events: list[int | str | None] = []
        lives: list[int | str] = []
        for kind, identity, life, environment, caller, request_id in run.rows.values():
            parts = split(identity)
            held = known.get(identity)
            if held is None:
                answers.append(life)
                lives += (identity, *life, 0)
            else:
                if parts.prefix not in epochs:
                    epochs[parts.prefix] = self._epoch(parts.prefix)
                settled = settle(held, epochs[parts.prefix], life, run.late)
                answers.append(settled.life)
                if not settled.event:
                    continue
                if settled.record != held:
                    lives += (identity, *(settled.record.life or life), held.floor)
                elif self._is_written(parts, life.generated):
                    continue
            events += (kind, life.generated, *parts, *life, None, environment, caller, request_id)
        self._insert(_INSERT_EVENTS, len(EVENT_COLUMNS), events)
        self._insert(_REPLACE_LIVES, 4, lives)
        return answers

    def _epoch(self, prefix: str) -> int:
        ((found,),) = self.read(_EPOCH, (EVERYTHING, prefix))
        return found or 0

    def _is_written(self, parts: Identity, generated: int) -> bool:
        """Whether the event of an older life is there already, since its write was repeated."""
        values = (parts.run, parts.prefix, generated, parts.domain, parts.version, generated)
        return bool(self.read(_LIFE_EVENT, values))

    def _insert(self, start: str, width: int, values: Sequence[int | str | None]) -> None:
        """Insert all rows (``width`` values each, flattened) in as few statements as SIZES allows."""
        done, rows = 0, len(values) // width
        for size in SIZES:
            while rows - done >= size:
                self.connection.execute(_rows_of(start, width, size), values[done * width : (done + size) * width])
                done += size

    def look_up(self, ids: Sequence[str]) -> dict[str, LedgerRecord]:
        ((text,),) = self.connection.execute(_LIVES, (orjson.dumps(ids).decode(),))
        return {} if text == "[]" else records_of(orjson.loads(text))  # most often nothing is known

    def audit(self, query: AuditQuery) -> AuditPage:
        statement, values = audit_query(query, _index(query))
        with self.reading(), self._time_limit(AUDIT_SECONDS):
            ((text,),) = self.read(f"{_PAGE}({statement})", values)
        rows = orjson.loads(text)
        rows.sort(key=lambda row: (row[2], row[0]), reverse=True)  # the result of an aggregate has no order
        return page_of(rows, query.limit)

    @contextmanager
    def reading(self) -> Iterator[None]:
        with _translated():
            if _identity_of(self._path) != self._file:
                raise Unavailable("The file of the ledger was replaced.")
            yield

    @contextmanager
    def writing(self, alone: bool = False) -> Iterator[None]:
        connection = self.connection
        with self.reading():
            self._begin()
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # after a full disk it has ended already
                    connection.execute("ROLLBACK")
                raise

    def _begin(self) -> None:
        """Take the file's lock for writing; raises within BUSY_MS where another process keeps it.

        SQLite's own wait tries ever more rarely, in the end every 50 ms. Against another process whose commits follow
        each other with hardly a gap this one would starve for as long as both are busy.
        """
        deadline = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not isinstance(_fault(error), Busy) or time.monotonic() > deadline:
                    raise
                time.sleep(POLL)
            else:
                return

    @contextmanager
    def _time_limit(self, seconds: float) -> Iterator[None]:
        deadline = time.monotonic() + seconds
        # Every 100,000 steps of SQLite's machine, some ms; True ends the statement.
        self.connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
        try:
            yield
        finally:
            self.connection.set_progress_handler(None, 0)


def reader(connection: sqlite3.Connection) -> Read:
    """Return the function that reads by statements written for both databases, over a connection without a store."""
    return lambda statement, values=(): connection.execute(for_sqlite(statement), values).fetchall()


@cache
def _rows_of(start: str, width: int, size: int) -> str:
    place = f"({', '.join('?' * width)})"
    return start + ", ".join([place] * size)


def _index(query: AuditQuery) -> str:
    # Without statistics SQLite would at times use the index of the prefix, and read the rows of all its other runs.
    column = "run" if query.run is not None else "prefix" if query.prefix is not None else "at"
    return f" INDEXED BY events_{column}"


def make_file(path: str) -> None:
    """Make the file and its directory where they are missing; a new file has MODE."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE))


def _identity_of(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "The disk of the ledger is full.",
    sqlite3.SQLITE_READONLY: "The ledger can only be read.",
    sqlite3.SQLITE_PERM: "The ledger can only be read.",
    sqlite3.SQLITE_IOERR: "The disk of the ledger can't be read or written.",
    sqlite3.SQLITE_CANTOPEN: "The file of the ledger can't be opened.",
    sqlite3.SQLITE_CORRUPT: "The file of the ledger is damaged.",
    sqlite3.SQLITE_NOTADB: "The file of the ledger is no SQLite database.",
    sqlite3.SQLITE_NOMEM: "There is no memory left for the ledger.",
}
_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA}
_OF_THE_ROW: Final = (sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.IntegrityError)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of SQLite and the file system as StoreError."""
    try:
        yield
    except (orjson.JSONEncodeError, UnicodeEncodeError, OverflowError) as error:
        raise Refused("The row holds a value that SQLite can't store.") from error
    except sqlite3.Error as error:
        raise _fault(error) from error
    except OSError as error:
        raise Unavailable(f"The file of the ledger can't be opened: {error.strerror}.") from error


def _fault(error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the extension
    if code in _BUSY:
        return Busy("The ledger is locked by somebody else.")
    if code == sqlite3.SQLITE_INTERRUPT:
        return Refused("The question would take too long.")
    if isinstance(error, _OF_THE_ROW):
        return Refused("The row holds a value that SQLite can't store.")
    return Unavailable(_SENTENCES.get(code, "SQLite can't use the file of the ledger."))
