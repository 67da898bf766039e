"""A real master, a replica and three sentinels on free ports of 127.0.0.1; they are ended with the test."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import redis_server
from tests.support.redis_server import RedisServer, ask

SERVICE = "identities"
PATIENCE = 20.0  # seconds until they know each other, or a failover is over
DOWN_AFTER = 300  # ms that a master is silent before a sentinel takes it for dead


class Sentinels:
    """``servers``: the first master and its replica. Each of the sentinels takes ``password``, if there is one."""

    def __init__(self, *, password: str = "", sentinel_password: str = "") -> None:
        self._password = password
        self._sentinel_password = sentinel_password
        own = ("--requirepass", password, "--masterauth", password) if password else ()
        hasty = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        master = RedisServer(*own, *hasty)
        replica = RedisServer(*own, *hasty, "--replicaof", f"127.0.0.1 {master.port}")
        self.servers = [master, replica]
        self.ports: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._directory = Path(tempfile.mkdtemp(prefix="af-sentinels-"))

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        for number in range(3):
            self._start_sentinel(number)
        self._until(self._is_whole)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.__exit__(kind, error, trace)
        shutil.rmtree(self._directory, ignore_errors=True)

    def url(self, *, service: str = SERVICE, sentinel_password: str | None = None) -> str:
        """The REDIS_URL of the service."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        credentials = f":{self._password}@" if self._password else ""
        given = self._sentinel_password if sentinel_password is None else sentinel_password
        query = f"?sentinel_password={given}" if given else ""
        return f"redis+sentinel://{credentials}{hosts}/{service}/0{query}"

    def name(self, server: RedisServer) -> bool:
        """Whether any of the sentinels that run names this server as the master."""
        running = [number for number, process in enumerate(self._processes) if process.poll() is None]
        replies = [self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE, number=number) for number in running]
        return [b"127.0.0.1", b"%d" % server.port] in replies

    def fail_over(self) -> None:
        """Promote the replica, as an operator does; returns at once."""
        assert self.command("SENTINEL", "FAILOVER", SERVICE) == b"OK"

    def kill_sentinel(self, number: int) -> None:
        """SIGKILL by its own pid."""
        self._processes[number].kill()
        self._processes[number].wait()

    def command(self, *arguments: str, number: int = 0) -> object:
        """One command to a sentinel, blocking."""
        with socket.create_connection(("127.0.0.1", self.ports[number]), timeout=PATIENCE) as connection:
            if self._sentinel_password:
                ask(connection, "AUTH", self._sentinel_password)
            return ask(connection, *arguments)

    def _start_sentinel(self, number: int) -> None:
        port = redis_server.free_port()
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {self._directory}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0].port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        if self._password:
            lines.append(f"sentinel auth-pass {SERVICE} {self._password}")
        if self._sentinel_password:
            lines += [f"requirepass {self._sentinel_password}", f"sentinel sentinel-pass {self._sentinel_password}"]
        path = self._directory / f"sentinel-{number}.conf"
        path.write_text("\n".join(lines) + "\n")
        with (self._directory / f"log-{number}").open("ab") as log:
            self._processes.append(
                subprocess.Popen([redis_server.binary(), str(path), "--sentinel"], stdout=log, stderr=log)
            )
        self.ports.append(port)

    def _is_whole(self) -> bool:
        """Whether each sentinel knows the replica, which is in step, and both others."""
        for number in range(3):
            try:
                reply = self.command("SENTINEL", "MASTER", SERVICE, number=number)
            except OSError:
                return False
            if not isinstance(reply, list):
                return False
            told = dict(zip(reply[::2], reply[1::2], strict=True))
            if (told[b"num-slaves"], told[b"num-other-sentinels"]) != (b"1", b"2"):
                return False
        told_of = self.servers[1].command("INFO", "replication", password=self._password)
        return isinstance(told_of, bytes) and b"master_link_status:up" in told_of

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "the sentinels do not find each other"
            time.sleep(0.02)  # nobody announces it
