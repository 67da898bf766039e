"""A real redis-server on a free port of 127.0.0.1, in a directory of its own, without persistence.

No pytest in here: load tests and benchmarks use it too. REDIS_SERVER may name another binary.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import hiredis

START_TIMEOUT = 10.0  # seconds
_TAKEN = "Address already in use"
_NO_TLS = re.compile(r"'tls-[^\n]*\n *Bad directive|finding TLS support")  # Redis 6, Redis 8 and Valkey


class NoTlsError(RuntimeError):
    """The server that REDIS_SERVER names knows no TLS; a test that needs it is skipped (conftest.py)."""


class RedisServer:
    """Started by ``with``; ``port`` and ``unix_path`` stay the same over restarts."""

    def __init__(self, *options: str, port: int = 0) -> None:
        self._binary = binary()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="af-redis-"))
        self.unix_path = str(self._directory / "redis.sock")
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def running(self) -> bool:
        """Whether it was started, and not killed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start, empty, and return when it answers.

        A client's connection may have the port by chance, for a moment: then it is tried again.
        """
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        arguments += ["--unixsocket", self.unix_path, "--save", "", "--appendonly", "no"]
        for option in self._options:
            arguments += shlex.split(option) or [option]  # Redis 6 wants the words of a value one by one
        deadline = time.monotonic() + START_TIMEOUT
        while (log_text := self._try_to_start(arguments, deadline)) is not None:
            if _TAKEN in log_text and time.monotonic() < deadline:
                time.sleep(0.1)  # nobody announces that it is free again
                continue
            if "REDIS_SERVER" in os.environ and _NO_TLS.search(log_text):
                raise NoTlsError(f"{redis_version()} was built without TLS")
            raise RuntimeError(f"{self._binary} does not start: {log_text[-500:]}")

    def _try_to_start(self, arguments: Sequence[str], deadline: float) -> str | None:
        """Start a process; return what it has written if it does not answer, or None."""
        with (self._directory / "log").open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen([self._binary, *arguments], stdout=log, stderr=log)
        while True:
            try:
                self.command("PING")
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    return (self._directory / "log").read_bytes()[begin:].decode(errors="replace")
                time.sleep(0.005)  # there is no event for a listening socket
            else:
                return None

    def kill(self) -> None:
        """SIGKILL by its own pid: connections are cut, the data is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # ends a stopped process, too
            process.wait()

    def pause(self) -> None:
        """SIGSTOP: the kernel still accepts connections for it, but nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def command(self, *arguments: str | bytes | int, password: str = "") -> object:
        """One command over a connection of its own, blocking; error replies come back as values."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_TIMEOUT) as connection:
            if password:
                ask(connection, "AUTH", password)
            return ask(connection, *arguments)

    def configure(self, settings: Mapping[str, str]) -> None:
        """CONFIG SET, one at a time: several at once need Redis 7."""
        for name, value in settings.items():
            reply = self.command("CONFIG", "SET", name, value)
            assert reply == b"OK", reply

    def flush(self) -> None:
        """Delete all data and scripts."""
        self.command("FLUSHALL")
        self.command("SCRIPT", "FLUSH")


def ask(connection: socket.socket, *arguments: str | bytes | int) -> object:
    """One command over this connection, blocking; an error reply comes back as a value."""
    reader = hiredis.Reader()
    connection.sendall(hiredis.pack_command(arguments))  # type: ignore[arg-type]  # its stub wants one item
    while (reply := reader.gets()) is False:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("Redis has closed the connection")
        reader.feed(data)
    return reply


def binary() -> str:
    """The path of redis-server."""
    name = os.environ.get("REDIS_SERVER", "redis-server")
    binary = shutil.which(name)
    if binary is None:
        raise RuntimeError(
            f"{name} is not there: install it (Debian: apt-get install redis-server) or set REDIS_SERVER."
        )
    return binary


def redis_version() -> str:
    """Name and version of redis-server as it says them: ``Redis 7.0.15``, ``Valkey 8.1.8``."""
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"(\w+) server v=([0-9.]+)", said)
    return f"{found[1]} {found[2]}" if found else "an unknown Redis"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
