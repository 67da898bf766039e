"""The schema of the ledger and its migrations.

    lives    what is known of each identity now: its newest life, its floor (0: never revoked). In SQLite only what
             its events do not tell: floors, and lives whose events were deleted, or that a release before wrote
    names    in SQLite: the events of each name, see ``names``
    epochs   issued_before of each prefix, and of everything under the empty prefix
    tokens   each service token that was minted, as it was minted, and when it was last used
    amendments   withdrawals and other limits of service tokens, by the keys of identity/amendments.py
    events   what has happened, one row each, only ever added (and pruned); NULL where a column doesn't apply
    meta     version: of the schema; pruned_before: no event older than that was kept

A migration is one step of the version and never changes once it was released. They run under the database's
own lock, so that many processes may start at once. A process of the version before may still be writing: what
a step adds must have a default. Indexes: the audit is read newest first by (at, seq), of everything, of one
prefix, or of one run; each has an index that gives just this order.
"""

from collections.abc import Mapping
from typing import Final

from arsenal_fast.ledger.dialect import Read
from arsenal_fast.ledger.errors import Unfit

TABLES: Final = {"meta", "lives", "epochs", "events"}

MIGRATIONS: Final[Mapping[int, str]] = {
    1: """
CREATE TABLE {t}meta (name TEXT PRIMARY KEY, value {int} NOT NULL){without_rowid};
INSERT INTO {t}meta VALUES ('version', 1), ('pruned_before', 0);
CREATE TABLE {t}lives (
    id {key} PRIMARY KEY,
    generated {int} NOT NULL,
    expires {int} NOT NULL,
    floor {int} NOT NULL
){without_rowid};
CREATE TABLE {t}epochs (prefix {key} PRIMARY KEY, issued_before {int} NOT NULL){without_rowid};
CREATE TABLE {t}events (
    seq {number},
    kind TEXT NOT NULL,
    at {int} NOT NULL,
    prefix {key}, run {key}, domain TEXT, version TEXT,
    generated {int}, expires {int},
    environment TEXT, caller TEXT NOT NULL, request_id TEXT
);
CREATE INDEX events_at ON {t}events (at{seq});
CREATE INDEX events_prefix ON {t}events (prefix, at{seq});
""",
    2: """
ALTER TABLE {t}events ADD COLUMN issued_before {int};
CREATE INDEX events_run ON {t}events (run, prefix, at{seq});
""",
    3: """
ALTER TABLE {t}events ADD COLUMN token TEXT;
ALTER TABLE {t}events ADD COLUMN subject TEXT;
ALTER TABLE {t}events ADD COLUMN rate_limit {int};
CREATE TABLE {t}tokens (
    id {key} PRIMARY KEY,
    name TEXT NOT NULL, subject {key} NOT NULL, scope TEXT NOT NULL,
    rate_limit {int} NOT NULL, per_subject {int},
    issued {int} NOT NULL, expires {int} NOT NULL,
    maker TEXT NOT NULL, last_used {int} NOT NULL DEFAULT 0
){without_rowid};
CREATE INDEX tokens_issued ON {t}tokens (issued, id);
CREATE INDEX tokens_subject ON {t}tokens (subject, issued, id);
CREATE TABLE {t}amendments (
    key {key} PRIMARY KEY, moment {int} NOT NULL, rate_limit {int} NOT NULL, ends {int} NOT NULL
){without_rowid};
""",
    # PostgreSQL keeps ``lives`` and the index: it settles which life holds by the row's lock.
    4: """
{sqlite}CREATE TABLE names (key INTEGER, at INTEGER, seq INTEGER, PRIMARY KEY (key, at, seq)) WITHOUT ROWID;
{sqlite}INSERT INTO meta VALUES ('names_prime', new_prime());
{sqlite}INSERT INTO meta SELECT 'folded', coalesce(max(seq), 0) FROM events;
{sqlite}INSERT INTO names SELECT name_key(meta.value, prefix, run, domain, version), at, seq
{sqlite}    FROM meta, events WHERE meta.name = 'names_prime' AND run IS NOT NULL ORDER BY 1, 2, 3;
{sqlite}DROP INDEX events_run;
""",
}

VERSION: Final = max(MIGRATIONS)


def migrations_left(read: Read) -> list[tuple[int, str]]:
    """Return the migrations that are left; Unfit for a database that is no ledger, or one of a newer program."""
    version = _version(read)
    if version > VERSION:
        raise Unfit(
            f"The ledger has schema version {version}, but this program knows none above {VERSION}:"
            " use the program that wrote it, or a newer one."
        )
    return [(number, MIGRATIONS[number]) for number in range(version + 1, VERSION + 1)]


def tables(read: Read) -> set[str]:
    """Return the names of the tables of the database, in PostgreSQL of our schema."""
    return {name for (name,) in read("{tables}")}


def _version(read: Read) -> int:
    names = tables(read)
    if not names:
        return 0
    if not names >= TABLES:
        raise Unfit("The database is not a ledger: it holds other tables.")
    rows = read("SELECT value FROM {t}meta WHERE name = 'version'")
    if not rows:
        raise Unfit("The database is not a ledger: it tells no schema version.")
    return int(rows[0][0])
