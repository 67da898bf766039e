"""The set of k8s/components/redis-sentinel, by its own script on three loopback addresses: it forms, fails over, heals.

What is unreal: the addresses stand for the names of pods, and each container is a process.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.deploy.manifests import K8S
from tests.support.redis_server import ask
from tests.support.service import ServiceProcess, free_port

pytestmark = pytest.mark.deploy("set of sentinels forms, fails over, heals", tool="redis-server, busybox")

SCRIPT = K8S / "components/redis-sentinel/node.sh"
PASSWORD = "0123456789abcdef"
HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
PATIENCE = 60.0  # seconds; a failover takes some five
SHELLS = {"redis": ["sh"], "sentinel": ["busybox", "sh"]}  # dash, and the ash of the image


class Node:
    """A Redis and a sentinel, as in one pod. Both end with the block, by their pids."""

    def __init__(self, host: str, ports: dict[str, int], directory: Path) -> None:
        self.host = host
        self._ports = ports
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        self._env = {
            "PATH": os.environ["PATH"],
            "HOSTS": " ".join(HOSTS),
            "SELF": host,
            "REDISCLI_AUTH": PASSWORD,
            "REDIS_PORT": str(ports["redis"]),
            "SENTINEL_PORT": str(ports["sentinel"]),
            "SENTINEL_FILE": str(directory / "sentinel.conf"),
        }

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start both containers, one after the other, and return when both answer."""
        for program, shell in SHELLS.items():
            options = ["--bind", self.host, *(["--dir", str(self._directory)] if program == "redis" else [])]
            with (self._directory / f"{program}.log").open("ab") as log:
                command = [*shell, str(SCRIPT), program, *options]
                self._processes.append(subprocess.Popen(command, env=self._env, stdout=log, stderr=log))
            wait_for(partial(self.answers, program), f"{program} does not start; its log is in {self._directory}")

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes = []

    def command_lines(self) -> list[bytes]:
        return [Path(f"/proc/{process.pid}/cmdline").read_bytes() for process in self._processes]

    def answers(self, program: str) -> bool:
        return bool(self.ask(program, "PING") == b"PONG")

    def ask(self, program: str, *arguments: str) -> Any:
        """One command; None while nothing listens."""
        try:
            with socket.create_connection((self.host, self._ports[program]), timeout=5) as connection:
                ask(connection, "AUTH", PASSWORD)
                return ask(connection, *arguments)
        except OSError:
            return None

    @property
    def role(self) -> bytes:
        """``master`` or ``slave``, by its Redis."""
        reply = self.ask("redis", "ROLE")
        return bytes(reply[0]) if isinstance(reply, list) else b""

    def knows(self, others: int) -> bool:
        """Whether its sentinel knows so many other sentinels and replicas."""
        reply = self.ask("sentinel", "SENTINEL", "MASTER", "identities")
        if not isinstance(reply, list):
            return False
        told = dict(zip(reply[::2], reply[1::2], strict=True))
        return (told[b"num-other-sentinels"], told[b"num-slaves"]) == (b"%d" % others, b"%d" % others)


def wait_for(holds: Callable[[], object], why: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)  # nothing announces it


def test_a_set_forms_fails_over_and_takes_a_node_back_that_was_the_master(tmp_path: Path) -> None:
    settings = SCRIPT.with_name("redis.conf").read_bytes()
    ports = {"redis": free_port(), "sentinel": free_port()}
    places = ",".join(f"{host}:{ports['sentinel']}" for host in HOSTS)
    url = f"redis+sentinel://:{PASSWORD}@{places}/identities/0?sentinel_password={PASSWORD}"
    with ExitStack() as stack:
        nodes = []
        for host in HOSTS:
            (tmp_path / host).mkdir()
            nodes.append(stack.enter_context(Node(host, ports, tmp_path / host)))
        first, *others = nodes
        wait_for(lambda: all(node.knows(2) for node in nodes), "the sentinels do not find each other")
        assert [node.role for node in nodes] == [b"master", b"slave", b"slave"]
        assert not [line for node in nodes for line in node.command_lines() if PASSWORD.encode() in line]
        with ServiceProcess(REDIS_URL=url) as service:
            service.wait_for_log(f"the master identities of Redis is {first.host}:{ports['redis']}")
            first.kill()
            wait_for(lambda: [node.role for node in others].count(b"master") == 1, "nobody is promoted")
            promoted = next(node for node in others if node.role == b"master")
            service.wait_for_log(
                f"the master identities of Redis is {promoted.host}:{ports['redis']}", timeout=PATIENCE
            )
        first.start()
        wait_for(lambda: first.role == b"slave", "the old master does not follow")
        assert promoted.role == b"master"
        wait_for(lambda: all(node.knows(2) for node in nodes), "the set is not whole again")
    assert SCRIPT.with_name("redis.conf").read_bytes() == settings, "a sentinel has had it written again"


@pytest.mark.parametrize(
    ("environ", "arguments", "status", "told"),
    [
        ({"REDISCLI_AUTH": "p@ss"}, ["redis"], 78, "letters, digits"),
        ({}, [], 2, ""),
        ({}, ["nothing"], 64, "usage"),
        ({"HOSTS": ""}, ["redis"], 2, "HOSTS"),
    ],
)
def test_what_the_script_refuses(environ: dict[str, str], arguments: list[str], status: int, told: str) -> None:
    env = {"PATH": os.environ["PATH"], "HOSTS": "127.0.0.11", "SELF": "127.0.0.11", "REDISCLI_AUTH": PASSWORD}
    ports = {"SENTINEL_PORT": str(free_port())}
    command = ["sh", str(SCRIPT), *arguments]
    done = subprocess.run(command, env=env | ports | environ, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, told in done.stderr) == (status, True), done.stderr
