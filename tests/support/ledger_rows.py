"""Reads a ledger without the program: by plain SQL over a connection of its own."""

import sqlite3
from contextlib import closing
from typing import Any, Final

import psycopg

from tests.support.issuing import Life

_ID: Final = "prefix || '-' || run || '@' || domain || '/' || version || ':id'"
_LIVES: Final = "SELECT id, generated, expires FROM {schema}lives"
_EVENTS: Final = f"SELECT {_ID}, generated, expires FROM {{schema}}events WHERE kind IN ('issued', 'renewed')"


def lives(url: str) -> dict[str, Life]:
    """The newest life of each identity."""
    if url.startswith("sqlite:///"):  # of a group SQLite gives the row with the maximum
        every = f"SELECT id, max(generated), expires FROM ({_LIVES} UNION ALL {_EVENTS}) GROUP BY id"
        return {identity: Life(*life) for identity, *life in _rows(url, every)}
    return {identity: Life(*life) for identity, *life in _rows(url, _LIVES)}


def schema_version(url: str) -> int:
    """The version of its tables."""
    ((version,),) = _rows(url, "SELECT value FROM {schema}meta WHERE name = 'version'")
    return int(version)


def history(url: str) -> set[tuple[str, Life]]:
    """Every life that was ever written down."""
    return {(identity, Life(*life)) for identity, *life in _rows(url, _EVENTS)}


def _rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return file.execute(statement.format(schema="")).fetchall()
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.format(schema="arsenal_ledger.").encode()).fetchall()
