"""The message for each reason why PostgreSQL can't be used: of a real libpq and a real server."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from arsenal_fast.ledger.errors import StoreError, Unavailable, Unfit
from arsenal_fast.ledger.postgres import PostgresStore
from arsenal_fast.ledger.postgres_errors import fault_of
from tests.support.certificates import make_pair
from tests.support.postgres_server import QUOTED, PostgresServer
from tests.support.service import command, free_port

HERE = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '

# As libpq 17 and psycopg 3.2 write them; those that need another machine than this one.
TEXTS = [
    (
        "failed to resolve host 'db': [Errno -2] Name or service not known",
        "The name of PostgreSQL's host is not known.",
    ),
    (HERE + "SSL error: certificate verify failed", "PostgreSQL's certificate is not trusted: nobody whom"),
    (HERE + 'server certificate for "a" does not match host name "b"', "it is of another name."),
    (HERE + 'root certificate file "/a/root.crt" does not exist', "The file of sslrootcert is not there."),
    (HERE + 'FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "u"', "does not let this user in from here"),
    ("connection timeout expired", "PostgreSQL does not answer in time."),
    (HERE + "FATAL:  server login has been failing, try again later", "The pooler can't log in to PostgreSQL."),
    (HERE + "FATAL:  unsupported startup parameter: options", "The pooler refuses a parameter of the URL"),
    (HERE + "FATAL:  query_wait_timeout", "The pooler has no connection left for us."),
    (HERE + "FATAL:  no more connections allowed (max_client_conn)", "The pooler has no connection left for us."),
    (HERE + "No route to host", "There is no route to PostgreSQL's address."),
    (HERE + "Permission denied", "We are not allowed to connect to PostgreSQL's socket."),
    (HERE + "something new", "PostgreSQL can't be reached."),
]


@pytest.mark.parametrize(("text", "sentence"), TEXTS)
def test_what_libpq_says_is_told_in_a_sentence_without_its_names(text: str, sentence: str) -> None:
    fault = fault_of(psycopg.OperationalError(text))
    assert isinstance(fault, Unavailable)
    assert sentence in str(fault)
    assert "10.0.0.1" not in str(fault)


def fault_at(url: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        PostgresStore(url)
    return caught.value


def test_what_a_connection_meets_is_told(tmp_path: Path) -> None:
    url = f"postgresql://hunter2@127.0.0.1:{free_port()}/d"
    assert str(fault_at(url)) == "PostgreSQL refuses connections: nothing listens there."
    assert str(fault_at(f"postgresql:///d?host={tmp_path}")) == "PostgreSQL's socket is not there."


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("sslmode=verify_full", "sslmode"),
        ("target_session_attrs=writer", "target_session_attrs"),
        ("gssencmode=on", "gssencmode"),
        ("sslrootcert=system&sslmode=require", "verify-full"),
        ("schema=public", "schema"),
    ],
)
def test_a_parameter_that_no_waiting_mends_is_unfit(query: str, name: str) -> None:
    fault = fault_at(f"postgresql://hunter2@127.0.0.1:{free_port()}/d?{query}")
    assert isinstance(fault, Unfit)
    assert name in str(fault)
    assert "hunter2" not in str(fault)


@pytest.mark.integration
def test_what_a_server_answers_is_told(own_postgres: PostgresServer) -> None:
    right, where = own_postgres.url, f"127.0.0.1:{own_postgres.port}"
    wrong_password = right.replace(QUOTED, "hunter2")
    assert str(fault_at(wrong_password)) == "PostgreSQL refuses the user or the password."
    assert str(fault_at(f"postgresql://ledger@{where}/postgres")) == "PostgreSQL wants a password."
    assert "no such database" in str(fault_at(right.rpartition("/")[0] + "/absent"))
    assert str(fault_at(right + "?sslmode=require")) == "PostgreSQL speaks no TLS, which sslmode insists on."


@pytest.mark.integration
@pytest.mark.parametrize(
    "query",
    [
        "schema=public",
        "connection_limit=5",
        "pgbouncer=true",
        "sslmode=verify_full",
        "sslrootcert=system&sslmode=require",
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_refuses_to_start_where_no_waiting_mends_the_url(query: str, workers: str) -> None:
    url = f"postgresql://ledger:hunter2@127.0.0.1:{free_port()}/identity?{query}"
    env = {"DATABASE_URL": url, "PORT": str(free_port()), "REDIS_URL": "memory://"}
    if workers == "2":
        env |= {"REDIS_URL": f"redis://127.0.0.1:{free_port()}", "WORKERS": workers}
    done = command("serve", env=env)
    assert done.returncode == 78, done.stderr
    assert "DATABASE_URL" in done.stderr
    assert query.partition("=")[0] in done.stderr
    assert "hunter2" not in done.stderr


CONNECT = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from arsenal_fast.ledger.errors import StoreError
from arsenal_fast.ledger.postgres import PostgresStore
try:
    PostgresStore(sys.argv[1])
except StoreError as error:
    print(error)
else:
    print("connected")
"""


def said_on_a_terminal(url: str) -> str:
    """What a process with a terminal writes that connects; nobody types anything."""
    ours, theirs = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", CONNECT, url],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            check=True,
            timeout=30,
        )
        return os.read(ours, 65_536).decode().strip()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.integration
def test_nobody_has_to_type_the_password_of_a_client_key(own_postgres: PostgresServer, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    times = (now - timedelta(days=1), now + timedelta(days=1))
    own_postgres.speak_tls(make_pair(tmp_path / "server", *times))
    pair = make_pair(tmp_path / "client", *times, password="hunter2")
    pair.key.chmod(0o600)
    url = f"{own_postgres.url}?sslmode=require&sslcert={pair.certificate}&sslkey={pair.key}"
    fault = "The file of sslkey can't be used: it is no key, or encrypted and sslpassword is missing or wrong."
    assert said_on_a_terminal(url) == fault
    assert said_on_a_terminal(url + "&sslpassword=wrong") == fault
    assert said_on_a_terminal(url + "&sslpassword=hunter2") == "connected"
    plain = make_pair(tmp_path / "plain", *times)
    plain.key.chmod(0o600)
    url = f"{own_postgres.url}?sslmode=require&sslcert={plain.certificate}&sslkey={plain.key}"
    assert said_on_a_terminal(url) == "connected"
