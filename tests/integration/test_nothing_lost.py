"""``kill -9`` under load: every identity that a client received completely is in the ledger.

Two processes share a Redis and a ledger. In each round one of them is killed while it issues new identities,
at another moment of its work each time, and started again; the other one continues. The issued identities are then
looked up in the database itself. The promise ends where the ledger does not answer within its time-out: then the
service continues without, and reports that it is degraded. Such a run is repeated.

LEDGER_KILLS is the number of rounds; ``make prove-ledger`` takes 20.
"""

import asyncio
import os
from contextlib import ExitStack
from time import perf_counter
from typing import Final

import pytest

from arsenal_fast.ledger.prune import verify
from tests.support import ledger_rows
from tests.support.issuing import Endpoint, Issuing
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess
from tests.support.stalls import StalledError, on_a_machine_that_moves

pytestmark = pytest.mark.integration

KILLS: Final = int(os.environ.get("LEDGER_KILLS", "4"))
SINGLES: Final = 6  # connections to each process
BATCHES: Final = 3
SERVED: Final = 700  # identities that a process issues before it is killed,
DEGRADED: Final = "the ledger is degraded: The ledger does not answer in time."
STEP: Final = 137  # so many more in each round,
MOST: Final = 2_000  # and then from the beginning


async def kill_at_work(service: ServiceProcess, endpoint: Endpoint, under: Issuing, served: int) -> None:
    """Kill it after it has issued that many more, and start it again."""
    wanted, cut = endpoint.received + served, under.cut
    await until(lambda: endpoint.received >= wanted)
    endpoint.up.clear()
    service.kill()
    await until(lambda: under.cut > cut)
    judge_ledger(service)
    await asyncio.to_thread(service.start)
    endpoint.up.set()


def judge_ledger(service: ServiceProcess) -> None:
    if DEGRADED in service.stderr:
        raise StalledError(service.last_words)


async def load_and_kills(services: list[ServiceProcess], under: Issuing) -> None:
    endpoints = [Endpoint(service.port, may_end=True) for service in services]
    begun = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for endpoint in endpoints:
            for _ in range(SINGLES):
                tasks.create_task(under.singles(endpoint))
            for _ in range(BATCHES):
                tasks.create_task(under.batches(endpoint))
        for number in range(KILLS):
            await kill_at_work(services[number % 2], endpoints[number % 2], under, SERVED + number * STEP % MOST)
        await under.more(SERVED)
        under.stopped = True
    seconds = perf_counter() - begun
    print(
        f"\n{KILLS} kills; {len(under.handed)} identities received whole, {len(under.handed) / seconds:.0f} a second;"
    )
    print(f"{under.cut} requests cut off; the slowest answer after {under.worst * 1000:.0f} ms")


def test_every_identity_that_a_client_received_before_a_kill_is_in_the_ledger(
    redis: RedisServer, ledger_url: str
) -> None:
    on_a_machine_that_moves(lambda: kill_again_and_again(redis, ledger_url))


def kill_again_and_again(redis: RedisServer, ledger_url: str) -> None:
    under = Issuing()
    env = {"RATE_LIMIT_REQUESTS": "0", "REDIS_URL": redis.url, "DATABASE_URL": ledger_url}
    with ExitStack() as stack:
        services = [stack.enter_context(ServiceProcess(**env)) for _ in range(2)]
        try:
            run(load_and_kills(services, under), deadline=30 + 10 * KILLS)
        except ExceptionGroup as group:
            if group.subgroup(StalledError):
                raise StalledError(str(group.exceptions[0])) from None
            raise
        for service in services:
            judge_ledger(service)
    written = ledger_rows.lives(ledger_url)
    events = ledger_rows.history(ledger_url)
    missing = [
        identity
        for identity, life in under.handed.items()
        if written.get(identity) != life or (identity, life) not in events
    ]
    print(f"{len(under.handed) - len(missing)} of them found, {len(missing)} missing; {len(written)} written")
    assert set(under.statuses) == {200}
    assert under.twice == []
    assert missing == []
    assert len(under.handed) >= KILLS * SERVED
    assert under.cut >= KILLS  # each kill found requests under way
    assert verify(ledger_url).faults == []
