"""One script pins third-party images to digests in all files; a stand-in replaces the registry."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NAMED = [
    "Dockerfile",
    "docker-compose.yml",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("k8s/**/*.yaml")),
]

DIGEST = re.compile("@sha256:[0-9a-f]{64}")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that name images, and the script."""
    for name in (*NAMED, "scripts/pin-images.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def pin(copy: Path, digit: str, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script with a skopeo that knows one digest for every image, and records its arguments."""
    tools = copy / "tools"
    tools.mkdir(exist_ok=True)
    skopeo = tools / "skopeo"
    skopeo.write_text(f'#!/bin/sh\necho "$*" >>{copy}/asked\necho {answer or f"sha256:{digit * 64}"}\n')
    skopeo.chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}"}
    command = ["sh", str(copy / "scripts/pin-images.sh"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def images(copy: Path) -> dict[str, list[str]]:
    """By file, the images of others."""
    found = {name: re.findall(r"(?:image:|BASE_IMAGE=) *(\S+)", (copy / name).read_text()) for name in NAMED}
    return {
        name: [image for image in named if "$" not in image and "arsenal" not in image]
        for name, named in found.items()
        if named
    }


def test_every_image_of_others_gets_its_digest_and_later_a_newer_one(copy: Path) -> None:
    before = images(copy)
    for digit in ("a", "b"):
        done = pin(copy, digit)
        assert done.returncode == 0, done.stderr
        expected = {
            name: [f"{image.partition('@')[0]}@sha256:{digit * 64}" for image in named]
            for name, named in before.items()
        }
        assert images(copy) == expected
        assert pin(copy, digit, "--check").returncode == 0
    asked = (copy / "asked").read_text()
    assert "docker://docker.io/library/redis:7-alpine" in asked
    assert "docker://docker.io/prom/prometheus:" in asked
    assert "docker://docker.io/library/python:3.14-slim" in asked
    assert "arsenal" not in asked


def test_nothing_but_the_images_is_changed(copy: Path) -> None:
    pin(copy, "a")
    for name in NAMED:
        was, became = (DIGEST.sub("", (root / name).read_text()) for root in (ROOT, copy))
        assert became == was
        if name != "Dockerfile":
            list(yaml.safe_load_all((copy / name).read_text()))


def test_without_a_digest_for_each_no_file_is_changed(copy: Path) -> None:
    done = pin(copy, "a", answer="unauthorized")
    assert (done.returncode, "no digest of" in done.stderr) == (1, True)
    assert images(copy) == images(ROOT)


def test_images_without_a_digest_are_listed(copy: Path) -> None:
    pin(copy, "a")
    dockerfile = copy / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(f"slim@sha256:{'a' * 64}", "slim"))
    done = pin(copy, "a", "--check")
    assert (done.returncode, done.stdout) == (1, "docker.io/library/python:3.14-slim\n")
