"""The ledger in PostgreSQL (12 or newer), written by the workers of all replicas. Needs psycopg 3.

* A run of lives is one statement, so a group of them is one round trip and its own transaction. Whether a held
  life stands is decided by the row's own lock: ``ON CONFLICT ... DO UPDATE ... WHERE`` says the rule of
  ``model.settle`` in SQL, and one conformance suite tests both.
* The rows travel as one JSON text, which both sides handle faster than arrays of values.
* Identities are locked in their order, so that two replicas rarely meet in a deadlock; if they do, it is Busy.
* The session sets what durability and time limits we need. It must be a session: with PgBouncer in its
  transaction mode prepared statements and settings would be lost.
"""

# ruff: noqa: S608 - the statements hold names of ours only; values are parameters

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import orjson
import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.revocation import EVERYTHING
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger import migrations as schema
from arsenal_fast.ledger import postgres_errors
from arsenal_fast.ledger.errors import Busy, Refused, Unfit
from arsenal_fast.ledger.model import AuditPage, AuditQuery, LedgerRecord, LedgerRow, RevocationRow, stands
from arsenal_fast.ledger.store import (
    EVENT_COLUMNS,
    LIVES_RETENTION,
    PRUNE_ROWS,
    Answer,
    AuditRead,
    Item,
    Lives,
    audit_query,
    event_of,
    page_of,
    revoked_id,
)

_UNKNOWN: Final = LedgerRecord(None, 0)
_LOCK: Final = 0x41F_1ED6E4  # of the migrations, among PostgreSQL's advisory locks: any number of our own

CONNECT_SECONDS: Final = 2  # the least that libpq takes
ROUNDS: Final = 3  # of tries for a life that another session changed between two statements

Connection = psycopg.Connection[tuple[Any, ...]]

_SESSION: Final = b"""
SET synchronous_commit = on; SET statement_timeout = '5s'; SET lock_timeout = '1s';
SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = warning; SET jit = off
"""
_READ_LIMIT: Final = b"SET statement_timeout = '500ms'"  # look-ups wait behind a slower query

_S: Final = schema.POSTGRES_SCHEMA
_COLUMNS: Final = ", ".join(EVENT_COLUMNS)

# Nothing may be NULL in a comparison here: an epoch that is not there is 0, as is the floor of the never revoked.
_STANDS: Final = f"""
lives.expires > excluded.generated
AND 4 * (lives.expires - excluded.generated) >= lives.expires - lives.generated
AND lives.generated > lives.floor
AND lives.generated >= coalesce((
    SELECT max(issued_before) FROM {_S}.epochs WHERE prefix = '' OR prefix = split_part(lives.id, '-', 1)), 0)
"""


def _lives_statement(late: bool) -> bytes:
    kept = "false" if late else _STANDS
    # The event of a life older than the known one may be there already, since its write was repeated.
    unknown = f"""NOT EXISTS (
        SELECT 1 FROM {_S}.events e
        WHERE e.run = i.run AND e.prefix = i.prefix AND e.at = i.generated
        AND e.domain = i.domain AND e.version = i.version AND e.generated = i.generated)"""
    return f"""
WITH i AS (
    SELECT n, e->>0 AS kind, e->>1 AS id, e->>2 AS prefix, e->>3 AS run, e->>4 AS domain, e->>5 AS version,
        (e->>6)::bigint AS generated, (e->>7)::bigint AS expires,
        e->>8 AS environment, e->>9 AS caller, e->>10 AS request_id
    FROM json_array_elements(%s::json) WITH ORDINALITY AS rows (e, n)
), stored AS (
    INSERT INTO {_S}.lives AS lives (id, generated, expires, floor)
    SELECT id, generated, expires, 0 FROM i ORDER BY id COLLATE "C"
    ON CONFLICT (id) DO UPDATE SET
        generated = greatest(lives.generated, excluded.generated),
        expires = CASE WHEN excluded.generated > lives.generated THEN excluded.expires ELSE lives.expires END
    WHERE lives.generated <> excluded.generated AND NOT ({kept})
    RETURNING lives.id, lives.generated
), logged AS (
    INSERT INTO {_S}.events ({_COLUMNS})
    SELECT kind, i.generated, prefix, run, domain, version, i.generated, expires, NULL, environment, caller, request_id
    FROM i JOIN stored USING (id)
    WHERE stored.generated = i.generated OR {unknown}
    ORDER BY n
)
SELECT i.id FROM i LEFT JOIN stored USING (id) WHERE stored.id IS NULL
""".encode()


