"""Two replicas behind a balancer are replaced in turn under load, and no request is lost.

ROLLS says how often (make faults: ten times); by default twice, each replica once. A client tries again only where its
connection was refused, so before anything was sent; anything else that is no answer of 200 is a lost request.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

import pytest

from tests.support.http_client import Client, request
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess

pytestmark = pytest.mark.integration

ROLLS: Final = int(os.environ.get("ROLLS", "2"))
CLIENTS: Final = 16
SERVED: Final = 300  # answers of the new process before the next roll
KEPT: Final = 50  # answers
LOOK_S: Final = 0.02  # of the balancer, from one probe to the next
ID: Final = request("GET", "/api/v1/id?prefix=player&run=1")
READY: Final = request("GET", "/api/health/ready")
ENV: Final = {**REPLICA, "RATE_LIMIT_REQUESTS": "0", "ACCESS_LOG": "off", "DRAIN_DELAY": "0.5"}


class Balancer:
    """Where new connections go: to the replicas that say that they are ready."""

    def __init__(self, replicas: Sequence[ServiceProcess]) -> None:
        self.ready = [service.port for service in replicas]
        self.statuses: Counter[int] = Counter()
        self.answers: Counter[int] = Counter()
        """By port."""
        self.refused = 0
        self.worst_s = 0.0
        self.stopped = False

    async def probe(self, port: int) -> None:
        """Look at one replica, by a new connection each time."""
        while not self.stopped:
            if await self._is_ready(port):
                if port not in self.ready:
                    self.ready.append(port)
            elif port in self.ready:
                self.ready.remove(port)
            await asyncio.sleep(LOOK_S)  # its pace

    async def _is_ready(self, port: int) -> bool:
        with suppress(OSError):
            async with await Client.open(port) as probe:
                return (await probe.ask(READY)).status == 200
        return False

    async def use(self, number: int) -> None:
        """A client that connects anew after KEPT answers or one that closes. Raises Gone for a lost request."""
        while not self.stopped:
            port = self.ready[number % len(self.ready)]
            try:
                client = await Client.open(port)
            except ConnectionRefusedError:  # nothing was sent: the balancer has not looked yet
                self.refused += 1
                continue
            async with client:
                for _ in range(KEPT):
                    answer = await client.ask(ID)
                    self.statuses[answer.status] += 1
                    self.answers[port] += 1
                    self.worst_s = max(self.worst_s, answer.seconds)
                    if answer.closes or self.stopped:
                        break


async def roll(balancer: Balancer, service: ServiceProcess) -> None:
    """Stop a replica as a deployment does, and start another one in its place."""
    service.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(service.wait, 10) == 0
    assert service.port not in balancer.ready
    await asyncio.to_thread(service.start)
    goal = balancer.answers[service.port] + SERVED
    await until(lambda: balancer.answers[service.port] >= goal)


def test_replicas_rolled_under_load_lose_no_request(redis: RedisServer) -> None:
    async def scenario(replicas: Sequence[ServiceProcess]) -> None:
        balancer, begun = Balancer(replicas), monotonic()
        async with asyncio.TaskGroup() as tasks:
            for service in replicas:
                tasks.create_task(balancer.probe(service.port))
            for number in range(CLIENTS):
                tasks.create_task(balancer.use(number))
            await until(lambda: all(balancer.answers[service.port] >= SERVED for service in replicas))
            for number in range(ROLLS):
                await roll(balancer, replicas[number % len(replicas)])
            balancer.stopped = True
        answered = balancer.statuses.total()
        print(
            f"{ROLLS} rolls in {monotonic() - begun:.0f} s, {answered:,} requests, {answered - balancer.statuses[200]}"
            f" failed, {balancer.refused} connections refused, the slowest answer {balancer.worst_s * 1e3:.0f} ms"
        )
        assert set(balancer.statuses) == {200}

    env = {**ENV, "REDIS_URL": redis.url}
    with ServiceProcess(**env) as one, ServiceProcess(**env) as other:
        run(scenario([one, other]), deadline=20 + ROLLS * 5)
