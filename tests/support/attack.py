"""Attacks on a service on loopback, all at once, from many addresses, for a bounded time.

``python -m tests.support.attack PORT SECONDS plain|tls [VECTOR ...]``: attackers, each with an address of 127.0.1.0/24,
run these vectors (all of VECTORS where none is named) until the time is over; a line of JSON says how many rounds each
made. The attackers are one process of low priority: on a machine of few processors they must not take from the service
what they mean to take from its clients.
"""

import asyncio
import contextlib
import json
import os
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final, cast

import uvloop

ATTACKERS: Final = 50
NICENESS: Final = 10
PAUSE_S: Final = 0.05  # between two rounds of a vector
HOST: Final = "Host: attack.example\r\n"

UNFINISHED: Final = b"POST /api/v1/validate HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 1_048_000

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Attacker:
    """One address and the vectors that run from it."""

    def __init__(self, number: int, port: int, tls: ssl.SSLContext | None, ends_s: float, counts: Counter[str]) -> None:
        self.number = number
        self.address = f"127.0.1.{number + 1}"
        self.port = port
        self.tls = tls
        self.ends_s = ends_s
        self.counts = counts
        self.serial = 0

    @property
    def left_s(self) -> float:
        """Seconds until the attack is over, not below 0."""
        return max(self.ends_s - time.monotonic(), 0.0)

    @contextlib.asynccontextmanager
    async def connection(self, *, handshake: bool = True) -> AsyncIterator[Streams]:
        """A connection from this attacker's address; raises OSError where the service takes none or cuts it off."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            self.port,
            local_addr=(self.address, 0),
            limit=1 << 16,
            ssl=self.tls if handshake else None,
            server_hostname="localhost" if self.tls and handshake else None,
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def run(self, name: str, vector: "Vector") -> None:
        """Repeat one vector until the time is over."""
        while self.left_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.left_s):
                    try:
                        await vector(self)
                    except* (OSError, EOFError):
                        self.counts["cut off"] += 1
                    else:
                        self.counts[name] += 1
                    await asyncio.sleep(PAUSE_S)

    async def flood(self, octets: bytes, *, read: bool = True, linger_s: float = 2.0) -> None:
        """Send pipelined requests; read what comes for a while, or nothing at all."""
        async with self.connection() as (reader, writer):
            writer.write(octets)
            if not read:
                cast(asyncio.Transport, writer.transport).pause_reading()
                await asyncio.sleep(min(linger_s * 5, self.left_s))
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(linger_s):
                    await writer.drain()
                    while part := await reader.read(1 << 16):
                        self.counts["octets read"] += len(part)

    def names(self, count: int) -> str:
        """Environments with the longest runs, never the same."""
        self.serial += 1
        rows = (
            f'{{"name":"n{row}","prefix":"p{self.number}","run":"{self.serial:08d}-{row:04d}-{"x" * 40}"}}'
            for row in range(count)
        )
        return ",".join(rows)


Vector = Callable[[Attacker], Awaitable[None]]


def post(path: str, body: str, fields: str = "") -> bytes:
    """A request with a JSON body."""
    fields += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST {path} HTTP/1.1\r\n{HOST}{fields}\r\n{body}".encode("ascii")


def get(target: str, fields: str = "") -> bytes:
    """A request without a body."""
    return f"GET {target} HTTP/1.1\r\n{HOST}{fields}\r\n".encode("ascii")


async def malformed_rows(attacker: Attacker) -> None:
    body = json.dumps({"identities": ["-"] * 990})
    await attacker.flood(post("/api/v1/validate", body) * 8)


async def limits(attacker: Attacker) -> None:
    await attacker.flood(get("/api/v1/limits") * 4000)


async def bad_tokens(attacker: Attacker) -> None:
    token = "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ4In0.AAAA\r\n"
    await attacker.flood(get("/api/v1/limits", token) * 500)


async def unfinished_bodies(attacker: Attacker) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(6):
            _, writer = await stack.enter_async_context(attacker.connection())
            writer.write(
                b"POST /api/v1/validate HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 1048000
            )
        await asyncio.sleep(min(20.0, attacker.left_s))


async def unread_batches(attacker: Attacker) -> None:
    body = f'{{"environments":[{attacker.names(1000)}],"ttl":2592000}}'
    await attacker.flood(post("/api/v1/identities", body) * 10, read=False)


async def read_batches(attacker: Attacker) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            body = f'{{"environments":[{attacker.names(1000)}]}}'
            tasks.create_task(attacker.flood(post("/api/v1/identities", body) * 2))


async def scrapes(attacker: Attacker) -> None:
    await attacker.flood(get("/api/metrics") * 1500 + get("/api/telemetry") * 1500)


async def pages(attacker: Attacker) -> None:
    await attacker.flood(get("/api/openapi.json") * 500 + get("/api/docs/swagger-ui-bundle.js") * 50)


async def unread_pages(attacker: Attacker) -> None:
    await attacker.flood(get("/api/docs/swagger-ui-bundle.js") * 100, read=False)


async def wide_accept(attacker: Attacker) -> None:
    accept = "Accept: " + ",".join(f"text/x{number};q=0.5" for number in range(900)) + "\r\n"
    await attacker.flood(get("/api/health", accept) * 50)


async def not_found(attacker: Attacker) -> None:
    await attacker.flood(get("/api/nothing") * 30000)


async def long_lines(attacker: Attacker) -> None:
    attacker.serial += 1
    run = f"r{attacker.serial}-{'y' * 30}"
    octets = b"".join(get(f"/api/v1/id?prefix=h{attacker.number}&run={run}-{row}&x={'z' * 900}") for row in range(20))
    await attacker.flood(octets)


async def slow_heads(attacker: Attacker) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            _, writer = await stack.enter_async_context(attacker.connection())
            writer.write(b"GET /api/v1/id HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"s" * 15000)
        await asyncio.sleep(min(12.0, attacker.left_s))


async def silent_handshakes(attacker: Attacker) -> None:
    if attacker.tls is None:
        return
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            _, writer = await stack.enter_async_context(attacker.connection(handshake=False))
            writer.write(b"\x16\x03\x01\x02\x00\x01")
        await asyncio.sleep(min(15.0, attacker.left_s))


VECTORS: Final[dict[str, Vector]] = {
    vector.__name__: vector
    for vector in (
        malformed_rows,
        limits,
        bad_tokens,
        unfinished_bodies,
        unread_batches,
        read_batches,
        scrapes,
        pages,
        unread_pages,
        wide_accept,
        not_found,
        long_lines,
        slow_heads,
        silent_handshakes,
    )
}


async def attack(port: int, seconds: float, *, tls: bool, only: Collection[str] = ()) -> Counter[str]:
    """Run the vectors from all addresses at once; how many rounds each made."""
    counts: Counter[str] = Counter()
    context = ssl._create_unverified_context() if tls else None
    ends_s = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        for number in range(ATTACKERS):
            attacker = Attacker(number, port, context, ends_s, counts)
            for name, vector in VECTORS.items():
                if not only or name in only:
                    tasks.create_task(attacker.run(name, vector))
    return counts


if __name__ == "__main__":
    os.nice(NICENESS)
    _, port_text, seconds_text, transport, *vectors = sys.argv
    made = uvloop.run(attack(int(port_text), float(seconds_text), tls=transport == "tls", only=vectors))
    print(json.dumps(made))
