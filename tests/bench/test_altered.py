"""The wrapper that alters a Python program: it burns CPU or turns the collector off, and changes nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import altered

MODULE = """
import gc, sys, time
for _ in range(100):
    sum(range(100_000))
print(gc.isenabled(), time.process_time(), *sys.argv[1:])
"""


def run(directory: Path, *options: str) -> tuple[str, float, list[str]]:
    """Whether the collector was on, the CPU seconds of the whole program, and its arguments."""
    (directory / "program.py").write_text(MODULE)
    command = [sys.executable, altered.__file__, *options, "program", "serve", "--port=1"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    enabled, seconds, *arguments = done.stdout.split()
    return enabled, float(seconds), arguments


@pytest.mark.integration
def test_burning_as_much_again_doubles_the_cpu_time(tmp_path: Path) -> None:
    plain, burned = run(tmp_path)[1], run(tmp_path, "--burn", "1")[1]
    assert 1.5 < burned / plain < 2.7


@pytest.mark.integration
@pytest.mark.parametrize(("options", "enabled"), [((), "True"), (("--no-gc",), "False"), (("--burn", "0.1"), "True")])
def test_the_module_runs_with_its_arguments_and_with_or_without_the_collector(
    options: tuple[str, ...], enabled: str, tmp_path: Path
) -> None:
    found, _, arguments = run(tmp_path, *options)
    assert (found, arguments) == (enabled, ["serve", "--port=1"])
