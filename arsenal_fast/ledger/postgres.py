"""The ledger in PostgreSQL (12 or newer), written by the workers of all replicas. Needs psycopg 3.

* A run of lives is one statement, so a group of them is one round trip and its own transaction. Whether a held
  life stands is decided by the row's own lock: ``ON CONFLICT ... DO UPDATE ... WHERE`` says the rule of
  ``model.settle`` in SQL, and one conformance suite tests both.
* The rows travel as one JSON text of objects, of which PostgreSQL reads each once; arrays of values cost it as much
  and this side twice as much, and members taken out of JSON arrays cost it half as much again (docs/experiments.md).
* Identities are locked in their order, so that two replicas rarely meet in a deadlock; if they do, it is Busy.
* The session sets what durability and time limits we need. Behind a pooler (PgBouncer) the server's process changes
  from one transaction to the next: then each transaction sets them for itself, and no statement is prepared.
"""

# ruff: noqa: S608 - the statements hold names of ours only; values are parameters

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.revocation import EVERYTHING
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger import postgres_errors
from arsenal_fast.ledger.dialect import POSTGRES_SCHEMA, Read, for_postgres
from arsenal_fast.ledger.errors import Busy, Refused
from arsenal_fast.ledger.model import AuditPage, AuditQuery, LedgerRecord, LedgerRow, stands
from arsenal_fast.ledger.store import EPOCHS, LIFE_COLUMNS, Run, Store, audit_query, page_of, records_of

_LOCK: Final = 0x41F_1ED6E4  # of the migrations, among PostgreSQL's advisory locks: any number of our own

CONNECT_SECONDS: Final = 2  # the least that libpq takes
ROUNDS: Final = 3  # of tries for a life that another session changed between two statements

# Where systems keep the certificates that they trust: Debian and Alpine, Fedora, SUSE, BSD.
BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_OWN_ROOTS: Final = Path("~/.postgresql/root.crt")  # libpq's default for sslrootcert

Connection = psycopg.Connection[tuple[Any, ...]]

_SETTINGS: Final = {
    "synchronous_commit": "on",
    "statement_timeout": "5s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "10s",
    "client_min_messages": "warning",
    "jit": "off",
}
_READER_SETTINGS: Final = {**_SETTINGS, "statement_timeout": "500ms"}  # look-ups wait behind a slower query

_COLUMNS: Final = ", ".join(LIFE_COLUMNS)

_ROW: Final = {
    **dict.fromkeys(("kind", "id", "prefix", "run", "domain", "version"), "text"),
    **dict.fromkeys(("generated", "expires"), "bigint"),
    **dict.fromkeys(("environment", "caller", "request_id"), "text"),
}
"""The members of a life that is written, with their types."""
_TYPES: Final = ", ".join(map(" ".join, _ROW.items()))

# Nothing may be NULL in a comparison here: an epoch that is not there is 0, as is the floor of the never revoked.
_STANDS: Final = """
lives.expires > excluded.generated
AND 4 * (lives.expires - excluded.generated) >= lives.expires - lives.generated
AND lives.generated > lives.floor
AND lives.generated >= coalesce((
    SELECT max(issued_before) FROM {t}epochs WHERE prefix = '' OR prefix = split_part(lives.id, '-', 1)), 0)
"""