_LIVES: Final = {late: _lives_statement(late) for late in (False, True)}

_EVENT: Final = f"""
INSERT INTO {_S}.events ({_COLUMNS})
SELECT * FROM (VALUES (%s::text, %s::bigint, %s::text, %s::text, %s::text, %s::text, %s::bigint, %s::bigint,
    %s::bigint, %s::text, %s::text, %s::text)) AS new ({_COLUMNS})
WHERE NOT EXISTS (
    SELECT 1 FROM {_S}.events old WHERE old.at = new.at
    AND {" AND ".join(f"old.{column} IS NOT DISTINCT FROM new.{column}" for column in EVENT_COLUMNS)})
""".encode()
_RAISE_FLOOR: Final = f"""
INSERT INTO {_S}.lives AS lives (id, generated, expires, floor) VALUES (%s, 0, 0, %s)
ON CONFLICT (id) DO UPDATE SET floor = greatest(lives.floor, excluded.floor) RETURNING floor + 1
""".encode()
_RAISE_EPOCH: Final = f"""
INSERT INTO {_S}.epochs AS epochs (prefix, issued_before) VALUES (%s, %s)
ON CONFLICT (prefix) DO UPDATE SET issued_before = greatest(epochs.issued_before, excluded.issued_before)
RETURNING issued_before
""".encode()
_FIND: Final = f"SELECT id, generated, expires, floor FROM {_S}.lives WHERE id = ANY(%s)".encode()
_EPOCHS: Final = f"SELECT prefix, issued_before FROM {_S}.epochs".encode()

_PRUNED: Final = f"UPDATE {_S}.meta SET value = greatest(value, %s) WHERE name = 'pruned_before'".encode()
_PRUNE_EVENTS: Final = f"""
DELETE FROM {_S}.events WHERE seq IN (SELECT seq FROM {_S}.events WHERE at < %s ORDER BY at LIMIT %s)
""".encode()
_OLDEST: Final = f"SELECT min(at) FROM {_S}.events".encode()
# Several workers trim at the same time: each takes rows that no other one has taken.
_TRIM: Final = f"""
WITH gone AS (
    DELETE FROM {_S}.events WHERE seq = ANY (ARRAY(
        SELECT seq FROM {_S}.events WHERE seq <= (SELECT max(seq) FROM {_S}.events) - %s
        ORDER BY seq LIMIT %s FOR UPDATE SKIP LOCKED))
    RETURNING at
), noted AS (
    UPDATE {_S}.meta SET value = greatest(value, least((SELECT max(at) + 1 FROM gone), %s))
    WHERE name = 'pruned_before' AND EXISTS (SELECT FROM gone)
)
SELECT count(*), coalesce(max(at), 0) FROM gone
""".encode()
_WINDOW: Final = f"""
SELECT max(id) FROM (SELECT id FROM {_S}.lives WHERE id > %s ORDER BY id LIMIT %s) AS following
""".encode()
_PRUNE_LIVES: Final = f"""
DELETE FROM {_S}.lives WHERE id > %s AND id <= %s AND expires < %s AND floor < %s
""".encode()
_PRUNE_EPOCHS: Final = f"DELETE FROM {_S}.epochs WHERE issued_before < %s".encode()


