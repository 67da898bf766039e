"""A worker sends one admission command to Redis for all requests of one turn of its loop."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.http_client import Client, clients, request
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

CONNECTIONS = 64
ROUNDS = 50
TRIES = 3
ENV = {"RATE_LIMIT_REQUESTS": "100000", "TRUSTED_PROXIES": "127.0.0.0/8"}
# 1763865600.123456 [0 127.0.0.1:40000] "EVALSHA" "<sha>" "<keys>" "<key>"...; what a script calls has "lua" there.
_COMMAND = re.compile(r'^\+[0-9.]+ \[\d+ (?!lua)[^\]]+\] "(\w+)"(.*)$', re.MULTILINE)
_ADMISSION = re.compile(r'"af:\{0\}:c:([^"]+)"')


class Monitor:
    """A connection with MONITOR, on which Redis reports every command."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def admissions(self, marker: str) -> list[list[str]]:
        """The clients of each admission command so far. ``marker``: sent as an ECHO, so that its line is the end."""
        text = ""
        while marker not in text:
            text += self._connection.recv(1 << 20).decode()
        cells = [_ADMISSION.findall(rest) for name, rest in _COMMAND.findall(text) if name == "EVALSHA"]
        return [keys for keys in cells if keys]


@contextmanager
def monitored(redis: RedisServer) -> Iterator[Monitor]:
    with socket.create_connection(("127.0.0.1", redis.port), timeout=10) as connection:
        connection.sendall(b"MONITOR\r\n")
        assert connection.recv(5) == b"+OK\r\n"
        yield Monitor(connection)


@pytest.fixture
def service(redis: RedisServer) -> Iterator[ServiceProcess]:
    with ServiceProcess(**ENV, REDIS_URL=redis.url) as process:
        yield process


async def round_trip(opened: list[Client], *, paused: ServiceProcess | None = None) -> None:
    """One request on each connection, each of a client of its own. ``paused``: so that all arrive in one turn."""
    if paused is not None:
        paused.pause()
    for index, client in enumerate(opened):
        client.send(request("GET", "/api/v1/id?prefix=player&run=1", {"X-Forwarded-For": f"198.51.100.{index}"}))
    if paused is not None:
        for client in opened:
            await client.flushed()
        paused.resume()
    assert [(await client.answer()).status for client in opened] == [200] * len(opened)


def test_requests_that_arrive_together_are_admitted_by_one_command(redis: RedisServer, service: ServiceProcess) -> None:
    async def scenario() -> None:
        async with clients(service.port, CONNECTIONS) as opened:
            await round_trip(opened)  # the identity is known and the connections are warm
            with monitored(redis) as monitor:
                await round_trip(opened, paused=service)
                redis.command("ECHO", "end-of-round")
                (cells,) = monitor.admissions("end-of-round")
        assert sorted(cells) == sorted(f"198.51.100.{index}" for index in range(CONNECTIONS))

    run(scenario())


def test_several_requests_of_one_client_are_one_row_of_that_command(
    redis: RedisServer, service: ServiceProcess
) -> None:
    pipelined = request("GET", "/api/v1/id?prefix=player&run=1") * 20

    async def scenario() -> None:
        async with clients(service.port, 1) as (client,):
            with monitored(redis) as monitor:
                client.send(pipelined)
                remaining = [int((await client.answer()).headers["x-ratelimit-remaining"]) for _ in range(20)]
                redis.command("ECHO", "end-of-pipeline")
                commands = monitor.admissions("end-of-pipeline")
        assert remaining == list(range(99_999, 99_979, -1))
        assert commands == [["127.0.0.1"]]

    run(scenario())


def test_64_busy_connections_need_half_as_many_commands_or_fewer(redis: RedisServer, service: ServiceProcess) -> None:
    """How many requests a turn of the loop finds is the client's doing, too: one that gets no CPU sends them one by
    one, and there is nothing to gather. So it may try again; that a turn is one command holds in every try.
    """
    requests = CONNECTIONS * ROUNDS

    async def batches(client: Client) -> float:
        return (await client.scrape())["identity_limiter_batches_total"]

    async def scenario() -> int:
        async with clients(service.port, CONNECTIONS) as opened:
            await round_trip(opened)
            turns = await batches(opened[0])
            with monitored(redis) as monitor:
                for _ in range(ROUNDS):
                    await round_trip(opened)
                redis.command("ECHO", "end-of-rounds")
                calls = len(monitor.admissions("end-of-rounds"))
            turns = await batches(opened[0]) - turns
        print(f"{requests} requests, {calls} commands: {requests / calls:.1f} requests a command")
        assert calls == turns
        return calls

    assert any(run(scenario(), deadline=30) <= requests / 2 for _ in range(TRIES))
