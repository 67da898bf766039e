"""PostgreSQL fails over to its standby, fills its disks and ends our sessions: nothing that was answered is lost.

What a client gets is committed before. With a synchronous standby it is there, too; of an asynchronous one this shows
what a failover loses.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg
import pytest

from arsenal_fast.ledger.prune import verify
from tests.integration.test_ledger_faults import ENV, SERVED, FullDisk, judge, load, small_disk, survive, until_health
from tests.support import ledger_rows
from tests.support.http_client import clients
from tests.support.issuing import Endpoint, Issuing, Life
from tests.support.loops import run
from tests.support.postgres_server import PostgresServer
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

SYNCHRONOUS: Final = "synchronous_standby_names=*"
CLIENTS: Final = 3
KILLS: Final = 20


class Pair:
    """A primary and the standby that it streams to."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer) -> None:
        self.primary = primary
        self.standby = standby
        self.url = standby.url_with(primary)
        """The standby is the first host: it is passed over as long as it is one."""

    def until_streaming(self, how: str) -> None:
        while self.primary.execute("SELECT sync_state FROM pg_stat_replication") != [(how,)]:
            pass

    def cut_off(self) -> None:
        """Let the standby receive no more; returns when it has ended its connection."""
        self.standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.execute("SELECT pg_reload_conf()")
        while self.primary.execute("SELECT sync_state FROM pg_stat_replication"):
            pass


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Of a primary with the setting that the test names, or none."""
    with ExitStack() as stack:
        primary = stack.enter_context(PostgresServer(*filter(None, [request.param])))
        standby = stack.enter_context(PostgresServer(standby_of=primary))
        pair = Pair(primary, standby)
        pair.until_streaming("sync" if request.param else "async")
        yield pair


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small one, in a directory that the user postgres can reach."""
    base = Path(tempfile.mkdtemp(prefix="af-disk-"))
    base.chmod(0o755)
    try:
        with small_disk(base / "disk") as directory:
            yield directory
    finally:
        shutil.rmtree(base)


class Failover:
    """The primary is gone; then the standby is promoted."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    async def begin(self) -> None:
        await asyncio.to_thread(self._pair.primary.stop)

    async def end(self) -> None:
        await asyncio.to_thread(self._pair.standby.promote)


def missing(handed: dict[str, Life], url: str) -> set[str]:
    """The identities that were handed out and are not in the database, or not as they were handed out."""
    lives, events = ledger_rows.lives(url), ledger_rows.history(url)
    return {each for each, life in handed.items() if lives.get(each) != life or (each, life) not in events}


@pytest.mark.parametrize("pair", [SYNCHRONOUS], indirect=True, ids=["synchronous"])
def test_a_failover_under_load_stops_no_issuing_and_loses_nothing(pair: Pair) -> None:
    with ServiceProcess(**ENV, DATABASE_URL=pair.url) as service:
        under = run(survive(service, Failover(pair)), deadline=60)
        service.wait_for_log("the ledger is degraded: PostgreSQL can only be read: no host of the URL is the primary")
    judge(under, pair.standby.url)


@pytest.mark.parametrize("pair", [SYNCHRONOUS, ""], indirect=True, ids=["synchronous", "asynchronous"])
def test_what_was_answered_before_is_in_the_promoted_database_as_far_as_the_standby_had_it(
    pair: Pair, request: pytest.FixtureRequest
) -> None:
    """Service and primary end in the same moment, so that no memory of the service writes anything again."""
    lags = "asynchronous" in request.node.name
    received: set[str] = set()
    service = ServiceProcess(**ENV, DATABASE_URL=pair.url)

    async def main() -> Issuing:
        under, endpoint = Issuing(), Endpoint(service.port, may_end=True)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(under.singles(endpoint))
                tasks.create_task(under.batches(endpoint))
            await under.more(SERVED)
            if lags:
                received.update(under.handed)
                pair.cut_off()
            await under.more(SERVED)
            service.pause()
            pair.primary.stop()
            under.stopped = True
            service.kill()
        return under

    service.start()
    under = run(main(), deadline=60)
    pair.standby.promote()
    lost = missing(under.handed, pair.standby.url)
    print(f"\n{len(under.handed)} identities handed out, {len(lost)} of them not in the promoted database")
    assert set(under.statuses) == {200}
    assert verify(pair.standby.url).faults == []
    if lags:
        assert lost, "the test can't tell"
        assert not lost & received
    else:
        assert lost == set()


class FullLog(FullDisk):
    """The disk of PostgreSQL's own log is full, which ends the server; it is started again when there is room."""

    def __init__(self, directory: Path, server: PostgresServer) -> None:
        super().__init__(directory)
        self._server = server

    async def end(self) -> None:
        await super().end()
        await asyncio.to_thread(self._server.stop)
        await asyncio.to_thread(self._server.start)


def test_a_full_disk_of_its_tables_stops_no_issuing_and_loses_nothing(disk: Path) -> None:
    with PostgresServer() as server:
        url = server.new_database_in(disk)
        with ServiceProcess(**ENV, DATABASE_URL=url) as service:
            under = run(survive(service, FullDisk(disk)), deadline=60)
            service.wait_for_log("the ledger is degraded: The disk of PostgreSQL is full")
        judge(under, url)


def test_a_full_disk_of_its_log_stops_no_issuing_and_loses_nothing(disk: Path) -> None:
    with PostgresServer(wal=disk) as server:
        with ServiceProcess(**ENV, DATABASE_URL=server.url) as service:
            under = run(survive(service, FullLog(disk, server)), deadline=60)
        judge(under, server.url)


def test_sessions_that_an_administrator_ends_lose_nothing_and_show_to_nobody(own_postgres: PostgresServer) -> None:
    """What waits is written again over a new session, at once: the ledger is not even degraded."""
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'arsenal-fast'"

    async def main(service: ServiceProcess) -> Issuing:
        ended = 0
        async with clients(service.port, 1) as (client,), load(service.port) as under:
            await until_health(client, "healthy")
            with psycopg.connect(own_postgres.url, autocommit=True) as administrator:
                while ended < KILLS:
                    await under.more(20)
                    ((count,),) = administrator.execute(end.encode()).fetchall()
                    ended += count
            await under.more(SERVED)
            await until_health(client, "healthy")
        print(f"\n{ended} sessions ended")
        return under

    with ServiceProcess(**ENV, DATABASE_URL=own_postgres.url) as service:
        under = run(main(service), deadline=60)
    judge(under, own_postgres.url)