class PostgresStore:
    """The ``Store`` over one PostgreSQL connection; belongs to the thread that made it."""

    def __init__(self, url: str, *, reader: bool = False) -> None:
        """Connect and bring the schema up to date. ``reader``: queries get a short time limit."""
        with translated():
            self._connection: Connection = connect(url)
            try:
                self._connection.execute(_SESSION)
                migrate(self._connection)
                if reader:
                    self._connection.execute(_READ_LIMIT)
            except BaseException:
                self._connection.close()
                raise

    @property
    def connection(self) -> Connection:
        """The connection itself, for maintenance commands."""
        return self._connection

    def ping(self) -> None:
        with translated():
            self._connection.execute(b"SELECT 1")

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.close()

    def write(self, items: Sequence[Item]) -> list[Answer]:
        runs = list(_runs(items))
        with translated():
            if len(runs) == 1:
                settled = self._run(runs[0])
            else:
                with self._connection.transaction():
                    settled = [answer for run in runs for answer in self._run(run)]
        return _gathered(items, settled)

    def find(self, ids: Sequence[str]) -> list[LedgerRecord | None]:
        with translated():
            known = self._known(ids)
        return [known.get(each) for each in ids]

    def epochs(self) -> dict[str, int]:
        with translated():
            return self._epochs()

    def audit(self, query: AuditQuery) -> AuditPage:
        statement, values = audit_query(query, f"{_S}.events", "%s")
        with translated():
            try:
                rows = self._connection.execute(statement.encode(), values).fetchall()
            except errors.QueryCanceled:
                raise Refused("The question would take too long.") from None
        return page_of(rows, query.limit)

    def pruning(self, before: int) -> Iterator[int]:
        deleted = -1
        while deleted:
            with translated(), self._connection.transaction():
                self._connection.execute(_PRUNED, (before,))
                deleted = self._connection.execute(_PRUNE_EVENTS, (before, PRUNE_ROWS)).rowcount
            yield deleted
        with translated(), self._connection.transaction():
            row = self._connection.execute(_OLDEST).fetchone()
            before = max(before, (row and row[0]) or 0)
            self._connection.execute(_PRUNED, (before,))
        last: str | None = ""
        while last is not None:
            with translated(), self._connection.transaction():
                window = self._connection.execute(_WINDOW, (last, PRUNE_ROWS)).fetchone()
                end = window[0] if window else None
                values = (last, end, before, before - LIVES_RETENTION)
                deleted = self._connection.execute(_PRUNE_LIVES, values).rowcount
                last = end
            yield deleted
        with translated():
            deleted = self._connection.execute(_PRUNE_EPOCHS, (before - LIVES_RETENTION,)).rowcount
        yield deleted

    def trim(self, keep: int, now: int) -> tuple[int, int]:
        with translated():
            row = self._connection.execute(_TRIM, (keep, PRUNE_ROWS, now)).fetchone()
        assert row is not None
        return row[0], row[1]

    def _run(self, run: "_Run | RevocationRow | AuditRead") -> list[Any]:
        execute = self._connection.execute
        if isinstance(run, _Run):
            return self._lives(run)
        execute(_EVENT, event_of(run))
        if isinstance(run, AuditRead):
            return [0]
        if run.kind == "revoked":
            row = execute(_RAISE_FLOOR, (revoked_id(run), run.issued_before - 1)).fetchone()
        else:
            key = EVERYTHING if run.kind == "revoked_all" else run.prefix
            row = execute(_RAISE_EPOCH, (key, run.issued_before)).fetchone()
        assert row is not None
        return [row[0]]

    def _lives(self, run: "_Run") -> list[Life]:
        answers = {identity: row.life for identity, row in run.rows.items()}
        undecided = run.rows
        for _ in range(ROUNDS):
            rows = _json(undecided.values())
            kept = {identity for (identity,) in self._connection.execute(_LIVES[run.late], (rows,)).fetchall()}
            if kept:
                standing = self._standing([undecided[identity] for identity in kept])
                answers.update(standing)
                kept -= standing.keys()
            if not kept:
                return list(answers.values())
            undecided = {identity: undecided[identity] for identity in kept}
        raise Busy("An identity was changed by others again and again.")

    def _standing(self, rows: Sequence[LedgerRow]) -> dict[str, Life]:
        """Return the held life of each row's identity, unless it has changed meanwhile and no longer stands."""
        known, epochs = self._known([row.id for row in rows]), self._epochs()
        standing = {}
        for row in rows:
            held = known.get(row.id, _UNKNOWN)
            epoch = max(epochs.get(EVERYTHING, 0), epochs.get(split(row.id).prefix, 0))
            moment = row.life.generated
            if held.life is not None and (held.life.generated == moment or stands(held, epoch, moment)):
                standing[row.id] = held.life
        return standing

    def _known(self, ids: Sequence[str]) -> dict[str, LedgerRecord]:
        rows = self._connection.execute(_FIND, (list(ids),)).fetchall()
        return {
            identity: LedgerRecord(Life(generated, expires) if generated else None, floor)
            for identity, generated, expires, floor in rows
        }

    def _epochs(self) -> dict[str, int]:
        return dict(self._connection.execute(_EPOCHS).fetchall())


