"""The ledger's disk is full, its file is locked, its server is down: issuing continues, and no row is lost.

Under a load of new identities the ledger fails and comes back. No request may fail; health is 200 and `degraded`
in between; the metrics count the waiting rows, in the end none. Then every identity that a client got,
before, during and after, is in the database. LEDGER_LOCK_SECONDS is how long the file is locked; ``make
prove-ledger`` takes 10.
"""

import asyncio
import os
import resource
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

import pytest

from arsenal_fast.ledger.prune import verify
from tests.support import ledger_rows
from tests.support.http_client import Client, clients, request, samples
from tests.support.issuing import Endpoint, Issuing
from tests.support.loops import run, until
from tests.support.postgres_server import PostgresServer
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

LOCK_SECONDS: Final = float(os.environ.get("LEDGER_LOCK_SECONDS", "3"))
SINGLES: Final = 6  # connections
BATCHES: Final = 2
SERVED: Final = 1_000  # identities before, during and after
DISK: Final = 24 << 20  # bytes of the small disk
LATEST: Final = 5.0  # seconds until any answer: the load's own queue, and a machine that has other things to do
ENV: Final = {"RATE_LIMIT_REQUESTS": "0"}


class Fault(Protocol):
    """What is done to the ledger; both return when it is done."""

    async def begin(self) -> None: ...

    async def end(self) -> None: ...


async def until_health(client: Client, wanted: str) -> None:
    """Health is 200 all the time, and comes to be what is wanted."""
    while True:
        answer = await client.ask(request("GET", "/api/health"))
        assert answer.status == 200
        assert answer.json["services"]["api"] == "healthy"
        if answer.json["status"] == wanted:
            assert (answer.json["services"]["database"] == "healthy") == (wanted == "healthy")
            return


async def until_metric(client: Client, name: str, wanted: Callable[[float], bool]) -> float:
    while True:
        found = samples((await client.ask(request("GET", "/api/metrics"))).text)
        assert found["identity_ledger_dropped_total"] == 0
        if wanted(found[name]):
            return found[name]


@asynccontextmanager
async def load(port: int) -> AsyncIterator[Issuing]:
    """Keep it up for the length of the block."""
    under, endpoint = Issuing(), Endpoint(port)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(SINGLES):
            tasks.create_task(under.singles(endpoint))
        for _ in range(BATCHES):
            tasks.create_task(under.batches(endpoint))
        try:
            yield under
        finally:
            under.stopped = True


async def survive(service: ServiceProcess, fault: Fault, lasting: float = 0.0) -> Issuing:
    """Load, the fault for so many seconds at least, load, the end of the fault, load."""
    async with clients(service.port, 1) as (client,), load(service.port) as under:
        await until_health(client, "healthy")
        await under.more(SERVED)
        before = len(under.handed)
        begun = monotonic()
        await fault.begin()
        await until_health(client, "degraded")
        await until_metric(client, "identity_ledger_waiting", lambda rows: rows > 0)
        await under.more(SERVED)
        await until(lambda: monotonic() - begun >= lasting)
        waited = await until_metric(client, "identity_ledger_waiting", lambda rows: rows > 0)
        assert (await client.ask(request("GET", "/api/health"))).json["status"] == "degraded"
        during = len(under.handed) - before
        await fault.end()
        ended = monotonic()
        await until_health(client, "healthy")
        back = monotonic() - ended
        await under.more(SERVED)
        under.stopped = True
        await until_metric(client, "identity_ledger_waiting", lambda rows: rows == 0)
    print(
        f"\n{len(under.handed)} identities handed out, {during} of them during {ended - begun:.1f} s of the fault;"
        f" {waited:.0f} rows waited at its end; healthy again {back:.2f} s after it;"
        f" the slowest answer after {under.worst * 1000:.0f} ms"
    )
    return under


def judge(under: Issuing, url: str) -> None:
    """No request was refused, and all rows are recorded."""
    written, events = ledger_rows.lives(url), ledger_rows.history(url)
    missing = [
        identity
        for identity, life in under.handed.items()
        if written.get(identity) != life or (identity, life) not in events
    ]
    print(f"{len(under.handed) - len(missing)} of them found, {len(missing)} missing")
    assert set(under.statuses) == {200}
    assert under.twice == []
    assert missing == []
    assert under.worst < LATEST
    assert verify(url).faults == []


class FullDisk:
    """A tmpfs with a foreign file on it that fills it."""

    def __init__(self, directory: Path) -> None:
        self._filler = directory / "filler"

    async def begin(self) -> None:
        with self._filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                pass

    async def end(self) -> None:
        self._filler.unlink()


class Quota:
    """RLIMIT_FSIZE: no file of the process may grow beyond what its log has now, as with a quota of the file system."""

    def __init__(self, service: ServiceProcess, path: Path) -> None:
        self._service = service
        self._log = path.with_name(path.name + "-wal")

    async def begin(self) -> None:
        self._set(self._log.stat().st_size)

    async def end(self) -> None:
        self._set(resource.RLIM_INFINITY)

    def _set(self, octets: int) -> None:
        _, hard = resource.prlimit(self._service.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._service.pid, resource.RLIMIT_FSIZE, (octets, hard))


class Locked:
    """Another connection has the file to itself for writing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    async def begin(self) -> None:
        # Its own turn comes between two commits of the service.
        await asyncio.to_thread(self._execute, "BEGIN IMMEDIATE")

    async def end(self) -> None:
        self._execute("ROLLBACK")


class Stopped:
    """PostgreSQL is stopped, and started again."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def begin(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def end(self) -> None:
        await asyncio.to_thread(self._server.start)


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A tmpfs; the test is skipped without the permission to mount one."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(directory)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small tmpfs; the quota of RLIMIT_FSIZE is tried in its place")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True, capture_output=True, timeout=10)


def test_a_full_disk_stops_no_issuing_and_what_waited_is_written_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as directory:
        url = f"sqlite:///{directory}/identity.db"
        with ServiceProcess(**ENV, DATABASE_URL=url) as service:
            under = run(survive(service, FullDisk(directory)), deadline=40)
        judge(under, url)


def test_a_file_that_may_not_grow_stops_no_issuing_and_what_waited_is_written_when_it_may(
    tmp_path: Path, sqlite_url: str
) -> None:
    with ServiceProcess(**ENV, DATABASE_URL=sqlite_url) as service:
        path = Path(sqlite_url.removeprefix("sqlite:///"))
        under = run(survive(service, Quota(service, path)), deadline=40)
    judge(under, sqlite_url)


def test_a_locked_file_stops_no_issuing_and_what_waited_is_written_when_it_is_free(sqlite_url: str) -> None:
    with ServiceProcess(**ENV, DATABASE_URL=sqlite_url) as service:
        path = sqlite_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)) as file:
            under = run(survive(service, Locked(file), LOCK_SECONDS), deadline=40 + LOCK_SECONDS)
    judge(under, sqlite_url)


def test_a_stopped_postgresql_stops_no_issuing_and_what_waited_is_written_when_it_is_back(
    own_postgres: PostgresServer,
) -> None:
    with ServiceProcess(**ENV, DATABASE_URL=own_postgres.url) as service:
        under = run(survive(service, Stopped(own_postgres)), deadline=40)
    judge(under, own_postgres.url)
