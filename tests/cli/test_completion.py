"""The completion, in a real bash; tests/deploy/test_terminal.py has a real fish."""

import re
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
    (["completion", ""], ["bash", "zsh", "fish"]),
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


def test_fish_gets_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 0
    script = capsys.readouterr().out
    words = {path: set(line.split()) for path, line in re.findall(r'case "([^"]*)"\n +printf "%s\\n" (.*)', script)}
    assert words[""] >= {"serve", "ledger", "completion", "--help"}
    assert words[" ledger restore"] >= {"--live", "--yes", "--help"}
    assert words[" completion"] >= {"bash", "zsh", "fish"}
    (paths,) = re.findall(r'^ +case ("[^"]+"(?: "[^"]+")+)$', script, re.MULTILINE)
    assert {path for path in words if path} == set(re.findall(r'"([^"]+)"', paths))


def test_zsh_reads_the_same_script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("autoload -U +X bashcompinit && bashcompinit\n")
