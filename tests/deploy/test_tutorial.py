"""The tutorial as it is written: each command in a shell, each output as the page shows it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.support.service import REPLICA, ServiceProcess, environment, free_port

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = (DOCS / "tutorial.md").read_text()
BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
START: Final = re.compile(r"^((?:[A-Z_]+=\S+ )*)make run$")
MINT: Final = re.compile(r"^arsenal-fast token mint .*$", re.MULTILINE)

walked = pytest.mark.deploy("the tutorial works as it is written", tool="bash, curl, jq")


def steps() -> Iterator[tuple[str, str]]:
    """Each command of the page with what it shows, or with nothing."""
    for (kind, command), (next_kind, shown) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if kind == "bash":
            yield command, shown if next_kind in ("json", "text") else ""


@walked
def test_every_command_shows_what_the_page_says(tmp_path: Path) -> None:
    port = str(free_port())
    local = {"PORT": port, "DATABASE_URL": f"sqlite:///{tmp_path}/data/identity.db"}
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    starts = 0
    with ExitStack() as running:
        for command, shown in steps():
            if start := START.match(command.strip()):
                running.close()  # Ctrl-C
                variables = dict(each.split("=") for each in start[1].split())
                service = running.enter_context(ServiceProcess(**local, **variables))
                assert shown.strip().replace("localhost:3655", f"localhost:{port}") in (service.stderr if shown else "")
                starts += 1
                continue
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command.replace("localhost:3655", f"localhost:{port}")],
                cwd=tmp_path,
                env=environment(**local, PATH=os.environ["PATH"]),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stdout) == (0, shown), f"{command}\n{done.stdout}{done.stderr}"
    assert starts == 2
    assert {path.name for path in tmp_path.iterdir()} == {"data", ".venv"}, "the page removes what it has made"


@walked
@pytest.mark.parametrize("page", sorted(DOCS.glob("how-to/*.md")), ids=lambda page: page.stem)
def test_the_tokens_of_a_page_can_be_minted(page: Path, tmp_path: Path) -> None:
    env = environment(**REPLICA, PATH=f"{sys.prefix}/bin:{os.environ['PATH']}")
    for command in MINT.findall(page.read_text()):
        subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, check=True)
        assert list(tmp_path.glob("*.token"))
