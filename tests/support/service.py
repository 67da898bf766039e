"""The service as an operator starts it: ``python -m arsenal_fast serve`` on a free port of 127.0.0.1.

No pytest in here: load tests use it too. The process gets the variables that it is given and little else, so
that what the shell has set changes nothing. What it logs is read by a thread, so that a test can wait for a
sentence of the log as for any other event.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

START_TIMEOUT = 15.0  # seconds
STOP_TIMEOUT = 30.0  # seconds; DRAIN_SECONDS is 25
_LAST_WORDS = 4000  # characters of the log in a failure
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
"""Not SSL_CERT_FILE and SSL_CERT_DIR: they would hide that a certificate is not trusted as people run it."""

REPLICA = {
    "API_BASE_URL": "https://identity.api.yourbook.com",
    "JWT_SECRET": "a-secret-of-the-tests-and-of-nobody-else",
}
"""What replicas of one service have in common, so that a token of one is a token of all."""

PROGRAM = (sys.executable, "-m", "arsenal_fast")


class ServiceProcess:
    """Started by ``with``, and ready then; leaving it sends SIGTERM and holds that the exit status is 0."""

    def __init__(self, *, program: Sequence[str] = PROGRAM, **env: str) -> None:
        """``env``: variables of the service. By default: state in memory, no delay before draining."""
        self.port = int(env.get("PORT", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [*program, "serve"]
        self._env = environment(**{"DRAIN_DELAY": "0", **env, "PORT": str(self.port)})
        self._process: subprocess.Popen[bytes] | None = None
        self._log: LogReader | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = self.stop()
        if error is None:  # what went wrong inside is the better report
            assert status in (0, None), f"the service left with {status}: {self.last_words}"
            assert "Traceback" not in self.stderr, f"the service logged an exception: {self.last_words}"

    @property
    def pid(self) -> int:
        """The process that was started: a worker, or the supervisor of several."""
        assert self._process is not None, "the service is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process that was started is still there."""
        return self._process is not None and self._process.poll() is None

    @property
    def worker_pids(self) -> dict[int, int]:
        """The newest process of each slot, by what the supervisor logs."""
        found = re.findall(r"worker (\d+) is process (\d+)", self.stderr)
        return {int(slot): int(pid) for slot, pid in found}

    @property
    def serving_pids(self) -> list[int]:
        """The processes that answer requests: the workers, or the only one."""
        return list(self.worker_pids.values()) or [self.pid]

    @property
    def stderr(self) -> str:
        """All that the service wrote to stdout and stderr so far."""
        return "" if self._log is None else self._log.text()

    @property
    def last_words(self) -> str:
        """The end of ``stderr``, for a failure's report."""
        return self.stderr[-_LAST_WORDS:]

    def wait_for_log(self, pattern: str, count: int = 1, timeout: float = START_TIMEOUT) -> None:
        """Return once the log has so many matches; AssertionError after the time-out or when the log has ended."""
        assert self._log is not None, "the service was never started"
        if not self._log.wait(lambda text: len(re.findall(pattern, text)) >= count, timeout):
            raise AssertionError(f"the log does not say {pattern!r} {count} times: {self.last_words}")

    def start(self) -> None:
        """Start, in a process group of its own, and return when every worker says that it serves."""
        self._process = subprocess.Popen(
            self._command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
        )
        assert self._process.stdout is not None
        self._log = LogReader(self._process.stdout)
        workers = int(self._env.get("WORKERS", "1"))
        try:
            self.wait_for_log("serving on", workers)
            if workers > 1:  # what ``worker_pids`` reads
                self.wait_for_log(r"worker \d+ is process", workers)
        except BaseException as error:
            status = self._process.poll()
            self.kill()
            raise RuntimeError(f"the service does not start (exit status {status}): {self.last_words}") from error

    def send_signal(self, number: signal.Signals) -> None:
        """To the process that was started."""
        assert self._process is not None, "the service is not running"
        self._process.send_signal(number)

    def send_signal_to_group(self, number: signal.Signals) -> None:
        """To all its processes, as a terminal and systemd do."""
        os.killpg(self.pid, number)

    def signal_worker(self, pid: int, number: signal.Signals) -> None:
        """To one of ``worker_pids``."""
        assert pid in self.worker_pids.values(), "that is none of our workers"
        os.kill(pid, number)

    def stop_reading(self) -> None:
        """Leave the log unread from now on, as a stuck collector does."""
        assert self._log is not None, "the service was never started"
        self._log.reading.clear()

    def read_on(self) -> None:
        """End ``stop_reading``."""
        assert self._log is not None, "the service was never started"
        self._log.reading.set()

    def pause(self) -> None:
        """SIGSTOP to the processes that answer requests; new ones wait in the kernel. Returns when all have stopped."""
        for pid in self.serving_pids:
            os.kill(pid, signal.SIGSTOP)
            while _state(pid) != "T":
                time.sleep(0.001)  # there is no event for the stop of another process's child

    def resume(self) -> None:
        """SIGCONT."""
        for pid in self.serving_pids:
            os.kill(pid, signal.SIGCONT)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """The exit status, once it has left."""
        assert self._process is not None, "the service is not running"
        status = self._process.wait(timeout)
        self._forget()
        return status

    def stop(self) -> int | None:
        """SIGTERM by its own pid; the exit status, or None where it has been stopped already."""
        if self._process is None:
            return None
        self.send_signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL by its own pid; workers leave when their supervisor is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def _forget(self) -> None:
        self._process = None
        assert self._log is not None
        self._log.close()


def environment(**env: str) -> dict[str, str]:
    """The variables for a process of ours: these, and of the shell's only what any program needs."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # No ledger unless a test sets one: its default is a file below the current directory, kept over runs.
    return {**inherited, "HOST": "127.0.0.1", "DATABASE_URL": "none", **env}


def command(
    *arguments: str, program: Sequence[str] = PROGRAM, env: Mapping[str, str] | None = None, timeout: float = 20
) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end."""
    return subprocess.run(
        [*program, *arguments],
        env=environment(**env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _state(pid: int) -> str:
    """The letter of proc(5): T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class LogReader:
    """What a process writes, kept by a thread that ends with the last writer."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.reading = threading.Event()
        """Cleared: nothing is read after the bytes of the next write, so that the pipe fills up."""
        self.reading.set()
        self._stream = stream
        self._octets = bytearray()
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="service log", daemon=True)
        self._thread.start()

    def text(self) -> str:
        with self._news:
            return self._octets.decode(errors="replace")

    def wait(self, condition: Callable[[str], bool], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        with self._news:
            while not condition(self._octets.decode(errors="replace")):
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    return False
                self._news.wait(left)
        return True

    def close(self) -> None:
        self.reading.set()
        self._thread.join(STOP_TIMEOUT)

    def _follow(self) -> None:
        while octets := os.read(self._stream.fileno(), 65536):
            with self._news:
                self._octets += octets
                self._news.notify_all()
            self.reading.wait()
        with self._news:
            self._ended = True
            self._news.notify_all()
        self._stream.close()
