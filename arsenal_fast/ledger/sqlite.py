"""The ledger in one SQLite file, written by several processes.

* WAL, so that readers and a backup never hold up the writer; ``BEGIN IMMEDIATE``, so that what was read
  within a transaction is still so when it commits: arbitration is plain Python between a read and a write.
* ``synchronous=FULL``: a commit is on the disk, not only with the kernel. ``kill -9`` would need no more than
  NORMAL, a power cut does; group commit pays for it once per group (figures:
  docs/decisions/0008-ledger-writer-thread.md).
* A group makes a few calls into SQLite, not one per row: each call releases the interpreter's lock, and a busy
  event loop delays getting it back. Hence statements with many rows of values, and results in one JSON text.
* A writer tries for the lock every POLL seconds, and not as SQLite does it: see ``_begin``.
* An index in the order of names is written in slices, behind the commits: see ``names``.
* The file is checked before each commit: rows never go into one that was replaced or unlinked.
"""

# ruff: noqa: S608 - the statements hold names of ours only; values are parameters

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.revocation import EVERYTHING
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger import names
from arsenal_fast.ledger.dialect import Read, for_sqlite
from arsenal_fast.ledger.errors import Busy, Refused, StoreError, Unavailable
from arsenal_fast.ledger.migrations import migrations_left
from arsenal_fast.ledger.model import AuditEvent, AuditPage, AuditQuery, LedgerRecord, settle
from arsenal_fast.ledger.names import Names
from arsenal_fast.ledger.store import (
    LIFE_COLUMNS,
    PRUNE_ROWS,
    Run,
    Store,
    audit_query,
    bounds_of,
    page_of,
    records_of,
)

BUSY_MS: Final = 50  # the wait for another process's lock; after it our thread tries again
POLL: Final = 0.0005  # seconds between two tries of a writer, see _begin
CHECKPOINT_PAGES: Final = 4_000  # 16 MB of WAL between two checkpoints: each copies a page once, however often written
WAL_LIMIT: Final = 64 << 20  # bytes that an emptied WAL may keep on the disk
AUDIT_SECONDS: Final = 0.5  # the time limit of an audit query: look-ups wait behind it
MODE: Final = 0o640  # of a new file: clients' addresses are in it

