"""Memory that clients can make the service hold, and waiting times of others: over real sockets."""

import asyncio
import re
import signal
import socket
from pathlib import Path
from time import monotonic

import orjson
import pytest

from tests.support.certificates import good_pair
from tests.support.honest import Honest
from tests.support.http_client import Client, clients, request, samples
from tests.support.loops import run
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

ID = request("GET", "/api/v1/id?prefix=player&run=1")
LIVE = request("GET", "/api/health/live")
METRICS = request("GET", "/api/metrics")
LARGE = request("GET", "/api/docs/swagger-ui-bundle.js")
CLOSE = b"\r\nConnection: close\r\n\r\n"
ENV = {"RATE_LIMIT_REQUESTS": "0", "ACCESS_LOG": "off"}


def most(pid: int) -> float:
    """The most memory that the process ever had, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def test_300_unfinished_bodies_of_a_megabyte_stay_within_the_bound() -> None:
    body = b" " * 1_000_000
    octets = request("POST", "/api/v1/validate", {"Content-Type": "application/json"}, body)[:-1]

    async def scenario(service: ServiceProcess) -> None:
        async with clients(service.port, 1) as (client,), clients(service.port, 300) as greedy:
            honest = Honest(client, service.pid)
            await honest.ask(ID)
            before, begun = most(service.pid), monotonic()
            for each in greedy:
                each.send(octets)
            while monotonic() - begun < 3:
                await honest.ask(ID)
                await client.quiet(0.01)
            assert honest.worst_s < 0.5, "others are served meanwhile"
            grown = most(service.pid) - before
            print(f"{grown:.0f} MiB more for 300 MB that were sent, others within {honest.worst_s * 1000:.0f} ms")
            assert grown < 60
            for each in greedy:
                each.reset()

    with ServiceProcess(**ENV) as service:
        run(scenario(service), deadline=20)


@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
def test_100_batches_of_1000_rows_at_once_stay_within_the_bound(reads: bool) -> None:
    def batch(number: int) -> bytes:
        rows = [{"name": "n", "prefix": "p", "run": f"{number}-{row}"} for row in range(1000)]
        return request("POST", "/api/v1/identities", {}, orjson.dumps({"environments": rows}))

    batches = [batch(number) for number in range(100)]

    async def scenario(service: ServiceProcess) -> None:
        async with clients(service.port, 1) as (first,):
            for octets in batches:  # what is issued is remembered, which takes memory of its own
                assert (await first.ask(octets)).status == 200
            before = most(service.pid)
            async with clients(service.port, 100) as opened:
                for client, octets in zip(opened, batches, strict=True):
                    if not reads:
                        client.stop_reading()
                    client.send(octets)
                honest, begun = Honest(first, service.pid), monotonic()
                while monotonic() - begun < 2:
                    await honest.ask(ID)
                assert honest.worst_s < 0.5, "others are served meanwhile"
                if reads:
                    assert {(await client.answer("POST")).status for client in opened} == {200}
                grown = most(service.pid) - before
                print(f"{grown:.0f} MiB more for 100,000 rows, others within {honest.worst_s * 1000:.0f} ms")
                assert grown < 40
                for client in opened:
                    client.reset()

    with ServiceProcess(**ENV) as service:
        run(scenario(service), deadline=30)


@pytest.mark.parametrize("target", ["/api/metrics", "/api/openapi.json", "/api/v1/limits", "/api/nothing"])
def test_a_megabyte_of_pipelined_requests_delays_no_other_client(target: str) -> None:
    octets = request("GET", target)

    async def scenario(service: ServiceProcess) -> None:
        async with clients(service.port, 1) as (client,), clients(service.port, 1) as (greedy,):
            for _ in range(2):
                await greedy.ask(octets)
            greedy.send(octets * (1_100_000 // len(octets)))
            reading = asyncio.create_task(greedy.ended())
            honest, begun = Honest(client, service.pid), monotonic()
            while monotonic() - begun < 1:
                await honest.ask(LIVE)
            print(f"others within {honest.worst_s * 1000:.0f} ms")
            assert honest.worst_s < 0.2
            greedy.reset()
            await reading

    with ServiceProcess(**ENV | {"RATE_LIMIT_REQUESTS": "100"}) as service:
        run(scenario(service))


def test_a_client_that_reads_steadily_gets_all_of_it_however_long_it_takes() -> None:
    count = 5

    async def scenario(service: ServiceProcess) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)  # little waits in our own kernel
            client.connect(("127.0.0.1", service.port))
            client.setblocking(False)
            await loop.sock_sendall(client, LARGE * (count - 1) + LARGE.replace(b"\r\n\r\n", CLOSE))
            octets, begun = 0, monotonic()
            while part := await loop.sock_recv(client, 65_536):
                octets += len(part)
                await asyncio.sleep(max(octets / 1_000_000 - (monotonic() - begun), 0))  # the pace: 1 MB/s
            print(f"{octets / 1e6:.1f} MB in {monotonic() - begun:.1f} s, whole, with WRITE_TIMEOUT=1")
            assert octets > count * 1_000_000
            assert monotonic() - begun > 5, "longer than the time for writing"

    with ServiceProcess(**ENV, WRITE_TIMEOUT="1") as service:
        run(scenario(service), deadline=30)


# TLS


def test_connections_that_never_shake_hands_are_counted_and_go(tmp_path: Path) -> None:
    async def scenario(service: ServiceProcess) -> None:
        async with clients(service.port, 100) as silent:
            silent[0].send(b"\x16\x03\x01\x02")
            async with await Client.open(service.port, tls=pair.trusting) as client:
                shown = samples((await client.ask(METRICS)).text)
                assert shown["identity_connections_open"] == 101
                for each in silent:
                    assert await each.ended() == b""
                shown = samples((await client.ask(METRICS)).text)
                assert shown["identity_connections_open"] == 1
                print("100 of 100 cut off at HEADER_TIMEOUT, none counted afterwards")

    pair = good_pair(tmp_path)
    with ServiceProcess(**ENV, **pair.variables, HEADER_TIMEOUT="1") as service:
        run(scenario(service))


def test_an_idle_tls_client_and_half_a_hello_do_not_hold_up_the_stop(tmp_path: Path) -> None:
    async def scenario(service: ServiceProcess) -> float:
        idle = await Client.open(service.port, tls=pair.trusting)
        assert (await idle.ask(ID)).status == 200
        async with clients(service.port, 1) as (half,):
            half.send(b"\x16\x03\x01\x02\x00\x01\x00")
            await half.flushed()
            idle.stop_reading()  # it will not answer close_notify
            begun = monotonic()
            service.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(service.wait, 20) == 0
            idle.reset()
            return monotonic() - begun

    pair = good_pair(tmp_path)
    with ServiceProcess(**ENV, **pair.variables) as service:
        took_s = run(scenario(service), deadline=25)
        print(f"exit 0 after {took_s:.1f} s")
        assert took_s < 8
