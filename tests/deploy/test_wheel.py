"""The wheel of a release: built with only the locked packages, the same bytes each time, and it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

import arsenal_fast

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.deploy("the wheel is built apart, and built again the same", tool="pip, git")


def run(script: str, argument: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(ROOT / "scripts" / script), sys.executable, str(argument)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_built_wheel_is_verified_and_an_altered_one_is_not(tmp_path: Path) -> None:
    built = run("build-wheel.sh", tmp_path)
    assert built.returncode == 0, built.stderr
    wheel = tmp_path / f"arsenal_fast-{arsenal_fast.__version__}-py3-none-any.whl"
    assert built.stdout.split()[1:] == [wheel.name]
    verified = run("verify-wheel.sh", wheel)
    assert verified.returncode == 0, verified.stderr
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    assert run("verify-wheel.sh", wheel).returncode != 0
