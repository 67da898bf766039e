"""What installs the service: its metadata, what its messages recommend, and where its source is."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from arsenal_fast import REPOSITORY

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"(?:github\.com|githubusercontent\.com|ghcr\.io|--repo)[/ ]([A-Za-z0-9-]+)/arsenal-identity")


def tracked(root: Path) -> list[Path]:
    """The text files of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    files = [root / name for name in listed.splitlines() if not name.endswith((".png", ".lock"))]
    return [file for file in files if file.is_file()]


def owners(files: list[Path]) -> set[str]:
    """Whose repository and images they name."""
    return {owner for file in files for owner in NAMED.findall(file.read_text("utf-8", "replace"))}


def test_all_files_name_one_owner() -> None:
    assert owners([file for file in tracked(ROOT) if file.name != "test_install.py"]) == {REPOSITORY.split("/")[3]}


def test_the_owner_is_set_by_one_command(tmp_path: Path) -> None:
    for file in tracked(ROOT):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    files = [tmp_path / file.relative_to(ROOT) for file in tracked(ROOT) if file.name != "test_install.py"]
    subprocess.run(["scripts/set-repository.sh", "Some-Org"], cwd=tmp_path, check=True)
    assert owners(files) == {"Some-Org", "some-org"}
    assert owners([tmp_path / "k8s/base/deployment.yaml"]) == {"some-org"}
    assert (tmp_path / "scripts/bootstrap-prod.sh").stat().st_mode & 0o111
    assert subprocess.run(["scripts/set-repository.sh", "a/b"], cwd=tmp_path, check=False).returncode == 2


def test_the_metadata_says_where_the_project_is_and_what_it_runs_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Homepage"] == REPOSITORY
    assert all(url.startswith(REPOSITORY) for url in project["urls"].values())
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(project["classifiers"])


def test_what_leaves_the_repository_has_no_relative_link() -> None:
    """A wheel and a package of npm show their description where no file of the repository is beside it."""
    for project in (".", "clients/python", "clients/typescript"):
        readme = "README.md"
        if (metadata := ROOT / project / "pyproject.toml").is_file():
            readme = tomllib.loads(metadata.read_text())["project"]["readme"]
        links = re.findall(r"\]\(([^)]+)\)", (ROOT / project / readme).read_text())
        assert links
        assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_no_message_recommends_a_package_of_our_name_from_an_index() -> None:
    """Nobody has registered it for us: what is there is somebody else's."""
    texts = [*(ROOT / "arsenal_fast").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "scripts").glob("*.sh")]
    found = [file.name for file in texts if re.search(r"(pip|pipx|uv tool) install '?arsenal", file.read_text())]
    assert found == []
