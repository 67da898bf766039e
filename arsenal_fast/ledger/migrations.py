"""The schema of the ledger and its migrations.

    lives    what is known of each identity now: its newest life, its floor (0: never revoked)
    epochs   issued_before of each prefix, and of everything under the empty prefix
    tokens   each service token that was minted, as it was minted, and when it was last used
    amendments   withdrawals and other limits of service tokens, by the keys of identity/amendments.py
    events   what has happened, one row each, only ever added (and pruned); NULL where a column doesn't apply
    meta     version: of the schema; pruned_before: no event older than that was kept

A migration is one step of the version and never changes once it was released. They run under the database's
own lock, so that many processes may start at once. A process of the version before may still be writing: what
a step adds must have a default. Indexes: the audit is read newest first by (at, seq), of everything, of one
prefix, or of one run; each has an index that gives just this order, and SQLite's end in seq by themselves.
"""

from collections.abc import Mapping
from typing import Final

from arsenal_fast.ledger.errors import Unfit

POSTGRES_SCHEMA: Final = "arsenal_ledger"
"""A schema of our own: the database may be shared, and pg_dump can select our tables."""

SQLITE: Final[Mapping[int, str]] = {
    1: """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('version', 1), ('pruned_before', 0);
CREATE TABLE lives (
    id TEXT PRIMARY KEY,
    generated INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    floor INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE epochs (prefix TEXT PRIMARY KEY, issued_before INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    prefix TEXT, run TEXT, domain TEXT, version TEXT,
    generated INTEGER, expires INTEGER,
    environment TEXT, caller TEXT NOT NULL, request_id TEXT
);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_prefix ON events (prefix, at);
""",
    2: """
ALTER TABLE events ADD COLUMN issued_before INTEGER;
CREATE INDEX events_run ON events (run, prefix, at);
""",
    3: """
ALTER TABLE events ADD COLUMN token TEXT;
ALTER TABLE events ADD COLUMN subject TEXT;
ALTER TABLE events ADD COLUMN rate_limit INTEGER;
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL, subject TEXT NOT NULL, scope TEXT NOT NULL,
    rate_limit INTEGER NOT NULL, per_subject INTEGER,
    issued INTEGER NOT NULL, expires INTEGER NOT NULL,
    maker TEXT NOT NULL, last_used INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX tokens_issued ON tokens (issued, id);
CREATE INDEX tokens_subject ON tokens (subject, issued, id);
CREATE TABLE amendments (
    key TEXT PRIMARY KEY, moment INTEGER NOT NULL, rate_limit INTEGER NOT NULL, ends INTEGER NOT NULL
) WITHOUT ROWID;
""",
}

POSTGRES: Final[Mapping[int, str]] = {
    1: """
CREATE TABLE {schema}.meta (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO {schema}.meta VALUES ('version', 1), ('pruned_before', 0);
CREATE TABLE {schema}.lives (
    id text COLLATE "C" PRIMARY KEY,
    generated bigint NOT NULL,
    expires bigint NOT NULL,
    floor bigint NOT NULL
);
CREATE TABLE {schema}.epochs (prefix text COLLATE "C" PRIMARY KEY, issued_before bigint NOT NULL);
CREATE TABLE {schema}.events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    at bigint NOT NULL,
    prefix text COLLATE "C", run text COLLATE "C", domain text, version text,
    generated bigint, expires bigint,
    environment text, caller text NOT NULL, request_id text
);
CREATE INDEX events_at ON {schema}.events (at, seq);
CREATE INDEX events_prefix ON {schema}.events (prefix, at, seq);
""",
    2: """
ALTER TABLE {schema}.events ADD COLUMN issued_before bigint;
CREATE INDEX events_run ON {schema}.events (run, prefix, at, seq);
""",
    3: """
ALTER TABLE {schema}.events ADD COLUMN token text, ADD COLUMN subject text, ADD COLUMN rate_limit bigint;
CREATE TABLE {schema}.tokens (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL, subject text COLLATE "C" NOT NULL, scope text NOT NULL,
    rate_limit bigint NOT NULL, per_subject bigint,
    issued bigint NOT NULL, expires bigint NOT NULL,
    maker text NOT NULL, last_used bigint NOT NULL DEFAULT 0
);
CREATE INDEX tokens_issued ON {schema}.tokens (issued, id);
CREATE INDEX tokens_subject ON {schema}.tokens (subject, issued, id);
CREATE TABLE {schema}.amendments (
    key text COLLATE "C" PRIMARY KEY, moment bigint NOT NULL, rate_limit bigint NOT NULL, ends bigint NOT NULL
);
""",
}

VERSION: Final = max(SQLITE)


def steps(migrations: Mapping[int, str], version: int) -> list[tuple[int, str]]:
    """Return the migrations left from ``version`` on (0: an empty database); Unfit for a ledger of a newer program."""
    if version > VERSION:
        raise Unfit(
            f"The ledger has schema version {version}, but this program knows none above {VERSION}:"
            " use the program that wrote it, or a newer one."
        )
    return [(number, migrations[number]) for number in range(version + 1, VERSION + 1)]
