"""The clients as their READMEs install them, and their examples as they are written, against a running service."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import TRUSTED_BY_SHELL
from tests.support import npm
from tests.support.service import ServiceProcess, environment

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = ROOT / "clients" / "python"
TYPESCRIPT: Final = ROOT / "clients" / "typescript"
LOCAL_URL: Final = "http://localhost:3655"
TIMEOUT_S: Final = 240.0  # of an installation with a cold cache


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """A service as ``make run`` starts it, on another port."""
    with ServiceProcess() as running:
        yield running


def run(directory: Path, *command: str) -> str:
    """Return what a command writes to stdout, when it has gone well."""
    env = environment(**TRUSTED_BY_SHELL)
    done = subprocess.run(
        command, cwd=directory, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def examples(project: Path, language: str, service: ServiceProcess) -> list[str]:
    """Return the examples of a README, for a service that runs elsewhere."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    assert len(blocks) > 2
    assert all(LOCAL_URL in block for block in blocks)
    return [block.replace(LOCAL_URL, service.url) for block in blocks]


@pytest.mark.deploy("the Python client is installed and its examples run", tool="pip, Python")
def test_the_python_client_works_as_its_readme_says(service: ServiceProcess, tmp_path: Path) -> None:
    copy = tmp_path / "client"  # pip builds in the source
    shutil.copytree(PYTHON, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "tests"))
    run(tmp_path, sys.executable, "-m", "venv", "venv")
    python = str(tmp_path / "venv" / "bin" / "python")
    run(tmp_path, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(copy))
    for example in examples(PYTHON, "python", service):
        run(tmp_path, python, "-c", example)
    told = run(tmp_path, python, str(ROOT / "examples/python/caller.py"), service.url, "123456", "654321")
    assert "player-654321@sports.api.yourbook.com/v1:id is active" in told
    assert "requests are left to" in told


@pytest.mark.deploy("the TypeScript client is packed and its examples run", tool="npm, Node")
def test_the_typescript_client_works_as_its_readme_says(service: ServiceProcess, tmp_path: Path) -> None:
    npm.install(TYPESCRIPT)
    report = npm.npm(TYPESCRIPT, "pack", "--json", "--silent", "--pack-destination", str(tmp_path))
    (packed,) = json.loads(report[report.index("[") :])
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    quiet = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
    npm.npm(tmp_path, "install", *quiet, f"./{packed['filename']}")
    for number, example in enumerate(examples(TYPESCRIPT, "ts", service)):
        (tmp_path / f"example-{number}.js").write_text(example)
        assert run(tmp_path, "node", f"example-{number}.js")
