"""The supervisor with real processes: the end of any of them is handled by the others.

Each test runs a supervisor in a new interpreter, with a tiny ``serve`` from PROGRAM. The
processes write what they do as lines to one pipe, so that no test waits for a fixed time.
"""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arsenal_fast.server.supervisor import MAX_PAUSE, pause_before_restart
from tests.support.service import LogReader

PATIENCE = 20  # seconds after which a test fails instead of hanging

PROGRAM = """
import os, select, signal, sys
from arsenal_fast.config.load import load
from arsenal_fast.observability import logs
from arsenal_fast.server import supervisor

SIGNALS = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def obey(config, slot, counters, status=0):
    "Answer to signals until SIGTERM."
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    inherited = counters.read(slot).decode() or "-"
    counters.write(slot, b"of-%d" % os.getpid())
    say("ready", slot, os.getpid(), inherited)
    while (number := signal.sigwait(SIGNALS)) != signal.SIGTERM:
        say(signal.Signals(number).name, slot)
    say("stopped", slot)
    return status

def obey_and_wait(config, slot, counters):
    "Stop at HURRY, and not before."
    numbers = {signal.SIGTERM, signal.SIGINT, supervisor.HURRY}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    say("ready", slot, os.getpid(), "-")
    while (number := signal.sigwait(numbers)) != supervisor.HURRY:
        say(signal.Signals(number).name, slot)
    say("hurried", slot)
    return 0

def fail_in_the_stop(config, slot, counters):
    return obey(config, slot, counters, status=slot)

def be_stubborn(config, slot, counters):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("ready", slot, os.getpid(), "-")
    signal.pause()

def be_slow_to_start(config, slot, counters):
    say("ready", slot, os.getpid(), "-")
    signal.pause()

def exit_78(config, slot, counters):
    return 78

def exit_differently(config, slot, counters):
    "Both fail at first, for different reasons."
    if counters.read(slot):
        return obey(config, slot, counters)
    counters.write(slot, b"second")
    return 1 + slot

def crash(config, slot, counters):
    raise RuntimeError("no good")

def die_young(config, slot, counters):
    deaths = int(counters.read(slot) or b"0")
    if slot or deaths == 4:
        return obey(config, slot, counters)
    counters.write(slot, b"%d" % (deaths + 1))
    os.kill(os.getpid(), signal.SIGKILL)

def spied_select(*arguments):
    say("select", arguments[3])
    return real_select(*arguments)

def stopped_at_a_fork():
    os.kill(os.getpid(), signal.SIGTERM)
    return real_fork()

real_select, real_fork = select.select, os.fork
environ = dict(pair.split("=", 1) for pair in sys.argv[2:])
if environ.pop("spy", None):
    supervisor.select.select = spied_select
if environ.pop("stop", None):
    os.fork = stopped_at_a_fork
supervisor.STOP_MARGIN = float(environ.pop("margin", "60"))
supervisor.FIRST_PAUSE = 0.001
settings = load({"REDIS_URL": "redis://nowhere", "WORKERS": "2", "DRAIN_SECONDS": "0", **environ})
logs.setup(logs.formatter(settings.log_format, settings.secrets()), settings.log_level)
status = supervisor.run(settings, globals()[sys.argv[1]])
say("done", status)
sys.exit(status)
"""


