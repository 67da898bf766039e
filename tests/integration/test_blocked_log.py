"""A blocked log: with the pipe of stderr full, the service still responds and stops."""

import os
import re
import select
import signal
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic

import pytest

from tests.support.http_client import Client, clients, request, samples
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

ID = request("GET", "/api/v1/id?prefix=player&run=1")
LIVE = request("GET", "/api/health/live")
METRICS = request("GET", "/api/metrics")
LOUD = {"RATE_LIMIT_REQUESTS": "0", "ACCESS_LOG": "all", "LOG_FORMAT": "ecs"}

CONNECTIONS = 8  # so that each of two workers has some
BATCH = 250  # requests sent ahead
LINES_TO_FILL = 2_000  # some 600 kB of access lines, where a pipe holds 64 KiB
LINES_TO_DROP = 12_000  # a worker lets 10,000 lines wait
STOP_SECONDS = 12.0  # DRAIN_SECONDS and what a worker and then its supervisor wait for the log (FLUSH_SECONDS)


async def answered(service: ServiceProcess, count: int) -> None:
    """Have so many requests answered, over several connections."""
    async with clients(service.port, CONNECTIONS) as opened:
        while count > 0:
            for client in opened:
                client.send(ID * BATCH)
                for _ in range(BATCH):
                    assert (await client.answer()).status == 200
                count -= BATCH


async def alive(service: ServiceProcess) -> None:
    """Have every worker answer: several new connections, which the kernel deals out."""
    for _ in range(2 * CONNECTIONS):
        async with await Client.open(service.port) as client:
            assert (await client.ask(LIVE)).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("count", [1, 2], ids=["one worker", "two workers"])
def test_the_service_answers_and_stops_while_its_log_is_not_read(
    own_redis: RedisServer, count: int, number: signal.Signals
) -> None:
    variables = {**LOUD, "REDIS_URL": own_redis.url, "WORKERS": str(count), "DRAIN_SECONDS": "5"}
    with ServiceProcess(**variables) as service:
        service.stop_reading()
        run(answered(service, LINES_TO_FILL), deadline=60)
        own_redis.kill()  # which the service has something to say about
        run(alive(service))
        begun = monotonic()
        service.send_signal(number)
        assert service.wait(STOP_SECONDS) == 0
        print(f"{LINES_TO_FILL:,} lines unread, alive, exit 0 after {monotonic() - begun:.1f} s")


def test_a_worker_that_dies_is_replaced_while_the_log_is_not_read(redis: RedisServer) -> None:
    async def restarts() -> float:
        async with await Client.open(service.port) as client:
            return samples((await client.ask(METRICS)).text)["identity_worker_restarts_total"]

    async def replaced() -> None:
        found = 0.0
        while found < 1:
            with suppress(ConnectionError):  # it was the killed one's
                found = await restarts()
        await alive(service)

    with ServiceProcess(**LOUD, REDIS_URL=redis.url, WORKERS="2") as service:
        service.stop_reading()
        run(answered(service, LINES_TO_FILL), deadline=60)
        service.signal_worker(service.worker_pids[0], signal.SIGKILL)
        begun = monotonic()
        run(replaced(), deadline=20)
        print(f"replaced and counted after {monotonic() - begun:.1f} s")
        service.send_signal(signal.SIGTERM)
        assert service.wait(STOP_SECONDS) == 0


@pytest.mark.parametrize("count", [1, 2], ids=["one worker", "two workers"])
def test_signals_at_any_moment_of_the_stop_are_no_failure(redis: RedisServer, count: int) -> None:
    """Also of those seconds at its end in which a process waits for its log alone."""
    variables = {**LOUD, "REDIS_URL": redis.url, "WORKERS": str(count), "DRAIN_SECONDS": "5"}
    with ServiceProcess(**variables) as service:
        service.stop_reading()
        run(answered(service, LINES_TO_FILL), deadline=60)
        ended = os.pidfd_open(service.pid)  # readable once its process has ended
        while not select.select([ended], [], [], 0.01)[0]:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                service.send_signal_to_group(number)
        os.close(ended)
        assert service.wait(STOP_SECONDS) == 0


def told(service: ServiceProcess) -> Iterable[int]:
    return map(int, re.findall(r'"(\d+) log lines left out: the log is read too slowly"', service.stderr))


def test_dropped_lines_are_counted_and_reported_once_the_log_is_read_again() -> None:
    async def dropped() -> int:
        async with await Client.open(service.port) as client:
            return int((await client.scrape())["identity_log_lines_dropped_total"])

    with ServiceProcess(**LOUD) as service:
        assert run(dropped()) == 0
        service.stop_reading()
        run(answered(service, LINES_TO_DROP), deadline=60)
        counted = run(dropped())
        assert counted > 0
        service.read_on()
        service.wait_for_log("log lines left out")
        run(answered(service, BATCH))
        assert run(dropped()) == sum(told(service)) >= counted
        print(f"{sum(told(service)):,} lines left out, all of them told and counted")
        written = service.stderr.count('"message":"GET 200"')
    assert all(line.startswith("{") and line.endswith("}") for line in service.stderr.splitlines())
    assert written > BATCH
