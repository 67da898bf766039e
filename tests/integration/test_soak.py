"""The guide's mix for a long time: every answer is right, and the processes stay as large as they were.

SOAK_SECONDS says for how long (make soak: ten minutes); by default it is a look of a few seconds. The benchmark's
open-loop generator offers the mix at a fixed rate, SOAK_RATE requests a second, and takes nothing but a 200. Beside it
clients who check every answer come and go: they connect anew after a few requests, and half of them leave with a reset.
The caches are full within the first two tenths, so that whatever grows behind them is a leak: a long run begins with
as many new names as that takes.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from bench.load import OpenLoad, issue, open_loop_command, parse_open_result, seed
from bench.openloop import Plan, Stream
from bench.scripts import write_stream
from bench.workloads import LONG_SERIAL, Workload
from tests.support.loops import run
from tests.support.processes import MEBIBYTE, Held, held
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess
from tests.support.users import Users

pytestmark = pytest.mark.integration

SECONDS: Final = float(os.environ.get("SOAK_SECONDS", "6"))
RATE: Final = int(os.environ.get("SOAK_RATE", "500"))  # of the open loop; the guide's whole mix is 3,700
PERIOD_S: Final = max(SECONDS / 10, 2.0)  # of a line of figures
PERIODS: Final = max(round(SECONDS / PERIOD_S), 2)
WARM: Final = max(PERIODS // 5, 1)  # periods, after which nothing may grow any more
LONG: Final = SECONDS >= 300  # otherwise the caches are not full when the test ends
MAY_GROW: Final = (4 if LONG else 64) * MEBIBYTE  # of resident memory in all processes together: arenas settle
FILLING: Final = 50_000 if LONG else 0  # new names: several times as many as the ledger's index waits for
AT_ONCE: Final = 100  # of them, over a new connection, so that every worker has some: as slowly as the index follows
USERS: Final = 16
IDENTITIES: Final = 25  # of each user
KEPT: Final = 5  # turns of two requests on a connection
PAUSE_S: Final = 0.1  # of a user between two turns
CONNECTIONS: Final = 50  # of the open loop
MIX: Final = [  # the guide's 1,500 identities (one in 15 is new), 200 batches and 2,000 validations a second
    ("cached-proxy", 14, "%d", 1_000),  # so many requests in turn, of as many clients
    ("issuing", 1, LONG_SERIAL, 1_000),
    ("batch-10", 2, "%d", 50),
    ("validate", 20, "%d", 1_000),
]
ENV: Final = {
    "WORKERS": "2",
    "RATE_LIMIT_REQUESTS": "1000000000",
    "TRUSTED_PROXIES": "127.0.0.1",
    "IDENTITY_CACHE_SIZE": "2048",  # the mix comes back to 1,700 identities, and new ones soon fill it up
    "ACCESS_LOG": "off",
}


class Period(NamedTuple):
    """What was seen in one period, and what the processes held at its end."""

    load: OpenLoad
    checked: int
    connections: int
    held: Held

    @property
    def p99_ms(self) -> float:
        """Of the slowest kind of request."""
        return max(latencies[99.0] for latencies in self.load.streams.values()) / 1000

    def line(self, number: int) -> str:
        resident = self.held.resident / MEBIBYTE
        return (
            f"{number:6} {self.load.rate:7.0f} {self.p99_ms:8.1f} {self.checked:9,} {self.connections:12,}"
            f" {resident:9.1f} {self.held.descriptors:12} {self.held.threads:8}"
        )


def streams(service: ServiceProcess, directory: Path) -> list[Stream]:
    """Write the requests of the mix; the identities that they take as existing are issued."""
    suffix = seed(service.port)
    return [
        write_stream(name, Workload.named(name).records(suffix)[:count], directory, weight=weight, serial_format=form)
        for name, weight, form, count in MIX
    ]


def fill(port: int) -> None:
    """Issue so many names that what keeps the newest of them is as long as it gets; the mix alone takes minutes."""
    for first in range(0, FILLING, AT_ONCE):
        issue(port, [("newest", str(number)) for number in range(first, first + AT_ONCE)])


async def offer(service: ServiceProcess, kinds: Sequence[Stream], serial: int) -> OpenLoad:
    """Offer the mix for a period, over new connections. Raises BenchError unless every answer was a 200."""
    plan = Plan(service.port, CONNECTIONS, RATE, PERIOD_S - 1, kinds, serial=serial)  # a second warms it up
    process = await asyncio.create_subprocess_exec(*open_loop_command(plan), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return parse_open_result(output.decode())


async def soak(service: ServiceProcess, users: Users, directory: Path) -> list[Period]:
    await asyncio.to_thread(fill, service.port)
    kinds = await asyncio.to_thread(streams, service, directory)
    periods: list[Period] = []
    print("\nperiod  rate/s   p99 ms   checked  connections  RSS, MiB  descriptors  threads", file=sys.stderr)
    async with asyncio.TaskGroup() as tasks:
        for number in range(USERS):
            tasks.create_task(users.use(number))
        for number in range(PERIODS):
            answers, connections = users.answers.total(), users.connections
            load = await offer(service, kinds, number * 1_000_000)
            made = users.connections - connections + CONNECTIONS
            now = held([service.pid, *service.serving_pids])
            periods.append(Period(load, users.answers.total() - answers, made, now))
            print(periods[-1].line(number + 1), file=sys.stderr, flush=True)
        users.stopped = True
    return periods


def test_every_answer_is_the_one_that_was_asked_for_and_nothing_grows(own_redis: RedisServer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/identity.db"
    with ServiceProcess(**ENV, REDIS_URL=own_redis.url, DATABASE_URL=url) as service:
        users = Users(service.port, IDENTITIES, kept=KEPT, pause_s=PAUSE_S)
        periods = run(soak(service, users, tmp_path), deadline=SECONDS * 1.5 + 60)
        assert len(service.worker_pids) == 2, "no worker was replaced"
        assert service.stderr.count("is process") == 2, service.last_words
    assert not users.verdict, users.verdict
    assert users.answers.total() > 10 * SECONDS
    assert len(users.known) == USERS * IDENTITIES or SECONDS < 60
    warm, later = periods[WARM - 1].held, periods[WARM:]
    for period in later:
        grown = period.held.resident - warm.resident
        assert grown <= MAY_GROW, f"{grown / MEBIBYTE:.1f} MiB more in {SECONDS:.0f} s"
        assert period.held.threads <= warm.threads
    # Connections that have ended linger for a moment, more of them on a busy machine; a leak would never fall again.
    descriptors = min(period.held.descriptors for period in later[-2:])
    assert descriptors <= warm.descriptors + USERS, "a user's connection comes and goes"
