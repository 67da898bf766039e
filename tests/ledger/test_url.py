"""The forms of DATABASE_URL; a bad one is refused without showing it."""

import pytest

from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.url import PostgresAddress, SqliteAddress, parse_url


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///data/identity.db", "data/identity.db"),
        ("sqlite:////app/data/identity.db", "/app/data/identity.db"),
        ("sqlite:///identity.db", "identity.db"),
        ("sqlite:///with blank & ü%20.db", "with blank & ü%20.db"),
    ],
)
def test_three_slashes_are_relative_and_four_are_absolute(url: str, path: str) -> None:
    assert parse_url(url) == SqliteAddress(path)


@pytest.mark.parametrize(
    ("url", "host", "database"),
    [
        ("postgresql://user:pass@db.example:5432/identity", "db.example:5432", "identity"),
        ("postgres://db.example/identity", "db.example", "identity"),
        ("postgresql:///identity", "local", "identity"),
        ("postgresql://user@[::1]:5433/identity?sslmode=require", "[::1]:5433", "identity"),
        ("postgresql://u:p%40%3A%2F@a,b/identity", "a,b", "identity"),
    ],
)
def test_a_url_of_postgresql_is_left_to_libpq(url: str, host: str, database: str) -> None:
    assert parse_url(url) == PostgresAddress(host.removesuffix(":5432").removesuffix(":5433"), database, url)


def test_none_turns_it_off() -> None:
    assert parse_url("none") is None


SECRET = "hunter2"

BAD = [
    "",
    "None",
    "mysql://u:hunter2@h/d",
    "sqlite:",
    "sqlite://",
    "sqlite:///",
    "sqlite:////",
    "sqlite://data/hunter2.db",
    "sqlite:///:memory:",
    "sqlite:///data/",
    "sqlite:///a.db?hunter2",
    "sqlite:///a.db#hunter2",
    "sqlite:///a\nhunter2",
    "postgresql:///",
    "postgresql://u:hunter2@h",
    "postgresql://u:hunter2@h/",
    "postgresql://u:hunter2@h/a/b",
    "postgresql://u:hunter2@h:0/d",
    "postgresql://u:hunter2@h:65536/d",
    "postgresql://u:x/hunter2@h:5432/d",
    "postgresql://u:x#hunter2@h/d",
    "postgresql://u:x@hunter2@h/d",
    "postgresql://u:hunter2%@h/d",
    "postgresql://u:hunter 2@h/d",
    "postgresql://u:hünter2@h/d",
    "postgresql://u:hunter2@[h/d",
    "postgresql://u:hunter2@h/d\n",
    "postgresql://u:x@h/d?hunter2%20=1",
    "postgresql://u:x@h/d?schema=hunter2",
]


@pytest.mark.parametrize("url", BAD)
def test_a_bad_url_is_one_sentence_that_shows_nothing_of_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as caught:
        parse_url(url)
    assert SECRET not in str(caught.value)
    assert "hünter2" not in str(caught.value)


def test_a_parameter_that_libpq_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match=r"does not know: currentSchema, schema\.$"):
        parse_url("postgresql://db.example/identity?schema=public&sslmode=require&currentSchema=a")


def test_the_url_that_prisma_writes_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"^[^.]+ does not know: connection_limit, pgbouncer, schema\.$"):
        parse_url("postgresql://u:p@db.example:6432/identity?schema=public&connection_limit=5&pgbouncer=true")


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=verify-full&sslrootcert=system",
        "ssl=true",
        "options=-csearch_path%3Dx",
        "host=/run/postgresql&user=a",
        "target_session_attrs=read-write",
        "",
    ],
)
def test_parameters_that_libpq_knows_are_left_to_it(query: str) -> None:
    url = f"postgresql://db.example/identity?{query}"
    assert parse_url(url) == PostgresAddress("db.example", "identity", url)


def test_nothing_shows_the_password() -> None:
    url = "postgresql://user:hunter2@db.example/identity?password=hunter2"
    assert SECRET not in repr(parse_url(url))
    assert SECRET not in repr(Ledger(url))


def test_a_ledger_is_not_made_of_none() -> None:
    with pytest.raises(ValueError, match="turned off"):
        Ledger("none")
