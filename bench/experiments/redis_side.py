"""A Redis to measure scripts with: its own CPU time per command, from its process and from its own counters."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import hiredis

from bench.processes import LOAD_CORE, SERVER_CORE, free_port, read_cpu, redis_command, spent, started, wait_until


class Spent(NamedTuple):
    """us of one command: of the whole process, and of it what the script ran (``INFO commandstats``)."""

    process: float
    script: float


def pack(*arguments: str | int | bytes) -> bytes:
    """One command."""
    command: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # its stub: tuples of one item
    return command


class MeasuredRedis:
    """One connection to a server of its own."""

    def __init__(self, port: int, pid: int) -> None:
        self._pid = pid
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._reader = hiredis.Reader()
        self.octets = b""
        """The last reply as it came."""

    def ask(self, *arguments: str | int | bytes) -> Any:
        return self.send(pack(*arguments))

    def send(self, command: bytes) -> Any:
        """The reply to a packed command."""
        self._socket.sendall(command)
        self.octets = b""
        while (reply := self._reader.gets()) is False:
            part = self._socket.recv(65536)
            self.octets += part
            self._reader.feed(part)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def measure(self, commands: Sequence[bytes]) -> Spent:
        """What each of these costs Redis, sent one by one."""
        self.ask("CONFIG", "RESETSTAT")
        before = read_cpu(self._pid)
        for command in commands:
            self.send(command)
        process = spent(before, read_cpu(self._pid)).microseconds
        statistics = self.ask("INFO", "commandstats").decode()
        line = next(line for line in statistics.splitlines() if line.startswith("cmdstat_evalsha:"))
        script = int(line.partition("usec=")[2].partition(",")[0])
        return Spent(process / len(commands), script / len(commands))


@contextmanager
def measured_redis() -> Iterator[MeasuredRedis]:
    """An empty Redis on one core, this process on the other."""
    with TemporaryDirectory(prefix="experiment-") as directory:
        port, log = free_port(), Path(directory) / "redis.log"
        allowed = os.sched_getaffinity(0)
        with started(redis_command(port), {}, LOAD_CORE, log) as process:
            wait_until(lambda: b"Ready to accept" in log.read_bytes(), process, log)
            os.sched_setaffinity(0, {SERVER_CORE})
            try:
                yield MeasuredRedis(port, process.pid)
            finally:
                os.sched_setaffinity(0, allowed)
