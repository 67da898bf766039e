"""The examples, as their README starts them: the real libraries against a running service."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import npm
from tests.support.service import LogReader, ServiceProcess, environment, free_port

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
LOCAL_URL: Final = "http://localhost:3655"
TIMEOUT_S: Final = 60.0
COMMANDS: Final = ("npm ci --ignore-scripts", *(f"npm run {script}" for script in ("backend", "web", "bot", "check")))


@pytest.fixture(scope="module")
def packages() -> Path:
    """The examples with what their lock file names; scripts of packages are not run."""
    npm.install(EXAMPLES)
    return EXAMPLES


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """A service as ``make run`` starts it, on another port."""
    with ServiceProcess() as running:
        yield running


@contextmanager
def started(directory: Path, *arguments: str, says: str, **env: str) -> Iterator[None]:
    """``npm run`` in a process group of its own, once it says so, until the block ends."""
    process = subprocess.Popen(
        ["npm", "run", *arguments],
        cwd=directory,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    assert process.stdout is not None
    log = LogReader(process.stdout)
    try:
        assert log.wait(lambda text: re.search(says, text) is not None, TIMEOUT_S), log.text()
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(TIMEOUT_S)
        log.close()


def fetched(url: str, method: str = "GET") -> tuple[int, str]:
    """Status and body of an answer."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=TIMEOUT_S) as response:
        return response.status, response.read().decode()


@pytest.mark.deploy("the guide's TypeScript is typed", tool="tsc --strict")
def test_the_examples_are_well_typed(packages: Path) -> None:
    npm.npm(packages, "run", "check")


@pytest.mark.deploy("the guide's backend, hook, page and bot work against the service", tool="Node, vitest")
def test_the_examples_own_tests_pass_and_start_what_they_need(packages: Path) -> None:
    report = npm.npm(packages, "run", "--silent", "test", "--", "--reporter=json", SERVICE_PYTHON=sys.executable)
    told: dict[str, Any] = json.loads(report[report.index("{") :])
    assert told["success"], told
    assert told["numPassedTests"] == told["numTotalTests"] > 0
    files = {Path(result["name"]).name.partition(".")[0] for result in told["testResults"]}
    assert files == {"backend", "useIdentity", "page", "bot"}


@pytest.mark.deploy("the examples start", tool="npm run backend")
def test_the_backend_starts_and_opens_a_session(packages: Path, service: ServiceProcess) -> None:
    port = free_port()
    with started(packages, "backend", says="serves on", IDENTITY_SERVICE=service.url, PORT=str(port)):
        status, body = fetched(f"http://127.0.0.1:{port}/sessions/123456", "POST")
        assert status == 201
        assert json.loads(body)["identity"] == "player-123456@sports.api.yourbook.com/v1:id"
        assert len(json.loads(fetched(f"http://127.0.0.1:{port}/sessions")[1])["sessions"]) == 1


@pytest.mark.deploy("the examples start", tool="npm run web")
def test_the_web_page_starts_and_its_modules_compile(packages: Path) -> None:
    port = free_port()
    options = ("--", "--host", "127.0.0.1", "--port", str(port), "--strictPort")
    with started(packages, "web", *options, says="ready in"):
        page = fetched(f"http://127.0.0.1:{port}/")[1]
        (module,) = re.findall(r'<script type="module" src="(/src/[^"]+)"', page)
        for path in (module, "/src/App.tsx", "/hooks/useIdentity.ts", "/src/style.css"):
            assert fetched(f"http://127.0.0.1:{port}{path}")[0] == 200, path


@pytest.mark.deploy("the examples start", tool="npm run bot")
def test_the_bot_starts_with_a_double_of_telegram_and_takes_a_bet(packages: Path, service: ServiceProcess) -> None:
    done = subprocess.run(
        ["npm", "run", "bot"],
        cwd=packages,
        env=environment(IDENTITY_SERVICE=service.url),
        input="/bet 10 on red\nhello\n",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    identity = "tg-4711@sports.api.yourbook.com/v1:id"
    assert f"bet {identity} 10 on red" in done.stdout
    assert f"Bet accepted!\nID: `{identity}`" in done.stdout
    assert "knows /bet only" in done.stdout


@pytest.mark.deploy("the curl cookbook works as it is written", tool="curl, jq")
def test_the_curl_cookbook_works(service: ServiceProcess, tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", (EXAMPLES / "curl.md").read_text(), re.DOTALL)
    assert len(blocks) > 8
    script = "\n".join(blocks)
    assert script.count(LOCAL_URL) == 1
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(LOCAL_URL, service.url)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ('"active"', '"revoked"', '"malformed"', "RateLimit-Policy", "prefix must be", '"healthy"'):
        assert words in done.stdout, words
    assert list(tmp_path.iterdir()) == []


def test_the_readme_names_every_script_and_no_other() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    scripts = set(json.loads((EXAMPLES / "package.json").read_text())["scripts"])
    assert set(re.findall(r"npm run (\w+)", readme)) | {"test"} == scripts
    for command in COMMANDS:
        assert f"\n{command}\n" in readme, command


def test_every_file_that_the_readme_names_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (EXAMPLES / "README.md").read_text())
    assert [link for link in links if not (EXAMPLES / link).exists()] == []
