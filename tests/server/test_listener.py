"""The listener on real sockets and a real loop: bounds, shedding, the sweep, and the end."""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from arsenal_fast.api.app import App
from arsenal_fast.api.compose import compose
from arsenal_fast.api.services import Services
from arsenal_fast.api.settings import Settings
from arsenal_fast.http.limits import Limits
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server.listener import ACCEPTED, SPARE_DESCRIPTORS, Listener
from arsenal_fast.server.state import State, time_limits
from arsenal_fast.stores.memory import MemoryBackend
from tests.support.loops import run, until
from tests.support.rig import Rig, read_answers, request
from tests.support.tokens import hs256_keys

LIVE = request("GET", "/api/health/live")
ID = request("GET", "/api/v1/id?run=1")
BIG = request("GET", "/api/docs/swagger-ui-bundle.js")
KEYS = hs256_keys()
SHED = 503
ADDRESSES = ("127.0.0.1", "127.0.0.2")


@dataclass
class Serving:
    """A worker's server on a port of two addresses."""

    app: App
    listener: Listener
    port: int

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def waiting(self, octets: bytes = b"", address: str = ADDRESSES[0]) -> socket.socket:
        """A client that the kernel has accepted and the loop has not; it has already sent its request."""
        client = socket.create_connection((address, self.port))
        client.sendall(octets)
        client.setblocking(False)
        return client

    async def ask(self, octets: bytes = LIVE) -> bytes:
        """Send on a connection of its own, and return all that comes until the server has shut its side."""
        reader, writer = await self.connect()
        writer.write(octets)
        answer = await reader.read()
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def serving(
    max_connections: int = 1000, tls: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[Serving]:
    memory = MemoryBackend(lambda: time.monotonic_ns() // 1000, lambda: time.time_ns() // 1_000_000)
    services = Services(
        settings=Settings(
            **{"version": "v0", "domain": "x.example", "base_url": "http://x", "quota": None, **settings}
        ),
        backend=memory,
        local=memory,
        keys=KEYS,
        call_soon=asyncio.get_running_loop().call_soon,
        monotonic=time.monotonic,
        now=time.time,
    )
    app = compose(services, Limits())
    listener = Listener(app, limits=Limits(), time_limits=time_limits(), max_connections=max_connections)
    listening = [socket.socket() for _ in ADDRESSES]
    port = 0
    for each, address in zip(listening, ADDRESSES, strict=True):
        each.bind((address, port))
        port = each.getsockname()[1]
    await listener.start(listening, tls)
    app.services.ready = True
    try:
        yield Serving(app, listener, port)
    finally:
        await listener.stop(asyncio.get_running_loop().time())
        assert not listener._connections, "nothing is left behind"


async def received(client: socket.socket) -> bytes:
    """All that comes until the server has shut its side; the client then closes."""
    chunks = []
    with client:
        while chunk := await asyncio.get_running_loop().sock_recv(client, 1_048_576):
            chunks.append(chunk)
    return b"".join(chunks)


def closing(octets: bytes) -> bytes:
    return octets.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def test_it_serves_and_counts_its_connections() -> None:
    async def main() -> None:
        async with serving(quota=Quota(100, 3600)) as server:
            reader, writer = await server.connect()
            writer.write(ID * 3 + closing(ID))
            answers = read_answers(await reader.read(), ["GET"] * 4)
            assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["99", "98", "97", "96"]
            assert server.app.services.metrics.connections_open == 1
            writer.close()
            await until(lambda: server.app.services.metrics.connections_open == 0)
            assert server.app.services.metrics.connections_accepted == 1

    run(main())


def test_of_connections_that_come_at_once_several_are_accepted_in_a_turn_of_the_loop() -> None:
    async def main() -> None:
        async with serving() as server:
            clients = [server.waiting() for _ in range(5 * ACCEPTED)]
            metrics, turns, seen = server.app.services.metrics, 0, 0
            while metrics.connections_open < len(clients):
                await asyncio.sleep(0)  # a turn
                turns += 1
                assert metrics.connections_open - seen <= ACCEPTED
                seen = metrics.connections_open
            assert turns <= 3 * 5
            for client in clients:
                client.close()

    run(main())


def test_a_half_closed_client_gets_its_answers() -> None:
    async def main() -> None:
        async with serving() as server:
            reader, writer = await server.connect()
            writer.write(ID * 50)
            writer.write_eof()
            assert len(read_answers(await reader.read(), ["GET"] * 50)) == 50
            writer.close()

    run(main())


def test_a_client_that_goes_on_sending_still_gets_its_refusal() -> None:
    async def main() -> None:
        async with serving() as server:
            reader, writer = await server.connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200_000)
            assert read_answers(await reader.read(), ["GET"])[0].status == 431
            writer.close()

    run(main())


def test_a_client_that_does_not_read_is_not_read_from_and_loses_nothing() -> None:
    async def main() -> None:
        async with serving() as server:
            count = 10
            client = server.waiting(BIG * count)
            await until(lambda: any(each.state is State.BACK_PRESSURED for each in server.listener._connections))
            (connection,) = server.listener._connections
            assert connection._transport.get_write_buffer_size() < 3_000_000, "two of its answers at most"
            client.sendall(closing(LIVE))
            answers = read_answers(await received(client), ["GET"] * (count + 1))
            assert {answer.status for answer in answers} == {200}
            assert answers[-1].json == {"status": "alive"}

    run(main())


def test_a_client_that_resets_is_silently_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving() as server:
            for octets in (b"", LIVE[:9], BIG * 9):
                client = server.waiting(octets)
                await until(lambda: server.app.services.metrics.connections_open == 1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                await until(lambda: server.app.services.metrics.connections_open == 0)
            assert (await server.ask(closing(LIVE))).startswith(b"HTTP/1.1 200 OK\r\n")

    run(main())
    assert not caplog.records


# Too many connections


def test_one_connection_too_many_is_told_so_and_the_others_live_on() -> None:
    async def main() -> None:
        async with serving(max_connections=2, origins=("https://a.example",)) as server:
            kept = [await server.connect() for _ in range(2)]
            (answer,) = read_answers(await server.ask(b""), ["GET"])
            assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (SHED, "1", "close")
            assert answer.headers["access-control-allow-origin"] == "https://a.example"
            assert answer.headers["content-type"] == "application/problem+json"
            for reader, writer in kept:
                writer.write(closing(LIVE))
                assert read_answers(await reader.read(), ["GET"])[0].status == 200
                writer.close()
            await until(lambda: server.app.services.metrics.connections_open == 0)
            assert (await server.ask(closing(LIVE))).startswith(b"HTTP/1.1 200 OK\r\n"), "there is room again"
            assert server.app.services.metrics.connections_shed == 1

    run(main())


def test_a_shed_client_gets_its_answer_also_when_it_has_sent_much() -> None:
    async def main() -> None:
        async with serving(max_connections=0) as server:
            assert read_answers(await server.ask(ID * 5000), ["GET"])[0].status == SHED

    run(main())


def test_far_too_many_connections_are_cut_off_without_a_word() -> None:
    rig = Rig(max_connections=1)
    clients = [rig.connect() for _ in range(1 + SPARE_DESCRIPTORS // 2 + 5)]
    told = [client for client in clients if client.transport.written]
    assert len(told) == SPARE_DESCRIPTORS // 2
    assert [client.transport.aborted for client in clients] == [False] * (len(clients) - 5) + [True] * 5
    assert {client.answers("GET")[0].status for client in told} == {SHED}
    for client in told:
        client.send(LIVE)
        assert client.octets == b""


# The sweep


def test_the_sweep_goes_on_whatever_one_connection_does(monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        failures: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: failures.append(context))
        async with serving() as server:

            class Failing:
                def sweep(self, now: float) -> None:
                    swept.append(now)
                    raise ZeroDivisionError

            failing: Any = Failing()
            server.listener._connections.add(failing)
            await until(lambda: len(swept) == 3)
            server.listener._connections.discard(failing)
            assert len(failures) == 3

    monkeypatch.setattr("arsenal_fast.server.listener.SWEEP", 0.01)
    run(main())


# The end


def test_who_was_connected_before_the_end_is_served_and_who_comes_later_is_not() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving() as server:
            clients = [server.waiting(LIVE, address) for address in ADDRESSES for _ in range(25)]
            silent = [server.waiting() for _ in range(3)]
            server.app.services.draining = True
            server.listener.drain()
            stopping = loop.create_task(server.listener.stop(loop.time() + 5))
            answers = await asyncio.gather(*[received(client) for client in clients])
            for octets in answers:
                (answer,) = read_answers(octets, ["GET"])
                assert (answer.status, answer.headers["connection"]) == (200, "close")
            for address in ADDRESSES:
                with pytest.raises(ConnectionRefusedError):
                    server.waiting(LIVE, address)
            assert not stopping.done(), "a client may still send requests"
            for client in silent:
                await loop.sock_sendall(client, LIVE)
                assert read_answers(await received(client), ["GET"])[0].status == 200
            assert await stopping, "no connection had to be cut off"

    run(main())


def test_who_does_not_end_in_time_is_cut_off() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving() as server:
            reader, writer = await server.connect()
            writer.write(LIVE[:-2])
            await until(lambda: any(each.state is State.READING_HEAD for each in server.listener._connections))
            server.app.services.draining = True
            server.listener.drain()
            assert await server.listener.stop(loop.time() + 0.02) is False
            assert await reader.read() == b""
            writer.close()

    run(main())


def test_with_nobody_connected_the_end_comes_at_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving() as server:
            (await server.ask(closing(LIVE)))
            await until(lambda: server.app.services.metrics.connections_open == 0)
            async with asyncio.timeout(1):
                assert await server.listener.stop(loop.time() + 60)

    run(main())


def test_a_client_that_never_speaks_tls_delays_the_end_for_nobody() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as server:
            silent = [server.waiting() for _ in range(3)]
            async with asyncio.timeout(2):
                await server.listener.stop(loop.time() + 0.05)
            for client in silent:
                with contextlib.suppress(ConnectionResetError):
                    assert await received(client) == b""

    run(main())
