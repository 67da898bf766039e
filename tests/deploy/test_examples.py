"""The examples of the guide's integrations, with the real libraries against a running service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import npm
from tests.support.http_client import clients
from tests.support.loops import run
from tests.support.service import REPLICA, ServiceProcess, command

EXAMPLES: Final = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def packages() -> Path:
    """The examples with what their lock file names; scripts of packages are not run."""
    npm.install(EXAMPLES)
    return EXAMPLES


@pytest.fixture(scope="module")
def service_token() -> str:
    arguments = ("--subject", "examples", "--scope", "issue", "--rate-limit", "100000", "--days", "1")
    done = command("token", *arguments, env=REPLICA)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(**REPLICA, PROTECTED_PREFIXES="player", RATE_LIMIT_REQUESTS="140") as running:
        yield running


@pytest.fixture(scope="module")
def exhausted() -> Iterator[ServiceProcess]:
    """A service with another secret, whose only request of the hour is gone."""

    async def use_up(port: int) -> None:
        async with clients(port, 1) as (client,):
            assert (await client.get("/api/v1/id")).status == 200
            assert (await client.get("/api/v1/id")).status == 429

    with ServiceProcess(RATE_LIMIT_REQUESTS="1") as running:
        run(use_up(running.port))
        yield running


@pytest.mark.deploy("the guide's TypeScript is typed", tool="tsc --strict")
def test_the_examples_are_well_typed(packages: Path) -> None:
    npm.npm(packages, "run", "check")


@pytest.mark.deploy("the guide's backend, hook and bot work against the service", tool="Node, vitest")
@pytest.mark.parametrize("example", ["backend", "useIdentity", "bot"])
def test_an_example_works_against_the_service(
    packages: Path, service: ServiceProcess, exhausted: ServiceProcess, service_token: str, example: str
) -> None:
    report = npm.npm(
        packages,
        *("run", "--silent", "test", "--", "--reporter=json", f"test/{example}.test"),
        IDENTITY_SERVICE=service.url,
        IDENTITY_SERVICE_EXHAUSTED=exhausted.url,
        **{"IDENTITY_TOKEN": service_token} if example == "backend" else {},
    )
    told: dict[str, Any] = json.loads(report[report.index("{") :])
    assert told["success"], told
    assert told["numPassedTests"] == told["numTotalTests"] > 0