class Supervised:
    """A running supervisor and what it and its workers say."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.reader = LogReader(self.process.stderr)
        self._output = self.process.stdout.fileno()
        self._buffer = b""

    def line(self) -> list[str] | None:
        """The words of the next line, or None when all processes that could say something are gone."""
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._output], [], [], PATIENCE)
            assert ready, f"nothing more is said after {PATIENCE} s; log:\n{self.log()}"
            octets = os.read(self._output, 4096)
            if not octets:
                return None
            self._buffer += octets
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode().split()

    def ready(self, count: int = 2) -> dict[int, int]:
        """Wait until so many workers are ready; the process of each slot."""
        lines = [self.line() for _ in range(count)]
        return {int(words[1]): int(words[2]) for words in lines if words and words[0] == "ready"}

    def rest(self) -> list[list[str]]:
        """All lines until all processes have ended and closed the log."""
        lines = list(iter(self.line, None))
        self.reader.close()
        return lines

    def log(self) -> str:
        """All that was logged so far; after ``rest`` that is all."""
        return self.reader.text()

    def logged(self, sentence: str, count: int = 1) -> None:
        """Wait until the log has it so many times."""
        assert self.reader.wait(lambda text: text.count(sentence) >= count, PATIENCE), self.log()

    def close(self) -> None:
        """Workers end with their supervisor; those that a test made stubborn are killed by their numbers."""
        self.process.kill()
        for pid in re.findall(r"worker \d+ is process (\d+)", self.log()):
            if _is_ours(int(pid)):
                os.kill(int(pid), signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.reader.close()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _is_ours(pid: int) -> bool:
    try:
        return b"be_stubborn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


Start = Callable[..., Supervised]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Supervised] = []

    def starter(*arguments: str) -> Supervised:
        running.append(Supervised(*arguments))
        return running[-1]

    yield starter
    for supervised in running:
        supervised.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_every_worker_and_ends_with_0(start: Start, number: signal.Signals) -> None:
    supervised = start("obey", "WORKERS=3")
    assert set(supervised.ready(3)) == {0, 1, 2}
    supervised.process.send_signal(number)
    *stopped, done = supervised.rest()
    assert sorted(stopped) == [["stopped", "0"], ["stopped", "1"], ["stopped", "2"]]
    assert done == ["done", "0"]
    assert supervised.process.wait(PATIENCE) == 0


def test_a_second_stop_tells_the_workers_to_hurry(start: Start) -> None:
    supervised = start("obey_and_wait")
    supervised.ready()
    supervised.process.terminate()
    assert sorted(filter(None, (supervised.line(), supervised.line()))) == [["SIGTERM", "0"], ["SIGTERM", "1"]]
    supervised.process.terminate()
    *hurried, done = supervised.rest()
    assert sorted(hurried) == [["hurried", "0"], ["hurried", "1"]]
    assert done == ["done", "0"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_is_one_and_no_second_one(start: Start, number: signal.Signals) -> None:
    supervised = start("obey_and_wait")
    supervised.ready()
    os.killpg(supervised.process.pid, number)
    supervised.logged(f"stopping: {number.name}")  # the workers got the signal before that
    supervised.process.terminate()
    lines = supervised.rest()
    assert sorted(words for words in lines if words[0] == "hurried") == [["hurried", "0"], ["hurried", "1"]]
    assert lines[-1] == ["done", "0"]
    assert supervised.log().count("without further delay") == 1


def test_a_worker_that_can_not_hear_yet_is_not_ended_by_a_hurry(start: Start) -> None:
    supervised = start("be_slow_to_start")
    for pid in supervised.ready().values():
        os.kill(pid, signal.SIGUSR1)
    supervised.process.terminate()
    assert supervised.rest() == [["done", "0"]]


def test_a_dead_worker_is_replaced_in_its_slot_and_finds_what_the_last_one_counted(start: Start) -> None:
    supervised = start("obey")
    workers = supervised.ready()
    os.kill(workers[1], signal.SIGKILL)
    words = supervised.line()
    assert words is not None
    assert words[:2] == ["ready", "1"]
    assert int(words[2]) not in workers.values()
    assert words[3] == f"of-{workers[1]}"
    supervised.logged("died: SIGKILL; replaced in 0.0 s")
    supervised.process.terminate()
    assert supervised.rest()[-1] == ["done", "0"]


def test_a_worker_that_is_stopped_alone_is_replaced(start: Start) -> None:
    supervised = start("obey")
    os.kill(supervised.ready()[0], signal.SIGTERM)
    assert supervised.line() == ["stopped", "0"]
    assert set(supervised.ready(1)) == {0}


def test_sighup_reaches_every_worker_and_stops_none(start: Start) -> None:
    supervised = start("obey")
    supervised.ready()
    supervised.process.send_signal(signal.SIGHUP)
    assert sorted(filter(None, (supervised.line(), supervised.line()))) == [["SIGHUP", "0"], ["SIGHUP", "1"]]
    supervised.process.terminate()
    assert supervised.rest()[-1] == ["done", "0"]


def test_workers_end_when_their_supervisor_is_killed(start: Start) -> None:
    supervised = start("obey")
    supervised.ready()
    supervised.process.kill()
    # The pipe ends only when the last process that can write into it is gone.
    assert sorted(supervised.rest()) == [["stopped", "0"], ["stopped", "1"]]


def test_a_worker_that_does_not_stop_in_time_is_killed_and_told_of(start: Start) -> None:
    supervised = start("be_stubborn", "margin=0.02")
    supervised.ready()
    supervised.process.terminate()
    assert supervised.rest() == [["done", "1"]]
    assert supervised.log().count("did not stop in time: killed") == 2


def test_a_worker_that_fails_in_the_stop_makes_the_stop_a_failure(start: Start) -> None:
    supervised = start("fail_in_the_stop")
    supervised.ready()
    supervised.process.terminate()
    assert supervised.rest()[-1] == ["done", "1"]


def test_a_worker_told_to_stop_before_it_can_hear_ends_with_0(start: Start) -> None:
    supervised = start("be_slow_to_start")
    supervised.ready()
    supervised.process.terminate()
    assert supervised.rest() == [["done", "0"]]


def test_a_stop_in_the_middle_of_a_fork_is_neither_lost_nor_taken_by_the_child(start: Start) -> None:
    supervised = start("obey", "stop=1")
    lines = supervised.rest()
    assert lines[-1] == ["done", "0"]
    assert supervised.log().count("is process") == 2


@pytest.mark.parametrize(("serve", "status"), [("exit_78", 78), ("crash", 70)])
def test_a_failure_common_to_all_first_processes_is_the_exit_status(start: Start, serve: str, status: int) -> None:
    supervised = start(serve)
    assert supervised.rest() == [["done", str(status)]]
    assert supervised.process.wait(PATIENCE) == status
    assert f"no worker could start (exit status {status})" in supervised.log()


def test_a_crash_leaves_its_traceback_in_the_log(start: Start) -> None:
    supervised = start("crash")
    supervised.rest()
    assert "RuntimeError: no good" in supervised.log()


def test_failures_that_differ_are_tried_again(start: Start) -> None:
    supervised = start("exit_differently")
    assert set(supervised.ready()) == {0, 1}
    supervised.process.terminate()
    assert supervised.rest()[-1] == ["done", "0"]


def test_a_worker_that_dies_young_again_and_again_is_replaced_ever_later(start: Start) -> None:
    supervised = start("die_young")
    assert set(supervised.ready()) == {0, 1}
    supervised.logged("worker 0 is process", 5)
    pauses = re.findall(r"worker 0 .* replaced in ([0-9.]+) s", supervised.log())
    assert len(pauses) == 4
    supervised.process.terminate()
    assert supervised.rest()[-1] == ["done", "0"]


@pytest.mark.parametrize(
    ("deaths", "pause"),
    [(0, 0.0), (1, 0.0), (2, 0.1), (3, 0.2), (4, 0.4), (7, 3.2), (8, MAX_PAUSE), (10**9, MAX_PAUSE)],
)
def test_the_pause_doubles_up_to_a_bound(deaths: int, pause: float) -> None:
    assert pause_before_restart(deaths) == pytest.approx(pause)


def test_an_idle_supervisor_sleeps_without_an_end_and_holds_no_socket(start: Start) -> None:
    supervised = start("obey", "spy=1")
    lines = [supervised.line() for _ in range(3)]
    assert ["select", "None"] in lines
    descriptors = Path(f"/proc/{supervised.process.pid}/fd").iterdir()
    assert not [target for target in map(os.readlink, descriptors) if target.startswith("socket:")]
    supervised.process.terminate()
    assert supervised.rest()[-1] == ["done", "0"]
