"""npm, for tests with Node: the packages of a lock file, and the scripts of a package.json."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.support.service import environment

PATIENCE: Final = 240.0  # seconds: a cold cache


def install(directory: Path) -> None:
    """What the lock file names, no more and no less; scripts of packages are not run."""
    npm(directory, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")


def npm(directory: Path, *arguments: str, **env: str) -> str:
    """What it writes to stdout, when it has gone well."""
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not there: install it (Debian: apt-get install npm).")
    done = subprocess.run(
        ["npm", *arguments],
        cwd=directory,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"npm {' '.join(arguments)}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout
