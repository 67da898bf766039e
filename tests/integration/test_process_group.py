"""A signal to the whole process group (Ctrl-C of a terminal, systemd's stop) counts once in each worker."""

import signal
from time import monotonic

import pytest

from tests.support.http_client import Client, request
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

LIVE = request("GET", "/api/health/live")
READY = request("GET", "/api/health/ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_leaves_the_drain_delay_and_a_second_one_ends_it(
    redis: RedisServer, number: signal.Signals
) -> None:
    async def serving() -> None:
        """Both workers turn their loops more than once meanwhile, so that what they were sent has arrived."""
        for _ in range(20):
            async with await Client.open(service.port) as client:
                assert (await client.ask(LIVE)).status == 200
            async with await Client.open(service.port) as client:
                assert (await client.ask(READY)).status == 503

    with ServiceProcess(REDIS_URL=redis.url, WORKERS="2", DRAIN_DELAY="200", DRAIN_SECONDS="250") as service:
        service.send_signal(signal.SIGSTOP)  # the worst order: the workers have begun to stop when the supervisor does
        service.send_signal_to_group(number)
        if number == signal.SIGTERM:
            service.wait_for_log("draining", 2)
        service.send_signal(signal.SIGCONT)
        service.wait_for_log("draining", 2)
        service.wait_for_log(f"stopping: {number.name}")  # the supervisor has sent its own signals before that
        run(serving())
        begun = monotonic()
        service.send_signal(signal.SIGTERM)
        assert service.wait(10) == 0
        print(f"{number.name}: 20 answers while draining; exit 0 {monotonic() - begun:.1f} s after a second signal")


def test_a_worker_that_is_stopped_by_its_own_number_takes_its_time_and_is_replaced(redis: RedisServer) -> None:
    with ServiceProcess(REDIS_URL=redis.url, WORKERS="2") as service:
        victim = service.worker_pids[1]
        service.signal_worker(victim, signal.SIGTERM)
        service.wait_for_log("serving on", 3)
        service.wait_for_log(r"worker 1 is process", 2)
        assert service.worker_pids[1] != victim
