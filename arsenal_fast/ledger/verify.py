"""Checks that a ledger is whole and its tables agree: one table of checks for both databases."""

# ruff: noqa: S608 - the statements hold names and constants of ours, no value

from collections.abc import Sequence
from typing import Final, NamedTuple

from arsenal_fast.ledger.admin import address_of, as_ledger_error, snapshot
from arsenal_fast.ledger.dialect import Read
from arsenal_fast.ledger.migrations import TABLES, VERSION, tables
from arsenal_fast.ledger.model import KINDS
from arsenal_fast.ledger.store import LIVES_RETENTION
from arsenal_fast.ledger.url import LedgerAddress, SqliteAddress


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
        "{n} events are of an unknown kind.",
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
    with as_ledger_error(where):
        return verify_at(where)


def verify_at(where: LedgerAddress) -> Report:
    """``verify`` for an address, be it of a ledger in use or of a backup's file."""
    with snapshot(where) as read:
        integrity = read("PRAGMA integrity_check(10)") if isinstance(where, SqliteAddress) else []
        return _checked(read, [f"SQLite says: {text}" for (text,) in integrity if text != "ok"])


def _checked(read: Read, faults: list[str]) -> Report:
    def ask(statement: str) -> int:
        ((number,),) = read(statement)
        return int(number)

    if not tables(read) >= TABLES:
        return Report(0, 0, 0, [*faults, "It is no ledger: tables are missing."])
    version = ask("SELECT coalesce(max(value), 0) FROM {t}meta WHERE name = 'version'")
    if not 0 < version <= VERSION:
        faults.append(f"Its schema version is {version}; this program knows none above {VERSION}.")
        return Report(version, 0, 0, faults)
    for sentence, statement in (*_CHECKS, *(_BOUND_CHECKS if version >= BOUNDS_SINCE else ())):
        if number := ask(statement):
            faults.append(sentence.format(n=number))
    return Report(version, ask("SELECT count(*) FROM {t}events"), ask("SELECT count(*) FROM {t}lives"), faults)
