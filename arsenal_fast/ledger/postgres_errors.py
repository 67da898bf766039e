"""Explains in one sentence why PostgreSQL can't be used: for the log, the health response, doctor.

libpq's own text names host, user and database, perhaps more in future: it is searched, never shown.
"""

import re
from typing import Final

import psycopg
from psycopg import errors

from arsenal_fast.ledger.dialect import POSTGRES_SCHEMA
from arsenal_fast.ledger.errors import StoreError, Unavailable, Unfit

# The first match counts, so special cases stand above general ones.
_SENTENCES: Final = (
    ("failed to resolve host", "The name of PostgreSQL's host is not known."),
    ("could not translate host name", "The name of PostgreSQL's host is not known."),
    (
        "could not load private key file",
        "The file of sslkey can't be used: it is no key, or encrypted and sslpassword is missing or wrong.",
    ),
    ("root certificate file", "The file of sslrootcert is not there."),
    (
        "certificate verify failed",  # libpq does not tell which
        "PostgreSQL's certificate is not trusted: nobody whom sslrootcert names signed it, or its time is over.",
    ),
    ("does not match host name", "PostgreSQL's certificate is not trusted: it is of another name."),
    ("does not support SSL", "PostgreSQL speaks no TLS, which sslmode insists on."),
    ("no pg_hba.conf entry", "PostgreSQL does not let this user in from here (pg_hba.conf)."),
    ("authentication failed", "PostgreSQL refuses the user or the password."),
    ("no password supplied", "PostgreSQL wants a password."),
    ("starting up", "PostgreSQL is starting."),
    ("shutting down", "PostgreSQL is shutting down."),
    (
        "permission denied for database",
        f"PostgreSQL does not let this user make the schema {POSTGRES_SCHEMA}: CREATE on the database, or a schema"
        " made beforehand, is missing.",
    ),
    (
        "permission denied for schema",
        f"PostgreSQL does not let this user make or use tables in the schema {POSTGRES_SCHEMA}.",
    ),
    ("does not exist", "PostgreSQL has no such database, user or table."),
    ("server login has been failing", "The pooler can't log in to PostgreSQL."),
    ("unsupported startup parameter", "The pooler refuses a parameter of the URL, such as options."),
    ("query_wait_timeout", "The pooler has no connection left for us."),
    ("no more connections allowed", "The pooler has no connection left for us."),
    ("too many", "PostgreSQL has no connection left for us."),
    ("Connection refused", "PostgreSQL refuses connections: nothing listens there."),
    ("No such file or directory", "PostgreSQL's socket is not there."),
    ("Permission denied", "We are not allowed to connect to PostgreSQL's socket."),
    ("timeout expired", "PostgreSQL does not answer in time."),
    ("timed out", "PostgreSQL does not answer in time."),
    ("No route to host", "There is no route to PostgreSQL's address."),
    ("Network is unreachable", "There is no route to PostgreSQL's address."),
)

# No waiting mends these either.
_UNFIT: Final = (
    ("weak sslmode", "The URL has sslrootcert=system, which needs sslmode=verify-full."),
    (
        "statement pooling mode",
        "The pooler lends sessions for single statements: the ledger needs pool_mode transaction or session.",
    ),
)

# Of libpq, before it speaks to any server: a parameter's name in the first or the second group.
_UNUSABLE: Final = re.compile(
    r'(?:connection is bad: |failed: |^)(?:invalid URI query parameter: "([a-zA-Z_]+)"'
    r'|invalid (?:integer )?(?:value "[^"]*" for connection option "([a-z_]+)"|([a-z_]+) value: ))'
)


def fault_of(error: psycopg.Error) -> StoreError:
    """Return the StoreError for an error: Unfit where waiting does not help, else Unavailable."""
    text = str(error)
    if match := _UNUSABLE.search(text):
        name = next(filter(None, match.groups()))
        return Unfit(f"PostgreSQL's client library refuses the parameter {name} of the URL.")
    for part, sentence in _UNFIT:
        if part in text:
            return Unfit(sentence)
    return Unavailable(_sentence(error, text))


def _sentence(error: psycopg.Error, text: str) -> str:
    if isinstance(error, errors.DiskFull):
        return "The disk of PostgreSQL is full."
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return "PostgreSQL can only be read."
    other = "PostgreSQL can't be reached."
    if isinstance(error, errors.InsufficientPrivilege):
        other = "PostgreSQL does not let this user do what the ledger needs."
    return next((sentence for part, sentence in _SENTENCES if part in text), other)
