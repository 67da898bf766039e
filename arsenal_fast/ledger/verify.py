"""Checks that a ledger is whole and its tables agree: one table of checks for both databases."""

# ruff: noqa: S608 - the statements hold names and constants of ours, no value

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, NamedTuple

from arsenal_fast.ledger import migrations as schema
from arsenal_fast.ledger.admin import address_of, as_ledger_error, existing, plain_postgres, read_only
from arsenal_fast.ledger.migrations import POSTGRES_SCHEMA
from arsenal_fast.ledger.model import KINDS
from arsenal_fast.ledger.store import LIVES_RETENTION
from arsenal_fast.ledger.url import PostgresAddress


class Report(NamedTuple):
    """The findings of ``verify``; the ledger is sound if there are no faults."""

    version: int
    events: int
    lives: int
    faults: Sequence[str]


BOUNDS_SINCE: Final = 2  # schema version that has the column issued_before

_ID: Final = "e.prefix || '-' || e.run || '@' || e.domain || '/' || e.version || ':id'"
_IS_LIFE: Final = "e.kind IN ('issued', 'renewed')"
_PRUNED: Final = "(SELECT value FROM {t}meta WHERE name = 'pruned_before')"

_CHECKS: Final = (
    (
        "{n} events are of a kind that nobody writes.",
        f"SELECT count(*) FROM {{t}}events e WHERE e.kind NOT IN ({', '.join(map(repr, KINDS))})",
    ),
    (
        "{n} events of lives are incomplete, or end before they begin.",
        f"SELECT count(*) FROM {{t}}events e WHERE {_IS_LIFE}"
        f" AND coalesce(e.expires <= e.generated OR {_ID} IS NULL, true)",
    ),
    (
        "{n} lives end before they begin.",
        "SELECT count(*) FROM {t}lives WHERE expires <= generated AND generated > 0",
    ),
    (
        "{n} issued lives are not known as the identity's newest, nor is a newer one.",
        f"SELECT count(*) FROM {{t}}events e LEFT JOIN {{t}}lives l ON l.id = {_ID}"
        f" WHERE {_IS_LIFE} AND e.expires >= {_PRUNED} AND (l.id IS NULL OR l.generated < e.generated)",
    ),
    (
        "{n} identities have a life that no event tells of.",
        # No look-up for each row: thousands of events may be of one moment.
        "SELECT count(*) FROM (SELECT id, generated FROM {t}lives"
        f" WHERE generated > 0 AND generated >= {_PRUNED}"
        f" EXCEPT SELECT {_ID}, e.generated FROM {{t}}events e WHERE {_IS_LIFE}) AS untold",
    ),
)
# Only where the column is there.
_BOUND_CHECKS: Final = (
    (
        "{n} revocations of identities are not in force.",
        f"SELECT count(*) FROM {{t}}events e LEFT JOIN {{t}}lives l ON l.id = {_ID} WHERE e.kind = 'revoked'"
        f" AND e.issued_before >= {_PRUNED} - {LIVES_RETENTION}"
        " AND coalesce(l.floor, 0) < e.issued_before - 1",
    ),
    (
        "{n} revocations of prefixes or of everything are not in force.",
        "SELECT count(*) FROM {t}events e LEFT JOIN {t}epochs p ON p.prefix = coalesce(e.prefix, '')"
        " WHERE e.kind IN ('revoked_prefix', 'revoked_all')"
        f" AND e.issued_before >= {_PRUNED} - {LIVES_RETENTION}"
        " AND coalesce(p.issued_before, 0) < e.issued_before",
    ),
)


def verify(url: str) -> Report:
    """Check that the database is whole and its tables agree; changes nothing."""
    where = address_of(url)
    with as_ledger_error():
        if isinstance(where, PostgresAddress):
            return _verify_postgres(where)
        return verify_sqlite(existing(where))


def verify_sqlite(path: str) -> Report:
    """``verify`` for a file, be it a ledger in use or a backup."""
    with closing(read_only(path)) as connection:
        connection.execute("BEGIN")  # one snapshot, also while others write
        integrity = [text for (text,) in connection.execute("PRAGMA integrity_check(10)")]
        faults = [] if integrity == ["ok"] else [f"SQLite says: {text}" for text in integrity]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= {"meta", "lives", "epochs", "events"}:
            return Report(0, 0, 0, [*faults, "It is no ledger: tables are missing."])
        return _checked(lambda statement: connection.execute(statement).fetchone()[0], "", faults)


def _verify_postgres(address: PostgresAddress) -> Report:
    with plain_postgres(address) as connection:
        connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        table = connection.execute(b"SELECT to_regclass(%s)", (f"{POSTGRES_SCHEMA}.meta",)).fetchone()
        if table is None or table[0] is None:
            return Report(0, 0, 0, ["It is no ledger: tables are missing."])
        tables = f"{POSTGRES_SCHEMA}."
        return _checked(lambda statement: connection.execute(statement.encode()).fetchone()[0], tables, [])


def _checked(ask: Callable[[str], int], tables: str, faults: list[str]) -> Report:
    version = ask(f"SELECT max(value) FROM {tables}meta WHERE name = 'version'")
    if version is None or version > schema.VERSION:
        faults.append(f"Its schema version is {version}; this program knows none above {schema.VERSION}.")
        return Report(version or 0, 0, 0, faults)
    for sentence, statement in (*_CHECKS, *(_BOUND_CHECKS if version >= BOUNDS_SINCE else ())):
        number = ask(statement.format(t=tables))
        if number:
            faults.append(sentence.format(n=number))
    events = ask(f"SELECT count(*) FROM {tables}events")
    lives = ask(f"SELECT count(*) FROM {tables}lives")
    return Report(version, events, lives, faults)
