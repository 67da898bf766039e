"""SQL that is written once for both databases: ``?`` stands for a value, ``{name}`` for what differs between them."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

POSTGRES_SCHEMA: Final = "arsenal_ledger"
"""A schema of our own: the database may be shared, and pg_dump can select our tables."""

Read = Callable[..., list[tuple[Any, ...]]]
"""``read(statement, values)``: runs a statement that is written for both databases, and returns all its rows."""

_SQLITE: Final = {
    "t": "",
    "tables": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "greatest": "max",
    "same": "IS",
    "int": "INTEGER",
    "key": "TEXT",
    "number": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "without_rowid": " WITHOUT ROWID",
    "sqlite": "",  # begins a line that only SQLite runs
    "seq": "",  # an index ends in the row's number by itself
}
_POSTGRES: Final = {
    "t": f"{POSTGRES_SCHEMA}.",
    # Other tables in it are the administrator's.
    "tables": f"SELECT tablename FROM pg_tables WHERE schemaname = '{POSTGRES_SCHEMA}'"  # noqa: S608 - names of ours
    " AND tablename IN ('meta', 'lives', 'epochs', 'events')",
    "greatest": "greatest",
    "same": "IS NOT DISTINCT FROM",
    "int": "bigint",
    "key": 'text COLLATE "C"',
    "number": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "without_rowid": "",
    "sqlite": "-- ",
    "seq": ", seq",
}


@cache
def for_sqlite(statement: str) -> str:
    """Return the statement as SQLite takes it."""
    return statement.format_map(_SQLITE)


@cache
def for_postgres(statement: str) -> bytes:
    """Return the statement as psycopg takes it."""
    return statement.format_map(_POSTGRES).replace("?", "%s").encode()
