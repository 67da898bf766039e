"""The shell scripts pass shellcheck."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for where in ("scripts", "deploy", "k8s") for path in ROOT.glob(f"{where}/**/*.sh"))


@pytest.mark.deploy("shell scripts have no known trap", tool="shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_shellcheck_finds_nothing(script: Path) -> None:
    found = subprocess.run(["shellcheck", "--severity=style", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
