"""The commands that call a running service: what they print, and their exit status."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import REPLICA, ServiceProcess, command, free_port

pytestmark = pytest.mark.integration

ID = "player-4711@sports.api.yourbook.com/v1:id"


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(**REPLICA) as running:
        yield running


def ask(service: ServiceProcess, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return command(*arguments, env={"ARSENAL_URL": service.url, **env})


def service_token(scope: str) -> str:
    minted = command("token", "--subject", "cli", "--rate-limit", "1000", "--scope", scope, env=REPLICA)
    assert minted.returncode == 0, minted.stderr
    return minted.stdout.strip()


def test_an_identity_is_printed_alone_and_is_valid(service: ServiceProcess) -> None:
    issued = ask(service, "id", "--prefix", "player", "--run", "4711")
    assert (issued.returncode, issued.stdout, issued.stderr) == (0, f"{ID}\n", "")
    validated = ask(service, "validate", ID)
    assert validated.returncode == 0
    assert validated.stdout.split()[:2] == ["active", ID]


def test_json_is_the_answer_of_the_service(service: ServiceProcess) -> None:
    issued = json.loads(ask(service, "id", "--ttl", "600", "--json").stdout)
    assert (issued["ttl"], issued["metadata"]["prefix"]) == (600, "unknown")
    verdicts = json.loads(ask(service, "validate", issued["id"], "--json").stdout)
    assert [each["valid"] for each in verdicts["results"]] == [True]
    assert json.loads(ask(service, "limits", "--json").stdout)["limit"] == 100


def test_one_identity_that_is_not_valid_makes_the_status_1(service: ServiceProcess) -> None:
    ask(service, "id", "--prefix", "player", "--run", "4711")
    answer = ask(service, "validate", ID, "nonsense")
    assert answer.returncode == 1
    assert [line.split()[0] for line in answer.stdout.splitlines()] == ["active", "malformed"]


def test_identities_are_read_from_stdin(service: ServiceProcess) -> None:
    asked = [sys.executable, "-m", "arsenal_fast", "validate", "--url", service.url, "-"]
    answer = subprocess.run(asked, input=f"a\n{ID}\n", capture_output=True, text=True, check=False)
    assert [line.split()[1] for line in answer.stdout.splitlines()] == ["a", ID]


def test_what_the_service_refuses_is_said_with_every_fault(service: ServiceProcess) -> None:
    answer = ask(service, "id", "--prefix", "a-b", "--ttl", "ten")
    assert (answer.returncode, answer.stdout) == (1, "")
    first, *faults = answer.stderr.splitlines()
    assert first.startswith("arsenal-fast: 400 Bad Request: ")
    assert {fault.split(":")[0].strip() for fault in faults} == {"prefix", "ttl"}


@pytest.mark.parametrize("by_file", [False, True])
def test_a_token_comes_from_a_file_or_the_environment(service: ServiceProcess, by_file: bool, tmp_path: Path) -> None:
    ask(service, "id", "--prefix", "player", "--run", "4711")
    assert ask(service, "revoke", ID).returncode == 1
    token = tmp_path / "token"
    token.write_text(f"{service_token('revoke')}\n")
    given = ["--token-file", str(token)] if by_file else []
    env = {} if by_file else {"ARSENAL_TOKEN": token.read_text()}
    revoked = ask(service, "revoke", ID, *given, **env)
    assert (revoked.returncode, revoked.stdout) == (0, f"revoked  {ID}\n")
    assert ask(service, "validate", ID).stdout.split()[0] == "revoked"


def test_a_prefix_is_revoked_only_with_yes_where_there_is_no_terminal(service: ServiceProcess) -> None:
    arguments = ("revoke", "--prefix", "other", "--issued-before", "2026-01-01T00:00:00Z")
    token = service_token("revoke")
    asked = ask(service, *arguments, ARSENAL_TOKEN=token)
    assert asked.returncode == 2
    assert "--yes does it" in asked.stderr
    assert ask(service, *arguments, "--yes", ARSENAL_TOKEN=token).stdout == "revoked  other\n"


WRONG = [
    (["revoke"], "name an identity"),
    (["revoke", ID, "--issued-before", "2026-01-01T00:00:00Z"], "name an identity"),
    (["revoke", "--prefix", "player"], "name an identity"),
    (["id", "--url", "file:///etc/passwd"], "no http or https URL"),
    (["id", "--token-file", "/nowhere/token"], "/nowhere/token can't be read: No such file"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_usage_is_2_and_names_what_is_wrong(arguments: list[str], words: str) -> None:
    answer = command(*arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert words in answer.stderr


def test_no_answer_is_69() -> None:
    answer = command("limits", "--url", f"http://127.0.0.1:{free_port()}")
    assert (answer.returncode, answer.stdout) == (69, "")
    assert "does not answer: " in answer.stderr


def test_over_the_limit_is_75() -> None:
    with ServiceProcess(RATE_LIMIT_REQUESTS="1") as limited:
        assert ask(limited, "id").returncode == 0
        refused = ask(limited, "id")
        assert refused.returncode == 75
        assert "try again in" in refused.stderr
        left = ask(limited, "limits")
        assert left.stdout.strip().endswith("0 of 1 requests in 3600 s are left")


def test_other_commands_do_not_load_the_http_client() -> None:
    text = "import sys, arsenal_fast.cli.main as m; m._parser(); sys.exit('urllib.request' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0
