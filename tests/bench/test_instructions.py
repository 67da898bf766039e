"""The count of instructions: how callgrind's log is read, and what trips the comparison."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import BenchError
from bench.instructions import EXIT_DEARER, LIMIT, collected, main, report

ROOT = Path(__file__).parents[2]
LOG = """==7== Events    : Ir
==7== Collected : 1234567
==7==
"""


def test_the_count_is_read_from_the_log() -> None:
    assert collected(LOG) == 1234567


def test_a_log_without_a_count_is_a_fault() -> None:
    with pytest.raises(BenchError, match="did not say"):
        collected("==7== Command: python")


def test_a_workload_that_executes_more_than_the_limit_is_dearer() -> None:
    before = {"one": 10_000.0, "two": 10_000.0, "three": 10_000.0}
    now = {"one": 10_000 * (1 + LIMIT) - 1, "two": 10_000 * (1 + LIMIT) + 1, "three": 10_000 * (1 - LIMIT) - 1}
    lines, dearer = report(now, before)
    assert dearer
    assert [line.split()[-1] for line in lines] == ["before", "dearer", "cheaper"]


def test_counts_alone_are_no_verdict() -> None:
    assert report({"one": 12_345.6}, None) == ([f"{'one':<16}{'12,346':>10}"], False)


@pytest.mark.parametrize(("count", "status"), [(100.0, 0), (103.0, EXIT_DEARER)])
def test_the_exit_status_says_whether_it_is_dearer(
    count: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = iter([{"cached-direct": 100.0}, {"cached-direct": count}])
    monkeypatch.setattr("bench.instructions.instructions", lambda *_: next(found))
    monkeypatch.setattr("bench.instructions.which", lambda _: "/usr/bin/valgrind")
    assert main(["--against", ".", "--only", "cached-direct"]) == status
    assert "cached-direct" in capsys.readouterr().out


def test_without_valgrind_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.instructions.which", lambda _: None)
    with pytest.raises(BenchError, match="make bench-instructions"):
        main([])


@pytest.mark.integration
def test_a_checkout_with_a_loop_more_in_each_request_is_refused(tmp_path: Path) -> None:
    """The proof that the gate sees a regression, by the real count of both."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    unneeded = shutil.ignore_patterns("__pycache__", ".build", "node_modules")
    for package in ("arsenal_fast", "bench", "tests"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=unneeded)
    file, line = tmp_path / "arsenal_fast/api/fastpath/recognized.py", "        clock = self.clock\n"
    text = file.read_text()
    assert line in text
    file.write_text(text.replace(line, f"        sum(range(100))\n{line}"))
    command = [sys.executable, "-m", "bench.instructions", "--against", str(ROOT), "--only", "cached-direct"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "dearer" in done.stdout) == (EXIT_DEARER, True), done.stdout + done.stderr
