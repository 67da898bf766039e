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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

import orjson

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.revocation import EVERYTHING
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger import migrations as schema
from arsenal_fast.ledger.errors import Busy, Refused, StoreError, Unavailable, Unfit
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
    settle,
)
from arsenal_fast.ledger.store import (
    AUDIT_COLUMNS,
    EVENT_COLUMNS,
    LIVES_RETENTION,
    PRUNE_ROWS,
    Answer,
    Event,
    Item,
    Lives,
    audit_query,
    event_of,
    page_of,
    revoked_id,
    token_query,
    token_statements,
)

BUSY_MS: Final = 50  # the wait for another process's lock; after it our thread tries again
POLL: Final = 0.0005  # seconds between two tries of a writer, see _begin
CHECKPOINT_PAGES: Final = 4_000  # 16 MB of WAL between two checkpoints: each copies a page once, however often written
WAL_LIMIT: Final = 64 << 20  # octets that an emptied WAL may keep on the disk
AUDIT_SECONDS: Final = 0.5  # the time limit of an audit query: look-ups wait behind it
MODE: Final = 0o640  # of a new file: clients' addresses are in it

# Rows of one statement: each size is prepared once, and any number is a sum of a few of them.
SIZES: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)

_NO_LIFE: Final = (0, 0)  # LedgerRecord without a life
_PLACE: Final = f"({', '.join('?' * len(EVENT_COLUMNS))})"
_INSERT_EVENTS: Final = f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES "
_REPLACE_LIVES: Final = "REPLACE INTO lives (id, generated, expires, floor) VALUES "
_SAME_EVENT: Final = " AND ".join(f"{column} IS ?" for column in EVENT_COLUMNS)
_EPOCH: Final = "SELECT max(issued_before) FROM epochs WHERE prefix IN ('', ?)"
_SET_EPOCH: Final = (
    "INSERT INTO epochs VALUES (?, ?) ON CONFLICT (prefix)"
    " DO UPDATE SET issued_before = max(issued_before, excluded.issued_before) RETURNING issued_before"
)
_LIFE_EVENT: Final = (
    "SELECT 1 FROM events INDEXED BY events_run"
    " WHERE run = ? AND prefix = ? AND at = ? AND domain = ? AND version = ? AND generated = ?"
)
_TOKEN_EVENT, _TOKEN, _AMENDMENT, _USE = token_statements("", "?")
_PRUNED: Final = "UPDATE meta SET value = max(value, ?) WHERE name = 'pruned_before'"
_NUMBERS: Final = "SELECT (SELECT max(seq) FROM events), (SELECT min(seq) FROM events)"  # two looks into one index
_OLDEST: Final = (
    "SELECT max(seq), max(at), count(*) FROM (SELECT seq, at FROM events WHERE seq <= ? ORDER BY seq LIMIT ?)"
)


