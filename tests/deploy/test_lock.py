"""The dependencies of the image: locked with hashes, exactly those that ``pyproject.toml`` needs."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import arsenal_fast

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LOCKS = [ROOT / "requirements" / name for name in ("runtime.lock", "build.lock")]
EXTRAS = ("postgresql", "eddsa", "otel")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked(lock: Path) -> dict[str, tuple[Requirement, list[str]]]:
    """Name -> the pin and its hashes."""
    text = re.sub(r"^ *#.*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    entries = [line.split("--hash=") for line in text.splitlines()]
    pins = [(Requirement(pin.strip()), [text.strip() for text in hashes]) for pin, *hashes in entries]
    return {canonicalize_name(requirement.name): (requirement, hashes) for requirement, hashes in pins}


def wanted(lock: Path) -> list[Requirement]:
    project = pyproject()
    if lock.name == "build.lock":
        return [Requirement(text) for text in project["build-system"]["requires"]]
    extras = [text for extra in EXTRAS for text in project["project"]["optional-dependencies"][extra]]
    return [Requirement(text) for text in [*project["project"]["dependencies"], *extras]]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_each_dependency_is_pinned_to_a_version_that_pyproject_allows(lock: Path) -> None:
    pins = locked(lock)
    for requirement in wanted(lock):
        pin, _ = pins[canonicalize_name(requirement.name)]
        (version,) = (specifier.version for specifier in pin.specifier)
        assert requirement.specifier.contains(version), f"{pin} is not {requirement}: run make lock"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_each_pin_is_exact_and_has_hashes(lock: Path) -> None:
    pins = locked(lock)
    assert pins
    for pin, hashes in pins.values():
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", text) for text in hashes), pin


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_place_to_download_from(lock: Path) -> None:
    assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links", lock.read_text(encoding="utf-8"))


@pytest.mark.deploy("locked dependencies have wheels for each Python and platform", tool="uv")
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_no_compiler_is_needed_on_any_supported_python_and_platform(python: str, platform: str, tmp_path: Path) -> None:
    install: list[str | Path] = [
        BIN / "uv",
        "pip",
        "install",
        "--no-config",
        "--dry-run",
        "--require-hashes",
        "--no-deps",
    ]
    wheels = ["--only-binary", ":all:", "--no-binary", "quantile-python"]
    where: list[str | Path] = ["--target", tmp_path / "none", "--python-version", python, "--python-platform", platform]
    done = subprocess.run([*install, *wheels, *where, "-r", LOCKS[0]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.deploy("bill of materials lists what is locked", tool="cyclonedx-py")
def test_the_bill_of_materials_lists_what_is_locked_and_is_reproducible(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "dist" / "b.json"]
    for file in files:
        subprocess.run([ROOT / "scripts" / "sbom.sh", BIN, file], check=True, capture_output=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    bill = json.loads(files[0].read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    whole = bill["metadata"]["component"]
    assert (whole["name"], whole["version"]) == ("arsenal-fast", arsenal_fast.__version__)
    listed = {canonicalize_name(component["name"]): component["version"] for component in bill["components"]}
    here = {
        name: next(iter(pin.specifier)).version
        for name, (pin, _) in locked(LOCKS[0]).items()
        if pin.marker is None or pin.marker.evaluate()
    }
    assert listed == here
    assert {component["ref"] for component in bill["dependencies"]} >= {"root-component"}