def _lives_statement(late: bool) -> str:
    kept = "false" if late else _STANDS
    # The event of a life older than the known one may be there already, since its write was repeated.
    unknown = """NOT EXISTS (
        SELECT 1 FROM {t}events e
        WHERE e.run = i.run AND e.prefix = i.prefix AND e.at = i.generated
        AND e.domain = i.domain AND e.version = i.version AND e.generated = i.generated)"""
    return f"""
WITH i AS (
    SELECT * FROM ROWS FROM (json_to_recordset(?::json) AS ({_TYPES})) WITH ORDINALITY AS rows ({", ".join(_ROW)}, n)
), stored AS (
    INSERT INTO {{t}}lives AS lives (id, generated, expires, floor)
    SELECT id, generated, expires, 0 FROM i ORDER BY id COLLATE "C"
    ON CONFLICT (id) DO UPDATE SET
        generated = greatest(lives.generated, excluded.generated),
        expires = CASE WHEN excluded.generated > lives.generated THEN excluded.expires ELSE lives.expires END
    WHERE lives.generated <> excluded.generated AND NOT ({kept})
    RETURNING lives.id, lives.generated
), logged AS (
    INSERT INTO {{t}}events ({_COLUMNS})
    SELECT kind, i.generated, prefix, run, domain, version, i.generated, expires, NULL, environment, caller, request_id
    FROM i JOIN stored USING (id)
    WHERE stored.generated = i.generated OR {unknown}
    ORDER BY n
)
SELECT i.id FROM i LEFT JOIN stored USING (id) WHERE stored.id IS NULL
"""


_LIVES: Final = {late: _lives_statement(late) for late in (False, True)}

# ``CREATE SCHEMA IF NOT EXISTS`` needs CREATE on the database even where an administrator has made the schema.
MAKE_SCHEMA: Final = f"""
DO $$ BEGIN
    IF to_regnamespace('{POSTGRES_SCHEMA}') IS NULL THEN CREATE SCHEMA {POSTGRES_SCHEMA}; END IF;
END $$
"""
_BEFORE_MIGRATIONS: Final = f"""
SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({_LOCK});
SET LOCAL statement_timeout = 0; -- an index of a long history takes its time
{MAKE_SCHEMA}
"""


