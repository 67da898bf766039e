"""A real PgBouncer on a free port of 127.0.0.1, in front of a PostgreSQL of the tests. It is stopped by its own pid.

It refuses to run as root, so root starts it as the user ``postgres``. What is unreal: its pool is small, so that
clients share the server's sessions at once.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.support.postgres_server import PASSWORD, START_TIMEOUT, PostgresServer, _ids, _unprivileged
from tests.support.redis_server import free_port


class PgBouncer:
    """Started by ``with``."""

    def __init__(self, server: PostgresServer, pool_mode: str = "transaction", pool_size: int = 2) -> None:
        self._server = server
        self._mode = pool_mode
        self._size = pool_size
        self._as = _unprivileged()
        self._directory = Path(tempfile.mkdtemp(prefix="af-pgbouncer-"))
        self.port = free_port()
        self.url = self.url_of(server.url)

    def url_of(self, url: str) -> str:
        """The same database of the server, through here."""
        return url.replace(f":{self._server.port}/", f":{self.port}/")

    def __enter__(self) -> Self:
        files = {
            "users": f'"ledger" "{PASSWORD}"\n"app" "app"\n',
            "ini": f"[databases]\n* = host=127.0.0.1 port={self._server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
            f"auth_file = {self._directory / 'users'}\npool_mode = {self._mode}\ndefault_pool_size = {self._size}\n",
        }
        for name, text in files.items():
            (self._directory / name).write_text(text)
            if self._as:
                os.chown(self._directory / name, *_ids(self._as["user"]))
        if self._as:
            os.chown(self._directory, *_ids(self._as["user"]))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)  # at once, as 1.18 has it
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        """Start, and return when it answers."""
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise RuntimeError("PgBouncer is not there: install it (Debian: apt-get install pgbouncer).")
        with (self._directory / "log").open("ab") as log:
            command = [program, "-q", str(self._directory / "ini")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._directory, **self._as)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                with psycopg.connect(self.url):
                    return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log_text = (self._directory / "log").read_text(errors="replace")
                    raise RuntimeError(f"PgBouncer does not start: {log_text[-1000:]}") from None
                time.sleep(0.02)  # no event tells of a listening socket
