"""CPU time from /proc: the text forms, the process tree, and the choice between two sources."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import BenchError, processes
from bench.processes import (
    TICKS_PER_SECOND,
    CpuReading,
    Stat,
    parse_core,
    parse_schedstat,
    parse_stat,
    read_cpu,
    read_stats,
    spent,
    started,
    tree,
    wait_until,
)

TICK_US = 1_000_000 / TICKS_PER_SECOND
TAIL = "S 41 9 9 0 -1 4194560 1 2 3 4 150 25 7 3 20 0 1 0 8881 99999 1234 18446744073709551615 1 1 0"


@pytest.mark.parametrize("name", ["python", "a b", "odd) S 1 (name", "((", ""])
def test_a_stat_line_is_read_whatever_the_program_is_called(name: str) -> None:
    assert parse_stat(f"42 ({name}) {TAIL}") == Stat(parent=41, ticks=150 + 25 + 7 + 3, resident_pages=1234)


def test_schedstat_begins_with_the_nanoseconds_on_a_cpu() -> None:
    assert parse_schedstat("1044822582 489105 33\n") == 1_044_822_582


def test_a_core_is_busy_in_every_state_but_idle_and_iowait() -> None:
    text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 4 1000 2000 8 16 32 64 128\ncpu1 5 5 5 5 5 5 5 5 5 5\n"
    assert parse_core(text, 0) == 1 + 2 + 4 + 8 + 16 + 32
    with pytest.raises(BenchError, match="No core 7"):
        parse_core(text, 7)


def test_a_tree_has_descendants_of_every_depth_and_no_other_process() -> None:
    parents = {10: 1, 11: 10, 12: 11, 13: 12, 20: 1, 21: 20}
    stats = {pid: Stat(parent, 0, 0) for pid, parent in parents.items()}
    assert sorted(tree(10, stats)) == [10, 11, 12, 13]
    assert tree(99, stats) == []


def reading(ticks: int, **threads: int) -> CpuReading:
    return CpuReading(ticks, {(1, int(name[1:])): used for name, used in threads.items()})


def test_nanoseconds_are_believed_while_every_thread_lives() -> None:
    before, after = (reading(100, t1=1_000_000_000, t2=5_000), reading(400, t1=4_001_000_000, t2=5_000, t3=2_000))
    assert spent(before, after) == (3_001_002.0, "schedstat")


def test_ticks_are_believed_when_a_thread_has_ended() -> None:
    before, after = reading(100, t1=1_000_000_000, t2=5_000), reading(400, t1=4_000_000_000)
    assert spent(before, after) == (300 * TICK_US, "stat")


def test_ticks_are_believed_when_a_child_came_and_went_unseen() -> None:
    before, after = reading(100, t1=1_000_000_000), reading(500, t1=4_000_000_000)
    assert spent(before, after) == (400 * TICK_US, "stat")


def test_a_server_that_has_ended_gives_no_figure() -> None:
    with pytest.raises(BenchError, match="has ended"):
        read_cpu(2**22 + 1)  # above PID_MAX_LIMIT: never a process


def test_own_cpu_time_grows_with_work() -> None:
    before = read_cpu(os.getpid())
    sum(range(200_000))
    assert spent(before, read_cpu(os.getpid())).microseconds >= 0
    assert read_stats()[os.getpid()].resident_pages > 0


PARENT_AND_CHILD = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else signal.SIG_DFL)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
signal.pause()
"""


def run_and_fail(command: list[str], log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The program, and a pidfd of its child, after Ctrl-C within the block that ran it."""
    with contextlib.suppress(KeyboardInterrupt), started(command, {}, 0, log) as process:
        wait_until(lambda: log.read_bytes().endswith(b"\n"), process, log)
        child = os.pidfd_open(int(log.read_text()))
        assert os.sched_getaffinity(process.pid) == {0}
        raise KeyboardInterrupt
    return process, child


@pytest.mark.integration
@pytest.mark.parametrize(("temper", "signal_number"), [("meek", signal.SIGTERM), ("stubborn", signal.SIGKILL)])
def test_a_block_that_fails_leaves_no_process_behind(
    temper: str, signal_number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)
    process, child = run_and_fail([sys.executable, "-c", PARENT_AND_CHILD, temper], tmp_path / "program.log")
    assert process.returncode == -signal_number
    ended, _, _ = select.select([child], [], [], 5.0)  # a pidfd is readable once its process has ended
    os.close(child)
    assert ended


@pytest.mark.integration
def test_a_program_that_dies_at_once_is_reported_with_its_words(tmp_path: Path) -> None:
    log = tmp_path / "program.log"
    with (
        pytest.raises(BenchError, match=r"(?s)program did not become ready.*PORT is wrong"),
        started([sys.executable, "-c", "raise SystemExit('PORT is wrong')"], {}, 0, log) as process,
    ):
        wait_until(lambda: False, process, log)
