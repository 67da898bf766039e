"""The commands at a real terminal, as a person types them."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_completion import CASES
from tests.support.service import PROGRAM, ServiceProcess, command, environment


def typed(answer: str, *arguments: str, **env: str) -> tuple[int, str]:
    """Exit status and all that a command writes to a terminal on which somebody types this."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments], env=environment(**env), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    os.write(master, answer.encode())
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:  # the end of a terminal whose other side is closed
        pass
    os.close(master)
    return process.wait(20), shown.decode()


@pytest.mark.deploy("commands ask before they delete", tool="a terminal (pty)")
def test_prune_and_restore_ask_and_do_nothing_without_a_yes(tmp_path: Path) -> None:
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/identity.db"}
    with ServiceProcess(**env) as service:
        assert command("id", "--url", service.url).returncode == 0
        assert command("ledger", "backup", str(tmp_path / "copy.db"), env=env).returncode == 0
    for arguments in (("prune", "--days", "0"), ("restore", str(tmp_path / "copy.db"))):
        status, shown = typed("n\n", "ledger", *arguments, **env)
        assert status == 2
        assert "Go on? [y/N]" in shown
        assert "nothing was done" in shown
        assert typed("y\n", "ledger", *arguments, **env)[0] == 0


@pytest.mark.deploy("a running service is called from a terminal", tool="bash, jq")
def test_the_commands_work_together_in_a_shell() -> None:
    script = """
    id=$(arsenal id --prefix player)
    arsenal validate "$id" >&2
    arsenal limits --json | jq -e '.remaining == 98' >&2
    arsenal id --json | jq -er .token
    """
    with ServiceProcess() as service:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f'arsenal() {{ {" ".join(PROGRAM)} "$@"; }}\n{script}'],
            env=environment(ARSENAL_URL=service.url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".") == 2


@pytest.mark.deploy("fish completes commands and options", tool="fish")
@pytest.mark.parametrize(("words", "proposed"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_fish_completes_commands_and_options(words: list[str], proposed: list[str], tmp_path: Path) -> None:
    script = tmp_path / "arsenal-fast.fish"
    script.write_text(command("completion", "fish").stdout)
    asked = f"source {script}; complete --do-complete 'arsenal-fast {' '.join(words)}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", asked], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stderr == ""
    assert set(proposed) <= set(done.stdout.split())
