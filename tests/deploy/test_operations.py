"""The commands of docs/operations.md, run unchanged against a running service and a real Redis."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess, environment

PAGE: Final = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ELSEWHERE: Final = re.compile(r"^(kubectl|docker|make|\.venv/)", re.MULTILINE)
"""What needs a cluster, an engine or the source tree begins with one of these, in a block of its own."""

_FENCED: Final = re.compile(r"^ *```bash\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
BLOCKS: Final = [textwrap.dedent(block) for block in _FENCED.findall(PAGE)]
HERE: Final = [block for block in BLOCKS if not ELSEWHERE.search(block)]


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a running service, which is also the operator's."""
    directory = tmp_path_factory.mktemp("operations")
    with RedisServer("--maxmemory-policy", "volatile-lfu") as redis:
        env = {
            **REPLICA,
            "REDIS_URL": redis.url,
            "DATABASE_URL": f"sqlite:///{directory}/data/identity.db",
            "CORS_ORIGIN": "https://sports.yourbook.com",
        }
        with ServiceProcess(**env) as service:
            programs = f"{sys.prefix}/bin:{os.environ['PATH']}"
            yield environment(**env, PATH=programs, PORT=str(service.port), DIRECTORY=str(directory))


def test_the_page_has_commands_that_can_be_run_here() -> None:
    assert len(HERE) > len(BLOCKS) / 2


@pytest.mark.deploy("the commands of the operations page work", tool="bash, curl, jq, redis-cli")
@pytest.mark.parametrize("block", HERE, ids=lambda block: re.sub(r"\W+", "-", block)[:40])
def test_a_block_of_the_page_works_as_it_stands(block: str, variables: dict[str, str]) -> None:
    script = block.replace("localhost:3655", f"localhost:{variables['PORT']}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=variables,
        cwd=variables["DIRECTORY"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


@pytest.mark.deploy("the commands of the operations page work", tool="bash, curl, jq, redis-cli")
@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ('redis-cli -u "$REDIS_URL" ping', "PONG"),
        ('redis-cli -u "$REDIS_URL" config get maxmemory-policy', "maxmemory-policy\nvolatile-lfu"),
    ],
)
def test_a_command_shows_what_the_page_says(command: str, shown: str, variables: dict[str, str]) -> None:
    (comment,) = re.findall(rf"^{re.escape(command)} +# (\S+?);?(?: .*)?$", PAGE, re.MULTILINE)
    done = subprocess.run(["bash", "-c", command], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == shown
    assert comment in shown
