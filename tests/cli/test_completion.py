"""The completion, in a real bash."""

import shutil
import subprocess
from pathlib import Path

import pytest

from arsenal_fast.cli.main import main


def completed(script: str, *words: str) -> list[str]:
    """What bash proposes for the last word."""
    line = " ".join(f"'{word}'" for word in ("arsenal-fast", *words))
    asked = (
        f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _arsenal_fast; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run([shutil.which("bash") or "bash", "-c", asked], capture_output=True, text=True, check=True)
    return done.stdout.split()


CASES = [
    (["le"], ["ledger"]),
    (["ledger", "re"], ["restore"]),
    (["ledger", "restore", "--"], ["--help", "--live", "--yes"]),
    (["ledger", "export", "--format", "c"], ["csv"]),
    (["serve", "--po"], ["--port"]),
    (["token", "in"], ["inspect"]),
    (["completion", ""], ["bash", "zsh"]),
    (["validate", "--json", "--u"], ["--url"]),
]


@pytest.mark.parametrize(("words", "proposed"), CASES)
def test_commands_and_options_are_completed(
    words: list[str], proposed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert set(proposed) <= set(completed(script, *words))
    assert all(each.startswith(words[-1]) for each in completed(script, *words))


def test_zsh_reads_the_same_script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("autoload -U +X bashcompinit && bashcompinit\n")
