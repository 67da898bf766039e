"""A real HAProxy in front of replicas, on a free port of 127.0.0.1. HAPROXY may name another binary.

No pytest in here. It hides no failure: it never repeats a request and never sends one elsewhere, so a failure of a
replica is one of the client's request. It chooses replicas only by their probe, as a cluster's endpoints do.
"""

import csv
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.service import free_port

START_TIMEOUT: Final = 10.0  # seconds
PROBE_MS: Final = 100
"""Milliseconds between two probes. One that fails takes a replica out: it must be out before DRAIN_DELAY is over."""

SERVED_BY: Final = "X-Served-By"
"""The header in which the balancer names the replica that has answered."""


class HAProxy:
    """Started by ``with``; the file ``active`` names the pool that gets the requests.

    ``pools``: for each name the ports of its replicas, running or not. The first pool is the active one.
    """

    def __init__(self, pools: Mapping[str, Sequence[int]]) -> None:
        self._binary = shutil.which(os.environ.get("HAPROXY", "haproxy"))
        if self._binary is None:
            raise RuntimeError("haproxy is not there: install it (Debian: apt-get install haproxy) or set HAPROXY.")
        self._pools = pools
        self._directory = Path(tempfile.mkdtemp(prefix="af-haproxy-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def __enter__(self) -> Self:
        (self._directory / "active").write_text(f"pool {next(iter(self._pools))}\n")
        configuration = self._directory / "haproxy.cfg"
        configuration.write_text(self._configuration())
        with (self._directory / "log").open("wb") as log:
            assert self._binary is not None
            self._process = subprocess.Popen([self._binary, "-f", configuration], stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.command("show version")
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    told = (self._directory / "log").read_text(errors="replace")
                    raise RuntimeError(f"haproxy does not start: {told[-1000:]}") from None
                time.sleep(0.005)  # there is no event for a listening socket
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def command(self, line: str) -> str:
        """One command of the runtime API, and what it answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_TIMEOUT)
            connection.connect(str(self._directory / "admin"))
            connection.sendall(f"{line}\n".encode())
            answer = b""
            while octets := connection.recv(65536):
                answer += octets
        return answer.decode()

    def switch(self, pool: str) -> None:
        """From now on every request goes to this pool, also on connections that clients keep."""
        told = self.command(f"set map {self._directory}/active pool {pool}").strip()
        assert not told, told

    def up(self) -> set[int]:
        """The ports of the replicas that get requests (of the active pool) by the latest probes."""
        return {int(row["svname"]) for row in self._statistics() if row["status"].startswith("UP")}

    def down(self) -> set[int]:
        """The ports of the replicas that a probe has found away."""
        return {int(row["svname"]) for row in self._statistics() if row["status"].startswith("DOWN")}

    def failures(self) -> dict[str, int]:
        """What the balancer counts of all replicas: of connecting, of answers, of repeats (there must be none)."""
        rows = list(self._statistics())
        names = ("econ", "eresp", "wretr", "wredis", "hrsp_4xx", "hrsp_5xx")
        return {name: sum(int(row[name] or 0) for row in rows) for name in names}

    def _statistics(self) -> list[dict[str, str]]:
        rows = csv.DictReader(self.command("show stat").removeprefix("# ").splitlines())
        return [row for row in rows if row["svname"].isdigit()]

    def _configuration(self) -> str:
        lines = [
            "global",
            "  maxconn 256",
            f"  stats socket {self._directory}/admin mode 600 level admin",
            "defaults",
            "  mode http",
            "  timeout connect 2s",
            "  timeout client 30s",
            "  timeout server 30s",
            "  retries 0",
            f"  default-server check inter {PROBE_MS}ms fastinter {PROBE_MS}ms downinter {PROBE_MS}ms rise 1 fall 1",
            "frontend clients",
            f"  bind 127.0.0.1:{self.port}",
            f"  use_backend %[str(pool),map({self._directory}/active)]",
        ]
        for pool, ports in self._pools.items():
            lines += [
                f"backend {pool}",
                "  option httpchk GET /api/health/ready",
                f"  http-response set-header {SERVED_BY} %[srv_name]",
                *(f"  server {port} 127.0.0.1:{port}" for port in ports),
            ]
        return "\n".join([*lines, ""])
