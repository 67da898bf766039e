"""The example of a Python caller, against the running service."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.support.service import ServiceProcess, environment

CALLER: Final = Path(__file__).parents[3] / "examples" / "python" / "caller.py"


def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the example to its end."""
    command = [sys.executable, str(CALLER), *arguments]
    return subprocess.run(command, env=environment(**env), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.integration
def test_the_caller_opens_checks_and_ends_sessions(service: ServiceProcess, service_token: str) -> None:
    done = call(service.url, "11", "12", IDENTITY_TOKEN=service_token)
    assert done.returncode == 0, done.stderr
    assert "11 is player-11@sports.api.yourbook.com/v1:id until" in done.stdout
    assert done.stdout.count(" is active: ") == 2
    assert "are left to sub:python-client" in done.stdout


@pytest.mark.integration
def test_the_caller_names_what_is_wrong(service: ServiceProcess) -> None:
    done = call(service.url, "no spaces")
    assert done.returncode == 2
    assert done.stderr.startswith("/environments/0/run: ")
    assert call().returncode == 2
    assert call("http://127.0.0.1:1", "1").returncode == 1


@pytest.mark.integration
def test_the_caller_says_when_to_try_again() -> None:
    with ServiceProcess(RATE_LIMIT_REQUESTS="1") as limited:
        done = call(limited.url, "1")
    assert done.returncode == 75
    assert "try again in" in done.stderr