class SqliteStore:
    """The ``Store`` over one SQLite connection; belongs to the thread that made it."""

    def __init__(self, path: str, *, durable: bool = True, writer: bool = False) -> None:
        """Open the file, make it if need be, and bring its schema up to date.

        ``durable``: see above. ``writer``: it takes turns with the writers of other processes, commit after commit.
        """
        self._path = path
        with _translated():
            make_file(path)
            self._file = _identity_of(path)
            self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
            try:
                self._prepare(durable)
                if writer:
                    self._connection.execute("PRAGMA busy_timeout = 0")
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, durable: bool) -> None:
        execute = self._connection.execute
        execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        left_to_migrate(self._connection)  # before anything is changed in a file that isn't ours
        if execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise Unavailable("The file system of the ledger can't hold SQLite's write-ahead log.")
        execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        migrate(self._connection)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection itself, for maintenance commands."""
        return self._connection

    def ping(self) -> None:
        with _translated():
            self._same_file()
            self._connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    def write(self, items: Sequence[Item]) -> list[Answer]:
        with _translated():
            self._same_file()
            with self._transaction():
                return _Group(self._connection, self._known).write(items)

    def find(self, ids: Sequence[str]) -> list[LedgerRecord | None]:
        with _translated():
            self._same_file()
            known = self._known(ids)
        return [known.get(each) for each in ids]

    def epochs(self) -> dict[str, int]:
        with _translated():
            return dict(self._connection.execute("SELECT prefix, issued_before FROM epochs").fetchall())

    def tokens(self, query: TokenQuery) -> list[TokenRecord]:
        statement, values = token_query(query, "", "?")
        with _translated(), self._time_limit(AUDIT_SECONDS):
            self._same_file()
            return [TokenRecord._make(row) for row in self._connection.execute(statement, values).fetchall()]

    def amendments(self) -> dict[str, Amendment]:
        with _translated():
            self._same_file()
            rows = self._connection.execute("SELECT key, moment, rate_limit, ends FROM amendments").fetchall()
        return {key: Amendment(*values) for key, *values in rows}

    def audit(self, query: AuditQuery) -> AuditPage:
        statement, values = audit_query(query, _indexed(query), "?")
        columns = f"seq, {', '.join(AUDIT_COLUMNS)}"
        folded = f"SELECT json_group_array(json_array({columns})) FROM ({statement})"
        with _translated(), self._time_limit(AUDIT_SECONDS):
            self._same_file()
            (text,) = self._connection.execute(folded, values).fetchone()
        rows = orjson.loads(text)
        rows.sort(key=lambda row: (row[2], row[0]), reverse=True)  # the result of an aggregate has no order
        return page_of(rows, query.limit)

    def pruning(self, before: int) -> Iterator[int]:
        oldest = "SELECT seq FROM events WHERE at < ? ORDER BY at LIMIT ?"
        deleted = -1
        while deleted:
            with self._writing() as execute:
                execute(_PRUNED, (before,))
                delete = f"DELETE FROM events WHERE seq IN ({oldest})"
                deleted = execute(delete, (before, PRUNE_ROWS)).rowcount
            yield deleted
        with self._writing() as execute:
            (oldest_at,) = execute("SELECT min(at) FROM events").fetchone()
            before = max(before, oldest_at or 0)
            execute(_PRUNED, (before,))
        last: str | None = ""
        while last is not None:
            with self._writing() as execute:
                window = "SELECT max(id) FROM (SELECT id FROM lives WHERE id > ? ORDER BY id LIMIT ?)"
                (end,) = execute(window, (last, PRUNE_ROWS)).fetchone()
                delete = "DELETE FROM lives WHERE id > ? AND id <= ? AND expires < ? AND floor < ?"
                deleted = execute(delete, (last, end, before, before - LIVES_RETENTION)).rowcount
                last = end
            yield deleted
        with self._writing() as execute:
            deleted = execute("DELETE FROM epochs WHERE issued_before < ?", (before - LIVES_RETENTION,)).rowcount
            deleted += execute("DELETE FROM amendments WHERE ends < ?", (before,)).rowcount
            deleted += execute("DELETE FROM tokens WHERE expires < ?", (before,)).rowcount
        yield deleted

    def trim(self, keep: int, now: int) -> tuple[int, int]:
        with _translated():
            self._same_file()
            last, first = self._connection.execute(_NUMBERS).fetchone()
        if last is None or last - first < keep:
            return 0, 0
        with self._writing() as execute:
            end, newest, count = execute(_OLDEST, (last - keep, PRUNE_ROWS)).fetchone()
            if count:
                execute(_PRUNED, (min(newest + 1, now),))
                execute("DELETE FROM events WHERE seq <= ?", (end,))
        return count, newest or 0

    def _known(self, ids: Sequence[str]) -> dict[str, LedgerRecord]:
        known = {}
        largest = SIZES[0]
        for start in range(0, len(ids), largest):
            chunk = list(ids[start : start + largest])
            size = min(size for size in SIZES if size >= len(chunk))
            chunk += chunk[-1:] * (size - len(chunk))
            (text,) = self._connection.execute(_select_lives(size), chunk).fetchone()
            if text != "[]":
                for identity, generated, expires, floor in orjson.loads(text):
                    known[identity] = LedgerRecord(Life(generated, expires) if generated else None, floor)
        return known

    def _same_file(self) -> None:
        if _identity_of(self._path) != self._file:
            raise Unavailable("The file of the ledger was replaced.")

    @contextmanager
    def _writing(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        with _translated():
            self._same_file()
            with self._transaction():
                yield self._connection.execute

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        connection = self._connection
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
                self._connection.execute("BEGIN IMMEDIATE")
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
        self._connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None, 0)


class _Group:
    """One transaction: settles the rows in order, in memory, and writes the result at its end."""

    def __init__(
        self, connection: sqlite3.Connection, known: Callable[[Sequence[str]], dict[str, LedgerRecord]]
    ) -> None:
        self._execute = connection.execute
        self._find = known
        self._known: dict[str, LedgerRecord] = {}
        self._changed: dict[str, LedgerRecord] = {}
        self._epochs: dict[str, int] = {}
        self._events: list[int | str | None] = []

    def write(self, items: Sequence[Item]) -> list[Answer]:
        self._known = self._find(_ids(items))
        answers: list[Answer] = [self._lives(item) if isinstance(item, Lives) else self._other(item) for item in items]
        _insert(self._execute, _INSERT_EVENTS, _PLACE, len(EVENT_COLUMNS), self._events)
        lives: list[int | str | None] = []
        for identity, (life, floor) in self._changed.items():
            lives += (identity, *(life or _NO_LIFE), floor)
        _insert(self._execute, _REPLACE_LIVES, "(?, ?, ?, ?)", 4, lives)
        return answers

    def _lives(self, item: Lives) -> list[Life]:
        known, changed, events = self._known, self._changed, self._events
        answers = []
        for row in item.rows:
            kind, identity, life, environment, caller, request_id = row
            prefix, run, domain, version = split(identity)
            generated, expires = life
            held = changed.get(identity) or known.get(identity)
            if held is None:
                changed[identity] = LedgerRecord(life, 0)
            else:
                settled = settle(held, self._epoch(prefix), life, item.late)
                answers.append(settled.life)
                if not settled.event:
                    continue
                if settled.record != held:
                    changed[identity] = settled.record
                elif self._is_written(row):
                    continue
            if held is None:
                answers.append(life)
            events += (kind, generated, prefix, run, domain, version, generated, expires, None)
            events += (environment, caller, request_id)
        return answers

    def _other(self, item: Item) -> int:
        assert not isinstance(item, Lives)
        if isinstance(item, TokenChange | TokensUsed):
            self._tokens(item)
            return 0
        event = event_of(item)
        if not self._is_same_written(event):
            self._events += event
        if not isinstance(item, RevocationRow):
            return 0
        if item.kind == "revoked":
            return self._raise_floor(revoked_id(item), item.issued_before - 1) + 1
        key = EVERYTHING if item.kind == "revoked_all" else item.prefix
        self._epochs.clear()
        (issued_before,) = self._execute(_SET_EPOCH, (key, item.issued_before)).fetchone()
        return int(issued_before)

    def _tokens(self, item: TokenChange | TokensUsed) -> None:
        if isinstance(item, TokensUsed):
            for token_id, moment in item.last_used_ms.items():
                self._execute(_USE, (moment, token_id, moment))
            return
        if not self._is_token_written(item):
            self._execute(_TOKEN_EVENT, item[:7])
        if item.record is not None:
            self._execute(_TOKEN, item.record)
        if item.amendment is not None:
            self._execute(_AMENDMENT, (item.key, *item.amendment))

    def _is_token_written(self, item: TokenChange) -> bool:
        same = (
            "SELECT 1 FROM events INDEXED BY events_at WHERE at = ? AND kind = ? AND token IS ? AND subject IS ?"
            " AND rate_limit IS ?"
        )
        values = (item.at, item.kind, item.token_id, item.subject, item.rate_limit)
        return self._execute(same, values).fetchone() is not None

    def _raise_floor(self, identity: str, floor: int) -> int:
        held = self._changed.get(identity) or self._known.get(identity) or LedgerRecord(None, 0)
        self._changed[identity] = LedgerRecord(held.life, max(held.floor, floor))
        return self._changed[identity].floor

    def _epoch(self, prefix: str) -> int:
        epoch = self._epochs.get(prefix)
        if epoch is None:
            (found,) = self._execute(_EPOCH, (prefix,)).fetchone()
            epoch = self._epochs[prefix] = found or 0
        return epoch

    def _is_written(self, row: LedgerRow) -> bool:
        """Whether the event of an older life is there already, since its write was repeated."""
        prefix, run, domain, version = split(row.id)
        generated = row.life.generated
        values = (run, prefix, generated, domain, version, generated)
        return self._execute(_LIFE_EVENT, values).fetchone() is not None

    def _is_same_written(self, event: Event) -> bool:
        # The plain "at = ?" is for the index.
        same = f"SELECT 1 FROM events INDEXED BY events_at WHERE at = ? AND {_SAME_EVENT}"
        return self._execute(same, (event[1], *event)).fetchone() is not None


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, once for all processes; Unfit where that is not possible."""
    if not left_to_migrate(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number, statements in left_to_migrate(connection):
            for statement in statements.split(";"):
                connection.execute(statement)
            connection.execute("UPDATE meta SET value = ? WHERE name = 'version'", (number,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def left_to_migrate(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """Return the migrations that are left; Unfit for a file that is no ledger, or one of a newer program."""
    return schema.steps(schema.SQLITE, _version(connection))


def _version(connection: sqlite3.Connection) -> int:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not names:
        return 0
    if not names >= {"meta", "lives", "events", "epochs"}:
        raise Unfit("The database is not a ledger: it holds other tables.")
    row = connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    if row is None:
        raise Unfit("The database is not a ledger: it tells no schema version.")
    return int(row[0])


def _ids(items: Sequence[Item]) -> list[str]:
    ids: list[str] = []
    for item in items:
        if isinstance(item, Lives):
            ids += [row[1] for row in item.rows]
        elif isinstance(item, RevocationRow) and item.kind == "revoked":
            ids.append(revoked_id(item))
    return ids


def _insert(
    execute: Callable[..., object], start: str, place: str, width: int, values: Sequence[int | str | None]
) -> None:
    """Insert all rows (``width`` values each, flattened) in as few statements as SIZES allows."""
    done, rows = 0, len(values) // width
    for size in SIZES:
        while rows - done >= size:
            execute(_rows_of(start, place, size), values[done * width : (done + size) * width])
            done += size


@cache
def _rows_of(start: str, place: str, size: int) -> str:
    return start + ", ".join([place] * size)


@cache
def _select_lives(size: int) -> str:
    fold = "json_group_array(json_array(id, generated, expires, floor))"
    return f"SELECT {fold} FROM lives WHERE id IN ({', '.join('?' * size)})"


def _indexed(query: AuditQuery) -> str:
    # Without statistics SQLite would at times use the index of the prefix, and read the rows of all its other runs.
    column = "run" if query.run is not None else "prefix" if query.prefix is not None else "at"
    return f"events INDEXED BY events_{column}"


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
    except (UnicodeEncodeError, OverflowError) as error:
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
