"""Passwords in the URLs of Redis and of the database are never printed, logged or returned."""

import io
import logging
import os
import stat
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import requests

from arsenal_fast.cli.main import main
from arsenal_fast.config.load import load
from arsenal_fast.ledger.prune import LedgerError, backup
from arsenal_fast.observability.logs import formatter
from tests.support.service import ServiceProcess

PASSWORD = "hunter2/s3cret"

FORMS = (PASSWORD, "hunter2%2Fs3cret", "hunter2%2fs3cret", "hunter2")

AWAY = "127.0.0.1:1"  # no server listens there

# What holds the password, and where it is: as it may be written in a URL.
URLS = [
    ("DATABASE_URL", f"postgresql://u:hunter2%2Fs3cret@{AWAY}/d"),
    ("DATABASE_URL", f"postgresql://{AWAY}/d?user=u&password=hunter2%2Fs3cret"),
    ("DATABASE_URL", f"postgresql://{AWAY}/d?password=hunter2/s3cret"),
    ("DATABASE_URL", f"postgresql://{AWAY}/d?pass%77ord=hunter2%2fs3cret"),
    ("DATABASE_URL", f"postgresql://{AWAY}/d?sslkey=/nowhere&sslpassword=hunter2%2fs3cret"),
    ("REDIS_URL", f"redis://:hunter2%2Fs3cret@{AWAY}/0"),
    ("REDIS_URL", f"redis://u:hunter2%2fs3cret@{AWAY}/0"),
]

REFUSED = [
    ("REDIS_URL", f"redis://{AWAY}/0?password=hunter2%2Fs3cret"),
    ("REDIS_URL", "unix:///run/redis.sock?db=0&password=hunter2%2Fs3cret"),
    ("REDIS_URL", "unix:///run/redis.sock?password=hunter2%2Fs3cret"),
    ("DATABASE_URL", "sqlite:///data/identity.db?password=hunter2%2Fs3cret"),
    ("API_BASE_URL", "https://identity.example/?password=hunter2"),
    ("CORS_ORIGIN", f"postgresql://{AWAY}/d?sslpassword=hunter2"),
    ("IDENTITY_DOMAIN", f"redis://{AWAY}?passwd=hunter2"),
    ("LOG_LEVEL", "postgresql:///d?PASSWORD=hunter2"),
    ("TLS_KEY_FILE", "/etc/key.pem?passphrase=hunter2"),
]


def leaks(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


def run(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], *arguments: str) -> str:
    """All that the command prints."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    out = io.TextIOWrapper(io.BytesIO())
    with redirect_stdout(out), redirect_stderr(out):
        main(list(arguments))
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return out.buffer.getvalue().decode()


COMMANDS = [
    ["check"],
    ["doctor", "--timeout", "1"],
    ["doctor", "--timeout", "1", "--json"],
    ["ledger", "verify"],
    ["ledger", "export"],
    ["ledger", "prune", "--days", "1"],
    ["ledger", "backup", "backup"],
]


@pytest.mark.parametrize(("name", "url"), [*URLS, *REFUSED])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_a_password(
    command: list[str], name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/identity.db", name: url}
    printed = run(monkeypatch, environ, *command)
    assert printed
    assert leaks(printed) == []


@pytest.mark.parametrize(("name", "url"), URLS)
@pytest.mark.parametrize("form", ["ecs", "text"])
def test_no_log_line_has_a_password(name: str, url: str, form: str) -> None:
    config = load({name: url, "LOG_FORMAT": form})
    lines = formatter(config.log_format, config.secrets())
    # As a driver may write it: the URL, the value alone, decoded or not, and in a traceback.
    for message in (url, PASSWORD, "hunter2%2Fs3cret", "hunter2%2fs3cret" if "%2f" in url else PASSWORD):
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed: %s", (message,), None)
        record.__dict__["fields"] = {"url.full": url}
        try:
            raise ValueError(message)
        except ValueError as error:
            record.exc_info = (ValueError, error, error.__traceback__)
        assert leaks(lines.format(record)) == []
    assert leaks(repr(config) + str(config)) == []


@pytest.mark.integration
@pytest.mark.parametrize("form", ["ecs", "text"])
def test_no_log_and_no_answer_of_a_service_that_can_reach_neither_has_a_password(form: str) -> None:
    urls = {
        "DATABASE_URL": f"postgresql://{AWAY}/d?user=u&password=hunter2%2Fs3cret&sslpassword=hunter2%2fs3cret",
        "REDIS_URL": f"redis://:hunter2%2fs3cret@{AWAY}/0",
    }
    with ServiceProcess(**urls, LOG_FORMAT=form, LOG_LEVEL="debug", ACCESS_LOG="all", REDIS_TIMEOUT_MS="50") as service:
        answers = [
            requests.get(f"{service.url}{path}", timeout=10).text
            for path in ("/api/health", "/api/telemetry", "/api/metrics", "/api/v1/id?prefix=a", "/api/v1/audit")
        ]
        requests.get(f"{service.url}/password=hunter2", timeout=10)
    assert "database" in answers[0]
    assert leaks("".join(answers)) == []
    assert "GET 404" in service.stderr
    assert leaks(service.stderr) == []


def test_no_tool_of_postgresql_is_given_a_key_password_openly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for pg_dump records its arguments and the content of the service file."""
    tool = tmp_path / "pg_dump"
    tool.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/arguments\ncp -p "$PGSERVICEFILE" {tmp_path}/service\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    backup(f"postgresql://u:pw@{AWAY}/d?sslpassword=hunter2%2Fs3cret", str(tmp_path / "backup"))
    arguments = (tmp_path / "arguments").read_text()
    assert leaks(arguments) == []
    assert "service=ledger" in arguments
    assert (tmp_path / "service").read_text() == f"[ledger]\nsslpassword={PASSWORD}\n"
    assert stat.S_IMODE((tmp_path / "service").stat().st_mode) == 0o600
    with pytest.raises(LedgerError, match="must have sslpassword") as caught:
        backup(f"postgresql://{AWAY}/d?service=mine&sslpassword=hunter2%2Fs3cret", str(tmp_path / "backup"))
    assert leaks(str(caught.value)) == []


def test_what_a_tool_says_of_its_failure_has_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "pg_dump"
    tool.write_text(f"#!/bin/sh\necho 'bad key password {PASSWORD} (hunter2%2fs3cret)' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LedgerError) as caught:
        backup(f"postgresql://{AWAY}/d?sslpassword=hunter2%2fs3cret", str(tmp_path / "backup"))
    assert str(caught.value) == "pg_dump has failed: bad key password *** (***)."
