"""Clients that code generators make of the OpenAPI document have the guide's calls, typed as they are answered."""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

import pytest

from arsenal_fast.api.openapi import document
from tests.support import npm
from tests.support.service import REPLICA, ServiceProcess, command, environment

ROOT: Final = Path(__file__).parents[2]
CALLERS: Final = Path(__file__).parent / "generators"
PACKAGES: Final = ("openapi-python-client==0.29.1", "mypy==2.4.1")
TYPESCRIPT: Final = (
    ("openapi-typescript", "openapi.json", "-o", "generated/openapi.ts"),
    ("openapi-ts", "-i", "openapi.json", "-o", "generated/hey"),
)
"""Generators of TypeScript, as their users call them."""
PARTS: Final = ("generated/models", "generated/api")


@pytest.fixture
def callers(tmp_path: Path) -> Path:
    """A copy of the callers, next to the document that the generators read."""
    shutil.copytree(CALLERS, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules", "generated"))
    (tmp_path / "openapi.json").write_text(json.dumps(document("http://localhost:3655")))
    return tmp_path


@pytest.mark.deploy("generated clients have the guide's calls", tool="openapi-typescript, hey-api, tsc --strict")
def test_generated_typescript_compiles_with_the_guides_calls(callers: Path) -> None:
    npm.install(callers)
    for generator in TYPESCRIPT:
        npm.npm(callers, "exec", "--no", "--", *generator)
    npm.npm(callers, "exec", "--no", "--", "tsc")


@pytest.mark.deploy("generated clients have the guide's calls", tool="openapi-python-client, mypy --strict")
def test_generated_python_compiles_with_the_guides_calls_and_runs(callers: Path) -> None:
    binaries = generator_venv() / "bin"
    generate = ("generate", "--path", "openapi.json", "--output-path", "generated", "--meta", "none")
    run(callers, binaries / "openapi-python-client", *generate, "--fail-on-warning", path=binaries)
    # generated/client.py itself, the same for every document, is not strict.
    run(callers, binaries / "mypy", "--strict", "--follow-imports=silent", "guide.py", *PARTS)
    with ServiceProcess(**REPLICA) as service:
        token = command("token", "--subject", "generated", "--rate-limit", "100", "--days", "1", env=REPLICA)
        run(callers, binaries / "python", "guide.py", service.url, token.stdout.strip())


def generator_venv() -> Path:
    """The generator's packages, apart from those of the service; kept in build/ for the next run."""
    directory = ROOT / "build" / f"openapi-python-client-{sys.version_info.major}.{sys.version_info.minor}"
    done = directory / "packages.txt"
    if not done.exists() or done.read_text() != "\n".join(PACKAGES):
        venv.create(directory, clear=True, with_pip=True)
        run(ROOT, directory / "bin" / "python", "-m", "pip", "install", "--quiet", *PACKAGES)
        done.write_text("\n".join(PACKAGES))
    return directory


def run(directory: Path, program: Path, *arguments: str, path: Path | None = None) -> None:
    """Run a program to its end, which must be a good one; ``path``: where it finds others, ruff for one."""
    env = environment()
    if path is not None:
        env["PATH"] = f"{path}:{env['PATH']}"
    done = subprocess.run(
        [program, *arguments], cwd=directory, env=env, capture_output=True, text=True, timeout=npm.PATIENCE, check=False
    )
    assert done.returncode == 0, f"{program.name}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
