"""Parses DATABASE_URL, strictly.

::

    sqlite:///relative/path.db      sqlite:////absolute/path.db
    postgresql://[user[:password]@][host][:port][,...]/database[?sslmode=...]     what libpq reads
    none

A fault is a ValueError of one sentence which never quotes the URL, for pieces of a password may be in it.
"""

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Final
from urllib.parse import parse_qsl, urlsplit

NONE: Final = "none"

_BLANK = re.compile(r"[\x00-\x20\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAME = re.compile(r"[A-Za-z_]{1,32}")
_PORTS = re.compile(r"(?:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class SqliteAddress:
    """A ledger in SQLite: the path of the file, relative to the working directory or absolute."""

    path: str


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A ledger in PostgreSQL. ``url`` is for libpq only; ``host`` and ``database`` may be shown."""

    host: str
    database: str
    url: str = field(repr=False)


LedgerAddress = SqliteAddress | PostgresAddress


def parse_url(url: str) -> LedgerAddress | None:
    """Return the address in a URL, None for ``none``; ValueError with one sentence that shows nothing of the URL."""
    if url == NONE:
        return None
    if url.startswith("sqlite:"):
        return _sqlite(url)
    if url.startswith(("postgresql://", "postgres://")):
        return _postgres(url)
    raise ValueError("the database URL must begin with sqlite:/// or postgresql://, or be none.")


def _sqlite(url: str) -> SqliteAddress:
    if not url.startswith("sqlite:///"):
        raise ValueError("the database URL of SQLite needs three slashes and a path: sqlite:///data/identity.db.")
    path = url.removeprefix("sqlite:///")
    if not path.strip("/") or path.endswith("/") or path == ":memory:":
        raise ValueError("the database URL needs the path of a file: sqlite:///data/identity.db.")
    if "?" in path or "#" in path or _CONTROL.search(path):
        raise ValueError(
            "the database URL of SQLite has a path and nothing else, without '?', '#' or control characters."
        )
    return SqliteAddress(path)


def _postgres(url: str) -> PostgresAddress:
    if _BLANK.search(url) or not url.isascii():
        raise ValueError("the database URL holds a blank or a character that must be percent-encoded.")
    if _ESCAPE.search(url):
        raise ValueError("the database URL has a '%' that begins no escape; a bare one is written as %25.")
    if "#" in url:
        raise ValueError("the database URL has a '#', which must be written as %23.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("the database URL has a host that can't be one.") from None
    userinfo, _, location = parts.netloc.rpartition("@")
    if "@" in userinfo:
        raise ValueError("the database URL has more than one '@'; within a password it must be written as %40.")
    places = [_host_and_port(place) for place in location.split(",")]
    if not all(_PORTS.fullmatch(port) and (not port or 1 <= int(port) <= 65535) for _, port in places):
        raise ValueError("the database URL needs a port from 1 to 65535; a '/' in a password must be written as %2F.")
    host = ",".join(host for host, _ in places)
    database = parts.path.removeprefix("/")
    if not database or "/" in database:
        raise ValueError("the database URL needs the name of one database: postgresql://host/identity.")
    if unknown := _unknown_parameters(parts.query):
        raise ValueError(f"the database URL has a parameter that PostgreSQL's client library does not know: {unknown}.")
    return PostgresAddress(host or "local", database, url)


def _unknown_parameters(query: str) -> str:
    """Return the names of parameters that libpq would refuse, escaped for a message."""
    given = parse_qsl(query, keep_blank_values=True)
    if not given or find_spec("psycopg") is None:  # without it there is no ledger in PostgreSQL, as ``backend`` says
        return ""
    from psycopg.pq import Conninfo  # noqa: PLC0415 - an optional extra

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    # "ssl=true" is what JDBC writes, and libpq reads it.
    unknown = {name for name, value in given if name not in known and (name, value) != ("ssl", "true")}
    return ", ".join(sorted(name if _NAME.fullmatch(name) else "one that is no name" for name in unknown))


def _host_and_port(place: str) -> tuple[str, str]:
    host, colon, port = place.rpartition(":")
    return (host, port) if colon and "]" not in port else (place, "")  # the colons of an IPv6 address are in brackets
