"""The thread that writes the log: order, whole lines, bounds, and that no thread waits for stderr's reader."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from arsenal_fast.observability import log_writer
from arsenal_fast.observability.log_writer import LogWriter

PATIENCE = 10.0  # seconds after which a test fails instead of hanging


class Pipe:
    """Takes what is written; what is unreal: it has room for everything, unless it is held."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()
        """A write has begun."""

    def write(self, octets: bytes) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE)
        self.written.append(octets)

    @property
    def lines(self) -> list[str]:
        return b"".join(self.written).decode().splitlines()


@pytest.fixture
def held() -> Iterator[Pipe]:
    pipe = Pipe()
    pipe.open.clear()
    yield pipe
    pipe.open.set()


def test_lines_are_written_together_in_their_order_and_none_is_torn(held: Pipe) -> None:
    writer = LogWriter(held.write)
    for number in range(1000):
        writer.put(f"{number:>99}")
    held.open.set()
    assert writer.flush(PATIENCE)
    assert [int(line) for line in held.lines] == list(range(1000))
    assert len(held.written) < 100
    assert all(len(piece) <= select.PIPE_BUF and piece.endswith(b"\n") for piece in held.written)


def test_a_line_longer_than_a_pipe_takes_at_once_is_a_piece_by_itself() -> None:
    pipe = Pipe()
    writer = LogWriter(pipe.write)
    lines = ["a", "b" * 2 * select.PIPE_BUF, "c"]
    for line in lines:
        writer.put(line)
    assert writer.flush(PATIENCE)
    assert pipe.lines == lines
    assert f"{lines[1]}\n".encode() in pipe.written


def test_without_a_reader_lines_are_dropped_counted_and_told_of_when_there_is_room(held: Pipe) -> None:
    writer = LogWriter(held.write, max_lines=10)
    writer.dropped_line = "{} left out".format
    writer.put("first")
    assert held.reached.wait(PATIENCE)  # the thread has the first line and is stuck with it
    for number in range(100):
        writer.put(str(number))  # returns, although no reader reads
    assert writer.dropped == 90
    held.open.set()
    assert writer.flush(PATIENCE)
    assert held.lines == ["first", *map(str, range(10)), "90 left out"]
    writer.put("again")
    assert writer.flush(PATIENCE)
    assert held.lines[-1] == "again", "they are reported once"
    assert writer.dropped == 90, "the count never goes back"


def test_long_lines_are_bounded_by_their_characters(held: Pipe) -> None:
    writer = LogWriter(held.write, max_characters=1000)
    writer.put("first")
    assert held.reached.wait(PATIENCE)
    for _ in range(10):
        writer.put("x" * 600)
    assert writer.dropped == 8
    held.open.set()
    assert writer.flush(PATIENCE)
    writer.put("x")
    assert writer.flush(PATIENCE)
    assert held.lines[-1] == "x", "there is room again"


def test_a_flush_gives_up_after_its_time(held: Pipe) -> None:
    writer = LogWriter(held.write)
    writer.put("never read")
    assert not writer.flush(timeout=0.01)
    assert held.written == []


def test_lines_of_a_write_that_fails_count_as_dropped_and_are_told_of_when_it_works_again() -> None:
    written: list[bytes] = []
    broken = True

    def write(octets: bytes) -> None:
        if broken:
            raise OSError(28, "No space left on device")
        written.append(octets)

    writer = LogWriter(write)
    writer.dropped_line = "{} left out".format
    for line in "abc":
        writer.put(line)
        assert writer.flush(PATIENCE)
    assert writer.dropped == 3
    broken = False
    writer.put("d")
    assert writer.flush(PATIENCE)
    assert b"".join(written) == b"d\n3 left out\n"


def test_without_a_line_there_is_no_thread_and_a_flush_returns() -> None:
    before = threading.active_count()
    assert LogWriter(print).flush(0)
    assert threading.active_count() == before


def test_a_finalizer_that_logs_within_put_does_not_lock_itself_out(held: Pipe) -> None:
    class Line(str):
        """Puts another line while it is being put."""

        def __len__(self) -> int:
            writer.put("inner")
            return super().__len__()

    writer = LogWriter(held.write)
    writer.put(Line("outer"))
    held.open.set()
    assert writer.flush(PATIENCE)
    assert sorted(held.lines)[0] == "inner"


def test_the_thread_takes_no_signals(held: Pipe) -> None:
    masks: list[set[int]] = []
    writer = LogWriter(lambda _: masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))))
    writer.put("x")
    assert writer.flush(PATIENCE)
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD} <= masks[0]


FORKS: str = """
import os
from arsenal_fast.observability.log_writer import STDERR
STDERR.put("x" * 300_000)  # more than a pipe holds, and nobody reads it
STDERR.put("of the parent")
if not os.fork():
    os.dup2(1, 2)
    STDERR.put("of the child")
    os._exit(0 if STDERR.flush(10) else 1)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_forked_child_has_a_thread_of_its_own_and_none_of_the_lines_of_its_parent() -> None:
    # Python 3.12 and newer warn of the fork, on the stderr that nobody reads.
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"of the child\n"
        assert process.wait(PATIENCE) == 0


def stderr_on(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "_STDERR", descriptor)


def in_a_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("blocking", [True, False])
def test_all_octets_are_written_also_where_stderr_was_made_non_blocking(
    blocking: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    stderr_on(writing, monkeypatch)
    octets = b"x" * 300_000  # more than a pipe holds

    def write() -> None:
        log_writer.to_stderr(octets)
        os.close(writing)

    thread = in_a_thread(write)
    with open(reading, "rb") as file:
        assert file.read() == octets
    thread.join(PATIENCE)