class PostgresStore(Store):
    """The ``Store`` over one PostgreSQL connection; belongs to the thread that made it."""

    before_migrations = _BEFORE_MIGRATIONS

    def __init__(self, url: str, *, reader: bool = False) -> None:
        """Connect and bring the schema up to date. ``reader``: queries get a short time limit."""
        settings = _READER_SETTINGS if reader else _SETTINGS
        self._transaction_settings = ""
        """Statements that begin each transaction behind a pooler."""
        with translated():
            super().__init__(connect(url))
            try:
                if is_pooled(self.connection):
                    self._transaction_settings = _set("LOCAL", settings)
                else:
                    self.execute(_set("SESSION", settings))
                    self.connection.prepare_threshold = 2
                self.migrate()
            except BaseException:
                self.connection.close()
                raise

    def execute(self, statement: str, values: Sequence[Any] = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        cursor: psycopg.Cursor[tuple[Any, ...]] = self.connection.execute(for_postgres(statement), values or None)
        return cursor

    def look_up(self, ids: Sequence[str]) -> dict[str, LedgerRecord]:
        return records_of(
            self.read("SELECT id, generated, expires, floor FROM {t}lives WHERE id = ANY(?)", (list(ids),))
        )

    def audit(self, query: AuditQuery) -> AuditPage:
        with self.reading():
            try:
                rows = self.read(*audit_query(query))
            except errors.QueryCanceled:
                raise Refused("The question would take too long.") from None
        return page_of(rows, query.limit)

    def reading(self) -> AbstractContextManager[None]:
        return self.writing(alone=True)

    @contextmanager
    def writing(self, alone: bool = False) -> Iterator[None]:
        with translated():
            if alone and not self._transaction_settings:
                yield
                return
            with self.connection.transaction():
                if self._transaction_settings:
                    self.execute(self._transaction_settings)
                yield

    def write_lives(self, run: Run) -> list[Life]:
        answers = {identity: row.life for identity, row in run.rows.items()}
        undecided = run.rows
        for _ in range(ROUNDS):
            kept = {identity for (identity,) in self.read(_LIVES[run.late], (_json(undecided.values()),))}
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
        known, epochs = self.look_up([row.id for row in rows]), dict(self.read(EPOCHS))
        standing = {}
        for row in rows:
            held = known.get(row.id)
            epoch = max(epochs.get(EVERYTHING, 0), epochs.get(split(row.id).prefix, 0))
            moment = row.life.generated
            if held and held.life and (held.life.generated == moment or stands(held, epoch, moment)):
                standing[row.id] = held.life
        return standing


def _json(rows: Iterable[LedgerRow]) -> str:
    values = list(map(_members, rows))
    text = orjson.dumps(values)
    if b"\\u0000" in text:
        text = orjson.dumps([{name: _without_nul(value) for name, value in each.items()} for each in values])
    return text.decode()


def _members(row: LedgerRow) -> dict[str, str | int | None]:
    # Written out, since it runs for every new identity: made of the names of _ROW and split(), it takes twice as long.
    kind, identity, (generated, expires), environment, caller, request_id = row
    local, _, rest = identity.partition("@")
    prefix, _, run = local.partition("-")
    domain, _, version = rest.partition("/")
    return {
        "kind": kind,
        "id": identity,
        "prefix": prefix,
        "run": run,
        "domain": domain,
        "version": version[:-3],
        "generated": generated,
        "expires": expires,
        "environment": environment,
        "caller": caller,
        "request_id": request_id,
    }


def _without_nul(value: str | int | None) -> str | int | None:
    # PostgreSQL stores no NUL; only texts that a client chose can have one.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def connect(url: str) -> Connection:
    """Open a connection that detects a dead server within seconds, and waits for nobody to type a password."""
    parameters = conninfo_to_dict(url)
    if "service" not in parameters:
        # Without one OpenSSL asks on the terminal for that of an encrypted sslkey. A key without a password ignores it.
        parameters.setdefault("sslpassword", "none")
        if "," in str(parameters.get("host", "")):
            # A ledger on a standby could not be written, and the primary not found.
            parameters.setdefault("target_session_attrs", "read-write")
    return psycopg.connect(
        make_conninfo("", **parameters | system_certificates(parameters)),
        autocommit=True,
        prepare_threshold=None,
        application_name="arsenal-fast",
        connect_timeout=CONNECT_SECONDS,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=5_000,
    )


def system_certificates(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that name the system's certificates, where the connection is to be checked with these.

    The wheel of psycopg has an OpenSSL of its own, which does not know where this system keeps them, and a libpq before
    16 does not know ``sslrootcert=system``. libpq itself refuses that with a weaker ``sslmode``.
    """
    mode, roots = parameters.get("sslmode", "verify-full"), parameters.get("sslrootcert")
    if roots is None and "sslmode" in parameters and not _OWN_ROOTS.expanduser().exists():
        roots = "system"  # libpq has no other default, and fails
    if (mode, roots) != ("verify-full", "system"):
        return {}
    known = ssl.get_default_verify_paths().cafile  # SSL_CERT_FILE, where it is set
    bundle = next((path for path in (known, *BUNDLES) if path and Path(path).exists()), None)
    return {"sslmode": mode, "sslrootcert": bundle} if bundle else {}


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler stands between: the process that it named at the start is none of the server's."""
    return _server_process(connection) != connection.info.backend_pid


def shares_sessions(url: str) -> bool:
    """Whether a pooler lends one session of the server to several clients, which it does in its transaction mode."""
    with closing(connect(url)) as first:
        if not is_pooled(first):
            return False
        with closing(connect(url)) as second:
            return _server_process(second) == _server_process(first)


def _server_process(connection: Connection) -> int:
    ((process,),) = connection.execute(b"SELECT pg_backend_pid()").fetchall()
    return int(process)


def _set(scope: str, settings: Mapping[str, str]) -> str:
    return "; ".join(f"SET {scope} {name} = '{value}'" for name, value in settings.items())


def reader(connection: Connection) -> Read:
    """Return the function that reads by statements written for both databases, over a connection without a store."""
    return lambda statement, values=None: connection.execute(for_postgres(statement), values).fetchall()


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
        raise Busy("The ledger is locked by another process.") from error
    except psycopg.Error as error:
        raise postgres_errors.fault_of(error) from error
