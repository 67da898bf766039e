"""MANAGEMENT_PORT: metrics, telemetry, dashboard and probes on a port of their own, of a running service."""

import asyncio
import json
import signal
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import good_pair
from tests.support.http_client import Client, clients, samples
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess, command, free_port

pytestmark = pytest.mark.integration

ANSWERED = 'identity_api_requests_total{class="2xx"}'
OF_MANAGEMENT = ("/api/metrics", "/api/telemetry")
OF_BOTH = ("/api/health", "/api/health/live", "/api/health/ready", "/api/health/startup", "/api/docs/dashboard.js")
OF_API = ("/api/v1/id?prefix=player&run=1", "/api/docs", "/api/openapi.json", "/")


async def statuses(port: int, paths: tuple[str, ...], tls: ssl.SSLContext | None = None) -> list[int]:
    async with await Client.open(port, tls=tls) as client:
        return [(await client.get(path)).status for path in paths]


@pytest.fixture
def port() -> str:
    return str(free_port())


def test_each_port_serves_what_is_its_own(port: str) -> None:
    async def scenario(api: int) -> None:
        assert await statuses(api, OF_MANAGEMENT) == [404, 404]
        assert await statuses(api, OF_BOTH + OF_API) == [200] * 9
        assert await statuses(int(port), OF_MANAGEMENT + OF_BOTH) == [200] * 7
        assert await statuses(int(port), OF_API) == [404] * 4

    with ServiceProcess(MANAGEMENT_PORT=port) as service:
        run(scenario(service.port))
        assert f"management on 127.0.0.1 port {port}" in service.stderr


def test_any_worker_answers_a_scrape_for_all_workers(redis: RedisServer, port: str) -> None:
    async def scenario(api: int) -> None:
        async with clients(api, 24) as callers, clients(int(port), 24) as scrapers:
            for client in callers:
                for _ in range(3):
                    assert (await client.get("/api/v1/id?prefix=player&run=1")).status == 200
            async with asyncio.timeout(15):  # workers show their counts to each other every half second
                while (await scrapers[0].scrape())[ANSWERED] != 72:
                    pass
            for client in scrapers:  # of both workers
                counted = samples((await client.get("/api/metrics")).text)
                assert (counted["identity_workers"], counted[ANSWERED]) == (2, 72)

    env = {"REDIS_URL": redis.url, "WORKERS": "2", "MANAGEMENT_PORT": port}
    with ServiceProcess(**env) as service:
        run(scenario(service.port))


def test_connections_of_the_api_take_no_room_from_the_management(port: str) -> None:
    async def scenario(api: int) -> None:
        async with clients(api, 4) as held:
            for client in held:
                await client.get("/api/health/live")
            assert await statuses(api, ("/api/health/live",)) == [503]
            async with await Client.open(int(port)) as scraper:
                counted = samples((await scraper.get("/api/metrics")).text)
        assert counted["identity_connections_open"] in (5, 6), "of both ports; the shed one may linger"
        assert counted["identity_connections_shed_total"] == 1

    with ServiceProcess(MANAGEMENT_PORT=port, MAX_CONNECTIONS="4") as service:
        run(scenario(service.port))


def test_it_speaks_tls_where_the_api_does(port: str, tmp_path: Path) -> None:
    pair = good_pair(tmp_path)
    with ServiceProcess(MANAGEMENT_PORT=port, **pair.variables) as service:
        assert run(statuses(int(port), OF_MANAGEMENT, pair.trusting)) == [200, 200]
        assert run(statuses(service.port, OF_MANAGEMENT, pair.trusting)) == [404, 404]


def test_the_commands_of_this_machine_call_it(port: str) -> None:
    with ServiceProcess(MANAGEMENT_PORT=port, **REPLICA) as service:
        env = {"PORT": str(service.port), "MANAGEMENT_PORT": port, **REPLICA}
        assert command("health", env=env).returncode == 0
        top = command("top", "--json", env=env)
        assert top.returncode == 0, top.stderr
        assert json.loads(top.stdout)["heaviest"] == []
    gone = command("health", env=env)
    assert (gone.returncode, f"port {port} does not answer" in gone.stderr) == (1, True)


def test_it_says_that_the_service_drains_until_the_end(port: str) -> None:
    async def scenario(service: ServiceProcess) -> None:
        async with await Client.open(int(port)) as scraper:
            assert (await scraper.get("/api/health/ready")).status == 200
            service.send_signal(signal.SIGTERM)
            service.wait_for_log("draining")
            assert (await scraper.get("/api/health/ready")).status == 503
        async with await Client.open(int(port)) as scraper:
            answer = await scraper.get("/api/metrics")
            assert answer.closes
            assert 'identity_health{status="unhealthy"} 1' in answer.text
        service.send_signal(signal.SIGTERM)

    with ServiceProcess(MANAGEMENT_PORT=port, DRAIN_DELAY="200", DRAIN_SECONDS="250") as service:
        run(scenario(service))
        assert service.wait(10) == 0


def test_a_port_that_is_taken_stops_the_start(port: str) -> None:
    with ServiceProcess(MANAGEMENT_PORT=port):
        told = command("serve", env={"PORT": str(free_port()), "MANAGEMENT_PORT": port})
    assert told.returncode == 1
    assert f"port {port} is already in use: stop what listens there, or choose another MANAGEMENT_PORT." in told.stderr
