"""One failover after another under load, by sentinels: no error, no late answer, and what a limit may lose.

Each time the master dies, hangs or hands over, in turn, and comes back as the replica of the new one. Beside the load
spenders use up limits of their own, each through both replicas of the service in turn, one request after the other. So
a response tells what became of each charge before it: every next one has exactly one less, as long as Redis is
shared. FAILOVERS is their number; ``make faults`` takes 10, and without it nothing is tried.

A sentinel that hands over polls the new master once a second and announces it then. Until then the old one takes
charges that are lost, unless it is told to pause writes.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, cycle, islice
from time import perf_counter
from typing import Final

import pytest

from tests.integration.test_redis_faults import BACK_WITHIN, ENV, STALL, Load, load, until_health, until_shared
from tests.support.http_client import Client, clients, request
from tests.support.loops import run, until
from tests.support.sentinels import Sentinels
from tests.support.service import REPLICA, ServiceProcess
from tests.support.stalls import StalledError, on_a_machine_that_moves

pytestmark = pytest.mark.integration

FAILOVERS: Final = int(os.environ.get("FAILOVERS", "0"))
TIMEOUT: Final = 0.250  # seconds: REDIS_TIMEOUT_MS by default
LATEST: Final = TIMEOUT + 0.100
PATIENCE: Final = 40.0  # seconds that a failover under load may take in all
SPENDERS: Final = 8
SPENT: Final = 1_000  # requests that each has used before: a limit that a worker keeps alone begins anew, far below
PACE: Final = 0.005  # seconds between the requests of a spender, so that it uses less than SPENT in an outage
REPLICAS: Final = 2  # of the service
PAUSED: Final = "hands over with writes paused"
HOW: Final = ("dies", "hands over", "hangs", PAUSED)
LIMIT: Final = 500_000  # requests a year: the load's in all failovers, and a spender gets none back within PATIENCE
POLL: Final = 1.0  # seconds between two looks of a sentinel at the server that it promotes


@dataclass
class Spender:
    """One client that spends its limit through both replicas."""

    address: str
    worst: float = 0.0
    """Seconds until the latest response."""
    charged: int = SPENT
    """By the last response that was shared."""
    shared: int = 0
    """Charges that responses told of as shared."""
    alone: int = 0
    """Charges of which a worker decided alone."""
    lost: int = 0
    """Charges that a shared response told of, and a later one no longer."""
    unanswered: int = 0
    """Charges that Redis has, while a worker that had no answer from it decided alone."""

    async def begin(self, client: Client) -> None:
        """Use up SPENT requests, one behind the other on one connection."""
        for _ in range(SPENT):
            client.send(self._request)
        charged = [_charged((await client.answer()).headers) for _ in range(SPENT)]
        if charged != list(range(1, SPENT + 1)):
            raise StalledError("Redis did not answer in time before anything was done to it")

    async def spend(self, replicas: list[Client], stop: asyncio.Event) -> None:
        """Request through one and the other until the end, a pace apart."""
        while not stop.is_set():
            for client in replicas:
                answer = await client.ask(self._request)
                assert answer.status == 200
                self.worst = max(self.worst, answer.seconds)
                self._take(_charged(answer.headers))
            await asyncio.sleep(PACE)  # the pace, waiting for nothing

    @property
    def _request(self) -> bytes:
        return request("GET", "/api/v1/id?prefix=load&run=1", {"X-Forwarded-For": self.address})

    def _take(self, charged: int) -> None:
        if charged < SPENT:
            self.alone += 1
            return
        self.shared += 1
        self.lost += max(0, self.charged + 1 - charged)
        self.unanswered += max(0, charged - self.charged - 1)
        self.charged = charged


def _charged(headers: dict[str, str]) -> int:
    return int(headers["x-ratelimit-limit"]) - int(headers["x-ratelimit-remaining"])


class Failover:
    """One failover of a set: ``how`` the master is lost, and the servers that are the old and the new one."""

    def __init__(self, watched: Sentinels, how: str) -> None:
        self._watched = watched
        self.how = how
        self.old, self.new = watched.roles()

    def begin(self) -> None:
        """Take the master away, or let the sentinels take another one."""
        acts: dict[str, Callable[[], None]] = {
            "dies": self.old.kill,
            "hangs": self.old.pause,
            "hands over": self._watched.fail_over,
            PAUSED: self._hand_over_paused,
        }
        acts[self.how]()

    def _hand_over_paused(self) -> None:
        assert self.old.command("CLIENT", "PAUSE", "5000", "WRITE") == b"OK"
        self._watched.fail_over()

    def is_promoted(self) -> bool:
        """Whether a sentinel names the new master."""
        return self._watched.name(self.new)

    def end(self) -> None:
        """Let the old master be the replica of the new one; returns when it is in step."""
        if self.how == "dies":
            self.old.start()
        elif self.how == "hangs":
            self.old.resume()
        elif self.how == PAUSED:
            self.old.command("CLIENT", "UNPAUSE")  # it is to be the next new master
        self._watched.join(self.old, self.new)


@dataclass
class Seen:
    """What one failover was like for clients."""

    under: Load
    spenders: list[Spender]
    away: float
    """Seconds from its beginning until a sentinel named the new master."""
    back: float
    """Seconds from then on until both replicas shared."""

    @property
    def lost(self) -> int:
        return sum(spender.lost for spender in self.spenders)

    def judge(self, how: str) -> None:
        """No error, none late, shared in time, no more lost than Redis may lose; the figures are shown with -s."""
        alone = sum(spender.alone for spender in self.spenders)
        worst = max(self.under.worst, *(spender.worst for spender in self.spenders))
        print(
            f"{how}: promoted after {self.away:.1f} s, shared {self.back * 1000:.0f} ms later;"
            f" {self.under.answered} answers, the last after {worst * 1000:.0f} ms"
            f" (control {self.under.control * 1000:.0f}); of {sum(spender.shared for spender in self.spenders)} shared"
            f" charges {self.lost} lost, {alone} decided alone;"
        )
        assert set(self.under.statuses) == {200}, self.under.statuses
        late = worst > LATEST or self.back > BACK_WITHIN
        if late and self.under.control > STALL:
            raise StalledError(f"the control took {self.under.control * 1000:.0f} ms")
        assert worst <= LATEST
        assert self.back <= BACK_WITHIN
        assert sum(spender.unanswered for spender in self.spenders) <= REPLICAS * SPENDERS
        assert self.lost <= (POLL / PACE * REPLICAS * SPENDERS if how == "hands over" else 0)


async def failed_over(failover: Failover, ports: list[int], number: int) -> Seen:
    """Do it under load, with spenders of their own."""
    spenders = [Spender(f"2001:db8:ffff:{number:x}{spender:02x}::1") for spender in range(SPENDERS)]
    stop = asyncio.Event()
    async with (
        clients(ports, REPLICAS * SPENDERS) as opened,
        clients(ports, REPLICAS) as (at_one, at_other),
    ):
        for spender, each in zip(spenders, batched(opened), strict=True):
            await spender.begin(each[0])
        async with load(ports[0]) as under, asyncio.TaskGroup() as tasks:
            for spender, each in zip(spenders, batched(opened), strict=True):
                tasks.create_task(spender.spend(each, stop))
            await under.more(300)
            begun = perf_counter()
            failover.begin()
            await until(failover.is_promoted)
            promoted = perf_counter()
            await until_health(at_one, "healthy")
            await until_health(at_other, "healthy")
            await until_shared(at_one, at_other)
            back = perf_counter() - promoted
            await under.more(300)
            stop.set()
    return Seen(under, spenders, promoted - begun, back)


def batched(opened: list[Client]) -> list[list[Client]]:
    return [opened[first : first + REPLICAS] for first in range(0, len(opened), REPLICAS)]


@pytest.mark.skipif(not FAILOVERS, reason="its bounds of time need a machine that does nothing else: make faults")
def test_no_failover_shows_but_for_what_redis_itself_has_lost() -> None:
    env = {**ENV, **REPLICA, "RATE_LIMIT_REQUESTS": str(LIMIT)}
    with Sentinels() as watched, ExitStack() as stack:
        services = [stack.enter_context(ServiceProcess(**env, REDIS_URL=watched.url())) for _ in range(REPLICAS)]
        ports = [service.port for service in services]
        numbers = count()
        for how in islice(cycle(HOW), FAILOVERS):

            def scenario(how: str = how) -> None:
                failover = Failover(watched, how)
                seen = run(failed_over(failover, ports, next(numbers)), deadline=PATIENCE)
                failover.end()
                seen.judge(how)

            on_a_machine_that_moves(scenario)
