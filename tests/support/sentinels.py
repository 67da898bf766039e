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
from tests.support.certificates import Pair
from tests.support.redis_server import RedisServer, ask

SERVICE = "identities"
PATIENCE = 20.0  # seconds until they know each other, or a failover is over
DOWN_AFTER = 300  # ms that a master is silent before a sentinel takes it for dead


class Sentinels:
    """``servers``: the first master and its replica.

    ``pair``: of TLS, which all of them speak among each other, and the URL is of then; commands of tests go without.
    """

    def __init__(self, *, password: str = "", sentinel_password: str = "", pair: Pair | None = None) -> None:
        self._password = password
        self._sentinel_password = sentinel_password
        self._tls: dict[str, str] = {}
        if pair is not None:
            files = {"cert": pair.certificate, "key": pair.key, "ca-cert": pair.certificate}
            self._tls = {f"tls-{name}-file": str(path) for name, path in files.items()}
            self._tls |= {"tls-auth-clients": "no", "tls-replication": "yes"}
        options = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", **self._tls}
        if password:
            options |= {"requirepass": password, "masterauth": password}
        self.places = [redis_server.free_port() for _ in range(2)] if pair is not None else []
        """The TLS ports of the servers."""
        master = self._server(0, options)
        leader = self.places[0] if self.places else master.port
        replica = self._server(1, options | {"replicaof": f"127.0.0.1 {leader}"})
        self.servers = [master, replica]
        self.places = self.places or [master.port, replica.port]
        self.ports: list[int] = []
        self._url_ports: list[int] = []
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
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._url_ports)
        credentials = f":{self._password}@" if self._password else ""
        given = self._sentinel_password if sentinel_password is None else sentinel_password
        query = f"?sentinel_password={given}" if given else ""
        scheme = "rediss+sentinel" if self._tls else "redis+sentinel"
        return f"{scheme}://{credentials}{hosts}/{service}/0{query}"

    def name(self, server: RedisServer) -> bool:
        """Whether any of the sentinels that run names this server as the master."""
        running = [number for number, process in enumerate(self._processes) if process.poll() is None]
        replies = [self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE, number=number) for number in running]
        return [b"127.0.0.1", b"%d" % self.places[self.servers.index(server)]] in replies

    def fail_over(self) -> None:
        """Promote the replica, as an operator does; returns at once."""
        assert self.command("SENTINEL", "FAILOVER", SERVICE) == b"OK"

    def promote(self, server: RedisServer) -> bool:
        """Begin to promote a replica unless that is under way; returns whether a sentinel names it as the master.

        Called again and again: on a machine that stands still sentinels find no good replica, or give it up.
        """
        if self.name(server):
            return True
        self.command("SENTINEL", "FAILOVER", SERVICE)
        return False

    def roles(self) -> tuple[RedisServer, RedisServer]:
        """The master by the sentinels, and its replica."""
        master, replica = self.servers if self.name(self.servers[0]) else self.servers[::-1]
        return master, replica

    def join(self, server: RedisServer, master: RedisServer) -> None:
        """Make it the replica of the master, as a sentinel does after a while; returns when all know that."""
        server.command("REPLICAOF", "127.0.0.1", self.places[self.servers.index(master)], password=self._password)
        self._until(self._is_whole)

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

    def _server(self, number: int, options: dict[str, str]) -> RedisServer:
        if self._tls:
            options = options | {"tls-port": str(self.places[number])}
        return RedisServer(*(each for name, text in options.items() for each in (f"--{name}", text)))

    def _start_sentinel(self, number: int) -> None:
        port = redis_server.free_port()
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {self._directory}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.places[0]} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        self._url_ports.append(redis_server.free_port() if self._tls else port)
        if self._tls:
            lines += [f"tls-port {self._url_ports[number]}", *(f"{name} {text}" for name, text in self._tls.items())]
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
            if (told[b"num-slaves"], told[b"num-other-sentinels"], told[b"flags"]) != (b"1", b"2", b"master"):
                return False
        told_of = self.roles()[1].command("INFO", "replication", password=self._password)
        return isinstance(told_of, bytes) and b"master_link_status:up" in told_of

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "the sentinels do not find each other"
            time.sleep(0.02)  # nobody announces it