_LIVES: Final = (
    "SELECT json_group_array(json_array(id, generated, expires, floor)) FROM lives"
    " WHERE id IN (SELECT value FROM json_each(?))"
)
_KNOWN: Final = f"SELECT ({names.KNOWN_KEYS}), ({_LIVES})"
_COLUMNS: Final = tuple(column for column in LIFE_COLUMNS if column != "issued_before")
_INSERT_EVENTS: Final = f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES "
_EPOCH: Final = "SELECT max(issued_before) FROM epochs WHERE prefix IN (?, ?)"
_LIFE_EVENT: Final = (
    "SELECT 1 FROM events INDEXED BY events_at"
    " WHERE at = ? AND run = ? AND prefix = ? AND domain = ? AND version = ? AND generated = ?"
)
_KEEP_LIVES: Final = """
INSERT INTO lives (id, generated, expires, floor)
SELECT prefix || '-' || run || '@' || domain || '/' || version || ':id', generated, expires, 0 FROM events
WHERE seq IN ({going}) AND kind IN ('issued', 'renewed') AND expires >= ?
ON CONFLICT (id) DO UPDATE SET generated = excluded.generated, expires = excluded.expires
WHERE excluded.generated > lives.generated
"""
_WINDOW_OF_NAMES: Final = "SELECT max(key) FROM (SELECT key FROM names WHERE key > ? ORDER BY key LIMIT ?)"
_PRUNE_NAMES: Final = "DELETE FROM names WHERE key > ? AND key <= ? AND seq < (SELECT min(seq) FROM events)"
# The subquery ends at the page's last row, since its LIMIT keeps SQLite from merging it with the outer query.
_PAGE_OF_RUN: Final = f"""
SELECT {", ".join(f"events.{column}" for column in AuditEvent._fields)} FROM (
    SELECT at, seq FROM names WHERE key BETWEEN ? AND ? AND {{within}}
    UNION
    SELECT at, seq FROM events NOT INDEXED
    WHERE seq > (SELECT value FROM meta WHERE name = 'folded') AND run = ? AND {{within}}
    ORDER BY at DESC, seq DESC LIMIT -1
) AS entries CROSS JOIN events ON events.seq = entries.seq
WHERE {{named}} LIMIT ?
"""
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
                names.register(self.connection)
                self._names = Names(self.connection, folds=writer)
                self._writer = writer
                self._prepare()
                if writer:
                    self._fold_what_is_behind()
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

    def _fold_what_is_behind(self) -> None:
        """Fold what a release before wrote, which folds nothing, in short transactions."""
        while self._names.behind() > 2 * names.SLICE:
            with self.writing():
                self._names.fold_next()

    def ping(self) -> None:
        super().ping()
        if self._writer:
            self._fold_what_is_behind()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.connection.execute(for_sqlite(statement), values)
        return cursor

    def write_lives(self, run: Run) -> list[Life]:
        self._names.catch_up()
        ids, key_of = list(run.rows), self._names.key_of
        # As grammar.split, inlined, since this runs for every new identity.
        places = [(*local.partition("-")[::2], ending) for local, _, ending in [each.partition("@") for each in ids]]
        keys = [key_of(prefix, name, ending) for prefix, name, ending in places]
        known = self._known(ids, keys)
        epochs: dict[str, int] = {}
        answers: list[Life] = []
        events: list[int | str | None] = []
        written: list[tuple[str, Life, int]] = []
        for row, (prefix, name, ending), key in zip(run.rows.values(), places, keys, strict=True):
            kind, identity, life, environment, caller, request_id = row
            domain, _, version = ending.partition("/")
            version = version[:-3]
            generated, expires = life
            held = known.get(identity) if known else None
            if held is None:
                answers.append(life)
            else:
                if prefix not in epochs:
                    epochs[prefix] = self._epoch(prefix)
                settled = settle(held, epochs[prefix], life, run.late)
                answers.append(settled.life)
                if not settled.event:
                    continue
                if settled.record == held and self._is_written(Identity(prefix, name, domain, version), generated):
                    continue
            events += (kind, generated, prefix, name, domain, version, generated, expires)
            events += (environment, caller, request_id)
            written.append((identity, life, key))
        if written:
            last = names.insert_rows(self.connection, _INSERT_EVENTS, len(_COLUMNS), events)
            self._names.fold(len(written))
            self._names.append(last, written)
        return answers

    def _epoch(self, prefix: str) -> int:
        ((found,),) = self.read(_EPOCH, (EVERYTHING, prefix))
        return found or 0

    def _is_written(self, parts: Identity, generated: int) -> bool:
        """Whether the event of an older life is there already, since its write was repeated."""
        values = (generated, parts.run, parts.prefix, parts.domain, parts.version, generated)
        return bool(self.read(_LIFE_EVENT, values))

    def look_up(self, ids: Sequence[str]) -> dict[str, LedgerRecord]:
        self._names.catch_up()
        keys = [
            self._names.key_of(*local.partition("-")[::2], ending)
            for local, _, ending in [each.partition("@") for each in ids]
        ]
        return self._known(ids, keys)

    def _known(self, ids: Sequence[str], keys: Sequence[int]) -> dict[str, LedgerRecord]:
        """Return what is known of these identities, after ``catch_up``; most often nothing."""
        given = orjson.dumps(ids).decode()
        found_keys, lives = self.connection.execute(_KNOWN, (orjson.dumps(keys).decode(), given)).fetchone()
        known_keys = () if found_keys == "[]" else set(orjson.loads(found_keys))
        newest = self._names.newest_lives(ids, keys, known_keys)
        if known_keys:  # again: a life is put there in the transaction that deletes its event
            (lives,) = self.connection.execute(_LIVES, (given,)).fetchone()
        known = {} if lives == "[]" else records_of(orjson.loads(lives))
        for identity, life in newest.items():
            held = known.get(identity)
            if held is None:
                known[identity] = LedgerRecord(life, 0)
            elif held.life is None or held.life.generated < life.generated:
                known[identity] = held._replace(life=life)
        return known

    def before_events_go(self, going: str, values: Sequence[int], before: int) -> None:
        self.execute(_KEEP_LIVES.format(going=going), (*values, before))

    def prune_index(self) -> Iterator[int]:
        last: int | None = -1
        while last is not None:
            with self.writing():
                ((end,),) = self.read(_WINDOW_OF_NAMES, (last, PRUNE_ROWS))
                deleted = self.execute(_PRUNE_NAMES, (last, end)).rowcount
                last = end
            yield deleted

    def audit(self, query: AuditQuery) -> AuditPage:
        with self.reading(), self._time_limit(AUDIT_SECONDS):
            statement, values = self._page_of_run(query) if query.run is not None else audit_query(query, _index(query))
            ((text,),) = self.read(f"{_PAGE}({statement})", values)
        rows = orjson.loads(text)
        rows.sort(key=lambda row: (row[2], row[0]), reverse=True)  # the result of an aggregate has no order
        return page_of(rows, query.limit)

    def _page_of_run(self, query: AuditQuery) -> tuple[str, list[int | str]]:
        """Return the statement for one page of a run and one row more, and its values."""
        assert query.run is not None
        bounds, moments = bounds_of(query)
        within = " AND ".join(bounds) or "true"
        named, parts = (
            ("run = ?", [query.run]) if query.prefix is None else ("run = ? AND prefix = ?", [query.run, query.prefix])
        )
        self._names.catch_up()
        keys = self._names.keys_of_run(query.run, query.prefix)
        return _PAGE_OF_RUN.format(within=within, named=named), [
            *keys,
            *moments,
            query.run,
            *moments,
            *parts,
            query.limit + 1,
        ]

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
                self._names.forget()
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
    names.register(connection)
    return lambda statement, values=(): connection.execute(for_sqlite(statement), values).fetchall()


def _index(query: AuditQuery) -> str:
    # Without statistics SQLite would at times use the index of the prefix, and read the rows of all its other runs.
    column = "at" if query.prefix is None else "prefix"
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
        return Busy("The ledger is locked by another process.")
    if code == sqlite3.SQLITE_INTERRUPT:
        return Refused("The question would take too long.")
    if isinstance(error, _OF_THE_ROW):
        return Refused("The row holds a value that SQLite can't store.")
    return Unavailable(_SENTENCES.get(code, "SQLite can't use the file of the ledger."))