class _Run:
    """Rows for one statement: of one kind, no identity twice, in their order."""

    __slots__ = ("late", "rows")

    def __init__(self, late: bool) -> None:
        self.late = late
        self.rows: dict[str, LedgerRow] = {}


def _runs(items: Sequence[Item]) -> Iterator["_Run | RevocationRow | AuditRead"]:
    run: _Run | None = None
    for item in items:
        if not isinstance(item, Lives):
            if run is not None:
                yield run
                run = None
            yield item
            continue
        for row in item.rows:
            if run is not None and (run.late is not item.late or row.id in run.rows):
                yield run
                run = None
            if run is None:
                run = _Run(item.late)
            run.rows[row.id] = row
    if run is not None:
        yield run


def _gathered(items: Sequence[Item], settled: Sequence[Any]) -> list[Answer]:
    """Return the answer of each item from the answers of the runs."""
    answers: list[Answer] = []
    start = 0
    for item in items:
        if isinstance(item, Lives):
            answers.append(settled[start : start + len(item.rows)])
            start += len(item.rows)
        else:
            answers.append(settled[start])
            start += 1
    return answers


def _json(rows: Iterable[LedgerRow]) -> str:
    values = [(row.kind, row.id, *split(row.id), *row.life, *row[3:]) for row in rows]
    text = orjson.dumps(values)
    if b"\\u0000" in text:
        text = orjson.dumps([tuple(map(_without_nul, each)) for each in values])
    return text.decode()


def _without_nul(value: str | int | None) -> str | int | None:
    # PostgreSQL stores no NUL; only texts that a client chose can have one.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def connect(url: str) -> Connection:
    """Open a connection that detects a dead server within seconds, and waits for nobody to type a password."""
    parameters = conninfo_to_dict(url)
    if "service" not in parameters:
        # Without one OpenSSL asks on the terminal for that of an encrypted sslkey. A key without a password ignores it.
        parameters.setdefault("sslpassword", "none")
    return psycopg.connect(
        make_conninfo("", **parameters),
        autocommit=True,
        prepare_threshold=2,
        application_name="arsenal-fast",
        connect_timeout=CONNECT_SECONDS,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=5_000,
    )


def migrate(connection: Connection) -> None:
    """Bring the schema up to date, once for all processes of all replicas; Unfit where that is not possible."""
    if not left_to_migrate(connection):
        return
    with connection.transaction():
        connection.execute(b"SET LOCAL lock_timeout = 0")
        connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(b"SET LOCAL statement_timeout = 0")  # an index of a long history takes its time
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_S}".encode())
        for number, statements in left_to_migrate(connection):
            connection.execute(statements.format(schema=_S).encode())
            connection.execute(f"UPDATE {_S}.meta SET value = %s WHERE name = 'version'".encode(), (number,))


def left_to_migrate(connection: Connection) -> list[tuple[int, str]]:
    """Return the migrations that are left; Unfit for a ledger of a newer program."""
    table = connection.execute(b"SELECT to_regclass(%s)", (f"{_S}.meta",)).fetchone()
    if table is None or table[0] is None:
        return schema.steps(schema.POSTGRES, 0)
    row = connection.execute(f"SELECT value FROM {_S}.meta WHERE name = 'version'".encode()).fetchone()
    if row is None:
        raise Unfit("The database is not a ledger: it tells no schema version.")
    return schema.steps(schema.POSTGRES, row[0])


@contextmanager
def translated() -> Iterator[None]:
    """Raise errors of psycopg as StoreError."""
    try:
        yield
    except (errors.DataError, orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise Refused("The row holds a value that PostgreSQL can't store.") from error
    except (
        errors.DeadlockDetected,
        errors.SerializationFailure,
        errors.LockNotAvailable,
        errors.QueryCanceled,
    ) as error:
        raise Busy("The ledger is locked by somebody else.") from error
    except psycopg.Error as error:
        raise postgres_errors.fault_of(error) from error
