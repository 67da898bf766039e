"""A server that gives one fixed answer to each request, in one of several ways: ``PORT WAY``.

As ``bench/floor.py``, but it counts the requests of a read, as a pipelining client needs. The answer has the size of
the service's, in two pieces where the way wants pieces.
"""

import asyncio
import os
import sys
from typing import cast

import uvloop

BODY = b'{"id":"%b"}' % (b"x" * 640)
HEAD = b"HTTP/1.1 200 OK\r\n%b\r\n" % b"".join(b"X-Line-%d: %b\r\n" % (number, b"y" * 40) for number in range(8))
TAIL = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
HEAD = HEAD[:-2]
ANSWER = HEAD + TAIL


class Written(asyncio.Protocol):
    """One ``transport.write`` an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.descriptor: int = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        self.answer(data.count(b"\r\n\r\n"))

    def answer(self, requests: int) -> None:
        for _ in range(requests):
            self.transport.write(ANSWER)


class Joined(Written):
    """All answers of a tick in one write."""

    def answer(self, requests: int) -> None:
        self.transport.write(b"".join([ANSWER] * requests))


class Deferred(Written):
    """Answers one by one, kept until the turn's end and joined there, as a server has to that can't see them coming."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.kept: list[bytes] = []
        self.call_soon = asyncio.get_running_loop().call_soon

    def answer(self, requests: int) -> None:
        kept = self.kept
        for _ in range(requests):
            if not kept:
                self.call_soon(self.flush)
            kept.append(ANSWER)

    def flush(self) -> None:
        kept = self.kept
        self.transport.write(kept[0] if len(kept) == 1 else b"".join(kept))
        kept.clear()


class Sent(Written):
    """Straight to the kernel. A short write would have to be finished by the transport; here it never comes."""

    def answer(self, requests: int) -> None:
        for _ in range(requests):
            if os.write(self.descriptor, ANSWER) != len(ANSWER):
                self.transport.abort()


class TwoWrites(Written):
    """Two pieces, a write each."""

    def answer(self, requests: int) -> None:
        for _ in range(requests):
            self.transport.write(HEAD)
            self.transport.write(TAIL)


class WriteLines(Written):
    """Two pieces by ``writelines``."""

    def answer(self, requests: int) -> None:
        for _ in range(requests):
            self.transport.writelines((HEAD, TAIL))


class JoinedPieces(Written):
    """Two pieces joined for each answer, as the service does."""

    def answer(self, requests: int) -> None:
        for _ in range(requests):
            self.transport.write(b"".join((HEAD, TAIL)))


WAYS = {way.__name__: way for way in (Written, Joined, Deferred, Sent, TwoWrites, WriteLines, JoinedPieces)}


async def serve(port: int, way: type[Written]) -> None:
    """Until SIGTERM, which may end it as it stands: nothing here is worth closing."""
    server = await asyncio.get_running_loop().create_server(way, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), WAYS[sys.argv[2]]))
