"""A small HTTP/1.1 client for many connections at once.

It writes the bytes of its caller unchanged, and parses responses with h11, independently of the service.
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Self, cast

import h11

from tests.support.loops import until

PATIENCE = 10.0  # seconds until an answer that does not come fails a test
_READ = 65536


class Gone(ConnectionError):
    """The connection has ended where an answer was due."""


@dataclass(slots=True)
class Answer:
    """``headers``: names in lower case, values of one name joined with a comma. ``seconds``: from the sending."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Client:
    """One connection. Requests may be sent ahead; ``answer`` reads the next answer in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""
        self._sent = perf_counter()

    @classmethod
    async def open(cls, port: int, *, tls: ssl.SSLContext | None = None, source: str | None = None) -> Self:
        """``source``: one of 127.0.0.0/8, to be another client to the service."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                port,
                ssl=tls,
                server_hostname="localhost" if tls else None,
                local_addr=(source, 0) if source else None,
            )
        return cls(reader, writer)

    def send(self, octets: bytes) -> None:
        """Hand it to the kernel or to the loop; does not wait."""
        self._sent = perf_counter()
        self._writer.write(octets)

    @property
    def is_cut(self) -> bool:
        """Whether nothing can be sent any more; what has come can still be read."""
        return self._writer.is_closing()

    async def flushed(self) -> None:
        """Wait until all that was sent is in the kernel's hands."""
        async with asyncio.timeout(PATIENCE):
            await until(lambda: self._writer.transport.get_write_buffer_size() == 0)

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, to a request of that method. Raises Gone, TimeoutError, h11.RemoteProtocolError."""
        reading = h11.Connection(h11.CLIENT)
        reading.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
        reading.send(h11.EndOfMessage())
        if self._rest:  # no bytes would be the end of the stream to h11
            reading.receive_data(self._rest)
        response: h11.Response | None = None
        body = bytearray()
        async with asyncio.timeout(PATIENCE):
            while not isinstance(event := reading.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    await self._more(reading)
                elif isinstance(event, h11.Response):
                    response = event
                elif isinstance(event, h11.Data):
                    body += event.data
        assert response is not None
        self._rest = bytes(reading.trailing_data[0])
        return Answer(response.status_code, _joined(response), bytes(body), perf_counter() - self._sent)

    async def ask(self, octets: bytes, method: str = "") -> Answer:
        """Send one request and read its answer."""
        self.send(octets)
        return await self.answer(method or octets[: octets.index(b" ")].decode())

    async def get(self, target: str, **headers: str) -> Answer:
        """``headers``: with underscores for hyphens."""
        return await self.ask(request("GET", target, headers))

    async def scrape(self) -> dict[str, float]:
        """The metrics, with all that was answered before: a sum is shown for a second, and telemetry says of when."""
        asked = datetime.now(UTC)
        while datetime.fromisoformat((await self.get("/api/telemetry")).json["timestamp"]) <= asked:
            pass
        return samples((await self.get("/api/metrics")).text)

    async def post(self, target: str, value: object, **headers: str) -> Answer:
        """A JSON body."""
        return await self.ask(post(target, value, headers))

    async def ended(self) -> bytes:
        """Wait for the end of the connection; what came before it. A reset is an end, too."""
        octets, self._rest = self._rest, b""
        async with asyncio.timeout(PATIENCE):
            try:
                while more := await self._reader.read(_READ):
                    octets += more
            except ConnectionError:
                pass
        return octets

    async def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long; if something does, it is kept for ``answer``."""
        try:
            async with asyncio.timeout(seconds):
                self._rest += await self._reader.read(_READ)
        except TimeoutError:
            return True
        return False

    def stop_reading(self) -> None:
        """Let what comes stay in the kernel."""
        cast(asyncio.Transport, self._writer.transport).pause_reading()

    def half_close(self) -> None:
        """Say that we send no more."""
        self._writer.write_eof()

    def peer_certificate(self) -> bytes:
        """In DER."""
        tls: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.closed()

    async def closed(self) -> None:
        """Close, and wait until the socket is; a TLS connection takes a round trip for it."""
        self._writer.close()
        with suppress(ConnectionError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._writer.wait_closed()

    def reset(self) -> None:
        self._writer.transport.abort()

    async def _more(self, reading: h11.Connection) -> None:
        try:
            octets = await self._reader.read(_READ)
        except ConnectionError as error:
            raise Gone("the connection was reset") from error
        if not octets and reading.their_state in (h11.IDLE, h11.SEND_RESPONSE):
            raise Gone("the connection was closed without an answer")
        reading.receive_data(octets)


@asynccontextmanager
async def clients(
    ports: int | Sequence[int], count: int, *, sources: Sequence[str] = (), tls: ssl.SSLContext | None = None
) -> AsyncIterator[list[Client]]:
    """So many open connections, dealt out over the ports (and the source addresses) in turn."""
    ports = [ports] if isinstance(ports, int) else ports
    allow_descriptors(count + 256)
    opened: list[Client] = []
    try:
        for index in range(count):
            source = sources[index % len(sources)] if sources else None
            opened.append(await Client.open(ports[index % len(ports)], tls=tls, source=source))
        yield opened
    finally:
        for each in opened:
            await each.closed()


def request(method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> bytes:
    """The bytes of a request; ``headers`` may have underscores for hyphens."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def post(target: str, value: object, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request with a JSON body."""
    return request("POST", target, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())


def samples(text: str) -> dict[str, float]:
    """The samples of Prometheus text by ``name{labels}``, as they stand."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def allow_descriptors(wanted: int) -> None:
    """Let this process open so many files, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _joined(response: h11.Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers:
        key = name.decode()
        headers[key] = f"{headers[key]}, {value.decode()}" if key in headers else value.decode()
    return headers
