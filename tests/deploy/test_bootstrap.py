"""scripts/bootstrap-prod.sh: the guide's one command, with a docker that starts the service without containers."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from arsenal_fast.config.load import load
from tests.support.service import free_port

pytestmark = pytest.mark.deploy("one command brings up, checks and keeps a stack", tool="bash, curl, git, redis-server")

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "bootstrap-prod.sh"
NEEDED = (
    *("bash", "sh", "curl", "git", "sed", "grep", "tail", "head", "od", "tr", "base64", "cat", "chmod", "mv"),
    *("dirname", "sleep", "redis-server", "redis-cli"),
)


class Machine:
    """A machine for the script: a PATH with few programs, a docker, a working directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.home = directory / "home"
        self.bin = directory / "bin"
        for made in (self.state, self.home, self.bin):
            made.mkdir()
        for tool in NEEDED:
            path = shutil.which(tool)
            assert path is not None, f"{tool} is missing"
            (self.bin / tool).symlink_to(path)
        docker = self.bin / "docker"
        docker.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.support.stand_in_docker "$@"\n')
        docker.chmod(0o755)
        self.port = free_port()

    def clone(self) -> Path:
        """What a clone has, with a port of our own in its example."""
        clone = self.directory / "clone"
        clone.mkdir()
        for part in ("docker-compose.yml", "Dockerfile"):
            shutil.copy(ROOT / part, clone)
        for part in ("deploy", "scripts"):
            shutil.copytree(ROOT / part, clone / part)
        shutil.copy(ROOT / ".env", clone, follow_symlinks=False)
        text = (ROOT / ".env.production.example").read_text(encoding="utf-8")
        (clone / ".env.production.example").write_text(text.replace("PORT=3655", f"PORT={self.port}"))
        return clone

    def repository(self) -> str:
        """The URL of a git repository with that on its main branch."""
        clone = self.clone()
        author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*author, "commit", "-qm", "All"]):
            subprocess.run(["git", *command], cwd=clone, check=True)
        return f"file://{clone}"

    def run(
        self, *arguments: str, cwd: Path, script: Path | None = None, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script's file, or what comes on its standard input."""
        command = ["bash", str(script)] if script else ["bash", "-s", "--"]
        return subprocess.run(
            [*command, *arguments],
            cwd=cwd,
            env={"PATH": str(self.bin), "HOME": str(self.home), "DOCKER_STATE": str(self.state), **env},
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        """The commands that docker got so far."""
        file = self.state / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def end(self) -> None:
        """End what docker has started, by its own PIDs."""
        file = self.state / "pids"
        pids = [int(line) for line in file.read_text().split()] if file.exists() else []
        for pid in pids:
            with_grace(pid)


def with_grace(pid: int) -> None:
    """SIGTERM, and return when it has gone."""
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 15
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, f"{pid} does not end"
            time.sleep(0.01)  # there is no event for the end of another process's child
    except (ProcessLookupError, FileNotFoundError):
        return


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.end()


def production_file(clone: Path) -> dict[str, str]:
    lines = (clone / ".env.production").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def health(machine: Machine) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{machine.port}/api/health", timeout=10) as answer:
        told: dict[str, object] = json.load(answer)
        return told


def test_a_fresh_clone_becomes_a_healthy_service_with_secrets_of_its_own(machine: Machine) -> None:
    clone = machine.clone()
    done = machine.run(script=clone / "scripts" / "bootstrap-prod.sh", cwd=machine.home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert health(machine)["status"] == "healthy"
    assert re.findall(r"^  (\d+)  \S+?(/api\S+)$", done.stdout, re.MULTILINE) == [
        ("200", "/api/health"),
        ("200", "/api/v1/id?prefix=test"),
        ("200", "/api/v1/id?prefix=player&run=test"),
    ]
    assert (clone / ".env.production").stat().st_mode & 0o777 == 0o600
    config = load(production_file(clone))
    assert config.warnings == ()
    assert not any(secret in done.stdout + done.stderr for secret in config.secrets())
    assert "change-me" not in (clone / ".env.production").read_text()


def test_run_again_it_keeps_every_secret_and_every_edit(machine: Machine) -> None:
    clone = machine.clone()
    script = clone / "scripts" / "bootstrap-prod.sh"
    assert machine.run(script=script, cwd=clone).returncode == 0
    file = clone / ".env.production"
    file.write_text(file.read_text().replace("RATE_LIMIT_REQUESTS=100", "RATE_LIMIT_REQUESTS=200"))
    file.chmod(0o644)
    before = file.read_bytes()
    done = machine.run(script=script, cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o777 == 0o600
    assert machine.calls.count("compose up -d") == 2


def test_two_machines_have_different_secrets(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        machine = Machine(tmp_path / name)
        clone = machine.clone()
        machine.run(script=clone / "scripts" / "bootstrap-prod.sh", cwd=clone, DOCKER_FAULT="compose up -d")
        files.append(production_file(clone))
    assert files[0]["JWT_SECRET"] != files[1]["JWT_SECRET"]
    assert files[0]["REDIS_URL"] != files[1]["REDIS_URL"]


def test_piped_into_bash_outside_a_clone_it_clones(machine: Machine) -> None:
    done = machine.run(
        stdin=SCRIPT.read_text(),
        cwd=machine.home,
        ARSENAL_REPOSITORY=machine.repository(),
        API_BASE_URL="https://identity.example.org",
        CORS_ORIGIN="https://www.example.org",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert health(machine)["status"] == "healthy"
    written = production_file(machine.home / "arsenal-identity")
    assert written["API_BASE_URL"] == "https://identity.example.org"
    assert written["CORS_ORIGIN"] == "https://www.example.org"
    again = machine.run(stdin=SCRIPT.read_text(), cwd=machine.home, ARSENAL_REPOSITORY="file:///nowhere")
    assert again.returncode == 0, again.stdout + again.stderr
    assert production_file(machine.home / "arsenal-identity") == written


def test_a_copied_example_gets_secrets_and_keeps_its_edits(machine: Machine) -> None:
    clone = machine.clone()
    text = (clone / ".env.production.example").read_text()
    own = "a-secret-of-the-operator-that-is-long-enough"
    text = text.replace("change-me-to-the-output-of-openssl-rand-base64-48", own)
    (clone / ".env.production").write_text(text.replace("https://sports.yourbook.com", "https://www.example.org"))
    machine.run(script=clone / "scripts" / "bootstrap-prod.sh", cwd=clone, DOCKER_FAULT="compose up -d")
    written = production_file(clone)
    assert written["JWT_SECRET"] == own
    assert written["CORS_ORIGIN"] == "https://www.example.org"
    assert re.fullmatch(r"redis://:[0-9a-f]{64}@redis:6379/1", written["REDIS_URL"])


@pytest.mark.parametrize("inside", [True, False], ids=["in a clone", "outside of one"])
def test_a_dry_run_changes_nothing(machine: Machine, inside: bool) -> None:
    url = machine.repository()
    directory = machine.directory / "clone" if inside else machine.home
    before = sorted(directory.rglob("*"))
    done = machine.run("--dry-run", stdin=SCRIPT.read_text(), cwd=directory, ARSENAL_REPOSITORY=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("would run: docker compose up -d" if inside else "would run: git clone") in done.stdout
    assert sorted(directory.rglob("*")) == before
    assert set(machine.calls) <= {"info", "compose version", "compose ps --quiet identity-service"}


def test_a_download_that_breaks_off_does_nothing(machine: Machine) -> None:
    clone, text = machine.clone(), SCRIPT.read_text()
    for size in range(0, len(text) - len('main "$@"\n') + 1, 997):
        machine.run(stdin=text[:size], cwd=clone)
    assert machine.calls == []
    assert not (clone / ".env.production").exists()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("info", "Docker does not answer"),
        ("compose version", "Docker has no compose plugin"),
        ("compose up -d", "docker compose up failed"),
    ],
)
def test_a_failure_of_docker_is_reported_in_one_sentence(machine: Machine, fault: str, told: str) -> None:
    done = machine.run(stdin=SCRIPT.read_text(), cwd=machine.clone(), DOCKER_FAULT=fault)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"bootstrap-prod: {told}")


@pytest.mark.parametrize("tool", ["docker", "curl"])
def test_a_missing_tool_is_named(machine: Machine, tool: str) -> None:
    (machine.bin / tool).unlink()
    done = machine.run(stdin=SCRIPT.read_text(), cwd=machine.clone())
    assert (done.returncode, done.stderr.splitlines()[-1][:24]) == (1, f"bootstrap-prod: {tool} is missing"[:24])


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_port_that_is_in_use_is_named_before_anything_is_started(machine: Machine, quote: str) -> None:
    clone = machine.clone()
    example = clone / ".env.production.example"
    text = example.read_text(encoding="utf-8")
    example.write_text(text.replace(f"PORT={machine.port}", f"PORT={quote}{machine.port}{quote}"), encoding="utf-8")
    with socket.create_server(("127.0.0.1", machine.port)):
        done = machine.run(stdin=SCRIPT.read_text(), cwd=clone)
    assert done.returncode == 1
    assert f"Port {machine.port} is in use" in done.stderr
    assert "compose up -d" not in machine.calls


def test_a_stack_that_does_not_become_healthy_shows_its_log(machine: Machine) -> None:
    clone = machine.clone()
    done = machine.run(stdin=SCRIPT.read_text(), cwd=clone, DOCKER_LOSES_REDIS="yes", ARSENAL_TIMEOUT="2")
    assert done.returncode == 1
    assert "bootstrap-prod: Not healthy after 2 s" in done.stderr
    assert "compose logs --tail 20 identity-service redis" in machine.calls


def test_a_directory_that_is_something_else_is_left_alone(machine: Machine) -> None:
    (machine.home / "arsenal-identity").mkdir()
    done = machine.run(stdin=SCRIPT.read_text(), cwd=machine.home)
    assert done.returncode == 1
    assert "set ARSENAL_DIRECTORY" in done.stderr
    assert list((machine.home / "arsenal-identity").iterdir()) == []


def test_an_unknown_option_is_wrong_usage(machine: Machine) -> None:
    done = machine.run("--force", stdin=SCRIPT.read_text(), cwd=machine.clone())
    assert (done.returncode, machine.calls) == (2, [])
    assert done.stderr.startswith("usage:")
