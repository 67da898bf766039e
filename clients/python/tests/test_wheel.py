"""The wheel builds, says that it is typed, and has the version that requests name."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from arsenal_identity.settings import VERSION

PROJECT: Final = Path(__file__).parents[1]


@pytest.mark.integration
def test_the_wheel_has_the_package_its_types_and_its_licence(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(PROJECT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel = tmp_path / f"arsenal_identity-{VERSION}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    modules = {path.name for path in (PROJECT / "src" / "arsenal_identity").iterdir() if path.is_file()}
    assert "py.typed" in modules
    assert {f"arsenal_identity/{name}" for name in modules} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)
