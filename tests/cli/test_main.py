"""The command line: output and exit status."""

import argparse
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from arsenal_fast import server
from arsenal_fast.cli import main as cli
from arsenal_fast.config.load import Config
from arsenal_fast.config.schema import TABLE
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.observability.multiprocess import SharedCounters
from arsenal_fast.server import supervisor
from tests.support.logging_state import logging_kept

Serve = Callable[[Config, int, SharedCounters], int]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without our variables; afterwards the logging and the signal handler of before."""
    for row in TABLE:
        monkeypatch.delenv(row.name, raising=False)
    terminate = signal.getsignal(signal.SIGTERM)
    with logging_kept():
        yield
    signal.signal(signal.SIGTERM, terminate)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[Serve], None]:
    """Put a fake in the place of arsenal_fast.server.worker; it serves nothing."""

    def put(serve: Serve) -> None:
        module: Any = ModuleType("arsenal_fast.server.worker")
        module.rehearse = lambda config: None
        module.serve = lambda config, slot, counters, _ticket_keys: serve(config, slot, counters)
        monkeypatch.setitem(sys.modules, "arsenal_fast.server.worker", module)
        monkeypatch.setattr(server, "worker", module, raising=False)

    return put


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "arsenal-fast 4.2.0\n"


def test_no_command_is_a_request_for_help_and_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: arsenal-fast")


def test_help_names_the_commands_has_examples_and_says_that_env_files_are_not_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("serve", "check", "openapi", "examples:", "are not read"))


@pytest.mark.parametrize("argv", [["no-command"], ["serve", "--no-flag"], ["check", "more"]])
def test_wrong_usage_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_check_prints_the_effective_configuration_without_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET", "hunter22" * 5)
    monkeypatch.setenv("REDIS_URL", "redis://:hunter22@redis/1")
    monkeypatch.setenv("RATE_LIMIT_REQUEST", "7")
    assert cli.main(["check"]) == 0
    printed = capsys.readouterr()
    *table, warning = printed.out.splitlines()
    assert [line.split()[0] for line in table] == [row.name for row in TABLE]
    assert len({line.rindex("  ") for line in table}) == 1
    cells = {line.split()[0]: line.split()[1:] for line in table}
    assert cells["JWT_SECRET"] == ["***", "environment"]
    assert cells["REDIS_URL"] == ["redis://***@redis:6379/1", "environment"]
    assert cells["PORT"] == ["3655", "default"]
    assert warning == "warning: RATE_LIMIT_REQUEST is not read; is RATE_LIMIT_REQUESTS meant?"
    assert "hunter22" not in printed.out + printed.err


def test_check_prints_json_for_programs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "hunter22" * 5)
    assert cli.main(["check", "--json"]) == 0
    text = capsys.readouterr().out
    variables = json.loads(text)["variables"]
    assert list(variables) == [row.name for row in TABLE]
    assert variables["PORT"] == {"value": "3655", "source": "default"}
    assert "hunter22" not in text


@pytest.mark.parametrize("command", ["check", "serve"])
def test_each_fault_is_a_line_on_stderr_and_the_status_is_78(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "http")
    monkeypatch.setenv("WORKERS", "0")
    assert cli.main([command]) == 78
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split()[0] for line in printed.err.splitlines()] == ["PORT", "WORKERS"]


def test_one_worker_serves_in_this_very_process(worker: Callable[[Serve], None]) -> None:
    served: list[tuple[int, int, int]] = []

    def serve(config: Config, slot: int, counters: SharedCounters) -> int:
        served.append((os.getpid(), slot, counters.slots))
        return 3

    worker(serve)
    assert cli.main(["serve"]) == 3
    assert served == [(os.getpid(), 0, 1)]


def test_a_flag_stands_above_its_variable(worker: Callable[[Serve], None], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Config] = []

    def serve(config: Config, slot: int, counters: SharedCounters) -> int:
        seen.append(config)
        return 0

    worker(serve)
    monkeypatch.setenv("PORT", "1000")
    monkeypatch.setenv("HOST", "127.0.0.1")
    assert cli.main(["serve", "--port", "2000", "--workers", "1"]) == 0
    assert (seen[0].host, seen[0].port) == ("127.0.0.1", 2000)


def test_a_bad_flag_is_told_like_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--port", "٣"]) == 78
    assert capsys.readouterr().err.startswith("PORT must be a whole number from 1 to 65535")


def test_more_workers_are_for_the_supervisor(worker: Callable[[Serve], None], monkeypatch: pytest.MonkeyPatch) -> None:
    worker(lambda config, slot, counters: 0)
    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    monkeypatch.setattr(supervisor, "run", lambda config, serve, reservation: 40 + config.workers)
    assert cli.main(["serve", "--workers", "2"]) == 42


START_FAILURES = [
    (OSError(errno.EADDRINUSE, "in use"), 1, ":: port 3655 is already in use"),
    (OSError(errno.EACCES, "no"), 1, "Not allowed to listen on :: port 3655"),
    (OSError(errno.EADDRNOTAVAIL, "no"), 1, ":: is no address of this machine"),
    (OSError(errno.EMFILE, "Too many open files"), 1, "Can't serve on :: port 3655: Too many open files."),
    (
        OSError(errno.EADDRINUSE, "no", 9090),
        1,
        ":: port 9090 is already in use: stop what listens there, or choose another",
    ),
    (ConfigurationError(["TLS_KEY_FILE is no key.", "Two."]), 78, "TLS_KEY_FILE is no key.\nTwo."),
    (KeyboardInterrupt(), 130, ""),
]


@pytest.mark.parametrize(("error", "status", "sentence"), START_FAILURES)
def test_a_start_that_fails_is_a_sentence_and_no_traceback(
    error: BaseException,
    status: int,
    sentence: str,
    worker: Callable[[Serve], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JWT_SECRET", "x" * 32)  # without one a warning comes first

    def serve(config: Config, slot: int, counters: SharedCounters) -> int:
        raise error

    worker(serve)
    assert cli.main(["serve"]) == status
    printed = capfd.readouterr().err
    assert printed.startswith(sentence)
    assert "Traceback" not in printed
    assert printed.count("\n") == sentence.count("\n") + bool(sentence)


@pytest.mark.parametrize(("port", "name"), [(3655, "PORT"), (9090, "MANAGEMENT_PORT")])
def test_a_port_in_use_is_named_by_its_variable(
    port: int,
    name: str,
    worker: Callable[[Serve], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JWT_SECRET", "x" * 32)
    monkeypatch.setenv("MANAGEMENT_PORT", "9090")

    def serve(config: Config, slot: int, counters: SharedCounters) -> int:
        raise OSError(errno.EADDRINUSE, "no", port)

    worker(serve)
    assert cli.main(["serve"]) == 1
    told = capfd.readouterr().err
    assert told == f":: port {port} is already in use: stop what listens there, or choose another {name}.\n"


def test_the_openapi_document_is_printed_for_its_base_url_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = ModuleType("arsenal_fast.api.openapi")
    module.document = lambda base_url: {"openapi": "3.1.0", "servers": [{"url": base_url}]}
    monkeypatch.setitem(sys.modules, "arsenal_fast.api.openapi", module)
    monkeypatch.setenv("API_BASE_URL", "https://identity.example/")
    monkeypatch.setenv("NODE_ENV", "production")  # which would insist on more
    assert cli.main(["openapi"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["servers"] == [{"url": "https://identity.example"}]


def program(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=20, check=False, **options
    )


def test_python_m_arsenal_fast_is_the_same_program() -> None:
    done = program("-m", "arsenal_fast", "check", env={"PATH": os.environ["PATH"], "PORT": "x"})
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "PORT must be a whole number from 1 to 65535, not 'x'.\n"


def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    script = f'"{sys.executable}" -m arsenal_fast check | true'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == ""


def test_a_command_imports_only_what_it_needs() -> None:
    code = (
        "import sys; from arsenal_fast.cli import main; main.main(['check']);"
        "print(*{'asyncio', 'uvloop', 'ssl', 'orjson', 'hiredis'} & set(sys.modules), file=sys.stderr)"
    )
    assert program("-c", code).stderr.strip() == ""


WITHOUT_JSON = {
    "serve": "prints its log",
    "openapi": "prints JSON",
    "completion": "prints a script",
    "ledger backup": "writes the backup",
    "ledger restore": "prints nothing",
    "ledger export": "writes the events as CSV or JSON lines",
}


def commands(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command that has no further ones below it, but for ``token``, which mints."""
    below = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below or path == "token":
        yield path, parser
    for choices in below:
        for name, each in choices.items():
            yield from commands(each, f"{path} {name}".strip())


def test_every_command_whose_output_a_program_may_read_has_json() -> None:
    without = {name for name, parser in commands(cli._parser()) if "--json" not in parser._option_string_actions}
    assert without == WITHOUT_JSON.keys()
