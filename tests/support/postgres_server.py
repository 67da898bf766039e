"""A real PostgreSQL on a free port of 127.0.0.1, in a directory of its own, with a password.

No pytest in here: benchmarks use it too. The server refuses to run as root, so root starts it as the user
``postgres``, which Debian's package creates. It is stopped by its own pid. POSTGRES_BIN may name the directory of
the programs. What is unreal: ``fsync=off`` unless turned on, so it must not be judged by how fast it commits.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.support.certificates import Pair
from tests.support.redis_server import free_port

START_TIMEOUT = 30.0  # seconds
PASSWORD = "p:a\\s's wort%"  # every character that may lack quoting
QUOTED = "p%3Aa%5Cs%27s%20wort%25"


class PostgresServer:
    """Started by ``with``; the port and the data stay the same over restarts."""

    def __init__(
        self,
        *settings: str,
        fsync: bool = False,
        tls: tuple[Path, Path] | None = None,
        standby_of: "PostgresServer | None" = None,
        wal: Path | None = None,
    ) -> None:
        """``settings``: such as ``max_connections=20``. ``tls``: the files of a certificate and its key.

        ``standby_of``: the primary that streams to it. ``wal``: where its log is, in segments of a megabyte.
        """
        self._programs = _programs()
        self._settings = [f"fsync={'on' if fsync else 'off'}", *settings]
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="af-postgres-"))
        self._as = _unprivileged()
        if self._as:
            os.chown(self._directory, *_ids(self._as["user"]))
        self._tls = tls
        self._primary = standby_of
        self._wal = wal
        self._data = self._directory / "data"
        self.port = free_port()
        self.url = f"postgresql://ledger:{QUOTED}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        if self._primary is None:
            self._initialize()
        else:
            source = f"--dbname={self._primary.url}"
            self._run("pg_basebackup", source, f"--pgdata={self._data}", "--write-recovery-conf", "--no-sync", "-cfast")
        self.start()
        return self

    def _initialize(self) -> None:
        password = self._directory / "password"
        password.write_text(PASSWORD)
        if self._as:
            os.chown(password, *_ids(self._as["user"]))
        options = ["--auth=scram-sha-256", "--username=ledger", f"--pwfile={password}", "--encoding=UTF8", "--no-sync"]
        for name, file in zip(("tls.crt", "tls.key"), self._tls or (), strict=False):
            own = self._directory / name
            shutil.copyfile(file, own)
            own.chmod(0o600)
            if self._as:
                os.chown(own, *_ids(self._as["user"]))
            self._settings.append(f"ssl_{'cert' if name == 'tls.crt' else 'key'}_file={own}")
        if self._tls:
            self._settings.append("ssl=on")
        if self._wal:
            log = self._wal / "log"
            log.mkdir()
            if self._as:
                os.chown(log, *_ids(self._as["user"]))
            options += [f"--waldir={log}", "--wal-segsize=1"]
        self._run("initdb", f"--pgdata={self._data}", "--locale=C", *options)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it answers."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *self._settings]
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        command += [argument for setting in settings for argument in ("-c", setting)]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._directory, **self._as)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log_text = (self._directory / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL does not start: {log_text[-1000:]}") from None
                time.sleep(0.02)  # there is no event for a listening socket
            else:
                return

    def speak_tls(self, pair: Pair) -> None:
        """Restart with a certificate."""
        self.stop()
        for file in pair:
            copy = self._directory / "data" / file.name
            shutil.copy(file, copy)
            copy.chmod(0o600)
            if self._as:
                os.chown(copy, *_ids(self._as["user"]))
        self._settings += ["ssl=on", f"ssl_cert_file={pair.certificate.name}", f"ssl_key_file={pair.key.name}"]
        self.start()

    def stop(self) -> None:
        """End at once by its own pid, cutting all connections; what was committed is there at the next start."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGQUIT)
            process.wait()

    def promote(self) -> None:
        """Make the standby a primary, as an operator does; returns when it takes writes."""
        self._run("pg_ctl", "promote", f"--pgdata={self._data}", "--wait")

    def url_with(self, other: "PostgresServer") -> str:
        """The same database on this server, or on another one with the same user."""
        return self.url.replace(f":{self.port}/", f":{self.port},127.0.0.1:{other.port}/")

    def execute(self, statement: str, url: str = "") -> list[tuple[Any, ...]]:
        """One statement over a connection of its own."""
        with psycopg.connect(url or self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def use_log_again(self, segments: int) -> None:
        """Make so many segments of the log, to be used again, as a server has that has run for a while.

        A new one makes each when it needs it: 16 MB, for which the commits wait. Needs a ``min_wal_size`` of all.
        """
        with psycopg.connect(self.url, autocommit=True) as connection:
            for _ in range(segments):
                connection.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
            connection.execute("CHECKPOINT")

    def new_database(self, name: str) -> str:
        """An empty database; gives its URL."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {name}")
        return self.url.removesuffix("postgres") + name

    def new_database_in(self, directory: Path) -> str:
        """An empty database whose tables are in this directory; gives its URL."""
        place = directory / "tables"
        place.mkdir()
        if self._as:
            directory.chmod(0o755)
            os.chown(place, *_ids(self._as["user"]))
        self.execute(f"CREATE TABLESPACE elsewhere LOCATION '{place}'")
        self.execute("CREATE DATABASE elsewhere TABLESPACE elsewhere")
        return self.url.removesuffix("postgres") + "elsewhere"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, check=False, cwd=self._directory, **self._as)
        if done.returncode:
            raise RuntimeError(f"{program} has failed: {done.stderr.decode(errors='replace')[-1000:]}")


def postgres_version() -> str:
    """Name and version of the server as it says them: ``PostgreSQL 15.18``."""
    said = subprocess.run([_programs() / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    return said.replace("postgres (PostgreSQL)", "PostgreSQL").partition(" (")[0].strip()


def _programs() -> Path:
    """The directory of the newest PostgreSQL."""
    named = os.environ.get("POSTGRES_BIN")
    if named:
        return Path(named)
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    found = shutil.which("initdb")
    if found is None:
        raise RuntimeError(
            "PostgreSQL is not there: install it (Debian: apt-get install postgresql,"
            " or scripts/install-postgresql.sh) or set POSTGRES_BIN."
        )
    return Path(found).resolve().parent


def _unprivileged() -> dict[str, Any]:
    """How Popen drops what root has too much."""
    if os.geteuid() != 0:
        return {}
    groups: Sequence[str] = []
    return {"user": "postgres", "group": _group_of("postgres"), "extra_groups": groups}


def _group_of(user: str) -> int:
    return _ids(user)[1]


def _ids(user: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise RuntimeError("There is no user postgres: install Debian's package postgresql.") from None
    return entry.pw_uid, entry.pw_gid
