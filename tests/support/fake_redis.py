"""A fake Redis: speaks RESP2 over a real socket, with replies that a test sets.

Unreal about it: it keeps no data, runs no script (it knows them by their keys; every cell is idle, no identity is
known, nothing was ever revoked) and accepts any SCRIPT LOAD, AUTH and SELECT. Good for what a real Redis can't be
made to show: garbage, silence after accepting, replies in pieces, LOADING, the errors of other versions.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import hiredis

Command = Sequence[bytes]
Answer = Callable[[Command], bytes | None]

HANG_UP = b"(hang up)"  # at the end of an answer: then close the connection


def ordinary(command: Command) -> bytes | None:
    """What a healthy and empty Redis would answer."""
    match command[0]:
        case b"EVALSHA" | b"EVAL":
            return run(command[3 : 3 + int(command[2])], command[3 + int(command[2]) :])
        case b"MGET":
            return b"*%d\r\n%b" % (len(command) - 1, b"$-1\r\n" * (len(command) - 1))
        case b"PING":
            return b"+PONG\r\n"
    return b"+OK\r\n"


def run(keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
    """What a script of such keys would reply; an admission has a revision and its cells."""
    if keys[1:] == [b"af:{0}:r", b"af:{0}:l"]:  # revoke.lua
        values = 6
    elif keys == [b"af:{0}:r", b"af:{0}:l", b"af:{0}:e"]:
        if len(arguments) == 1:  # changes.lua
            return b"*3\r\n:0\r\n*0\r\n*0\r\n"
        values = 1 + len(arguments) // 2
    else:
        values = 3 * len(keys) if keys[0].startswith(b"af:{0}:i:") else len(keys)
    return b"*%d\r\n%b" % (values, b":0\r\n" * values)


class FakeRedis:
    """``answer`` may be replaced at any time; None is silence. ``commands``: all that came, in order."""

    def __init__(self, answer: Answer = ordinary, host: str = "127.0.0.1", port: int = 0) -> None:
        self.answer = answer
        self.commands: list[Command] = []
        self.accepted = 0
        self.bytewise = False  # write each byte separately
        self._place = host, port
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    async def __aenter__(self) -> "FakeRedis":
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self, self._open), *self._place
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._open):
            connection.hang_up()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"redis://{self._place[0]}:{self.port}"

    def names(self) -> list[bytes]:
        """The names of the commands that came."""
        return [command[0] for command in self.commands]

    def say(self, octets: bytes) -> None:
        """Send unasked to everyone connected."""
        for connection in list(self._open):
            connection.write(octets)

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            connection.hang_up()


class _Connection(asyncio.Protocol):
    def __init__(self, fake: FakeRedis, registry: set["_Connection"]) -> None:
        self._fake = fake
        self._registry = registry
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._registry.add(self)
        self._fake.accepted += 1

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self._fake.commands.append(command)
            answer = self._fake.answer(command)
            if answer is not None:
                self.write(answer.removesuffix(HANG_UP))
                if answer.endswith(HANG_UP):
                    self.hang_up()
                    return

    def connection_lost(self, exc: Exception | None) -> None:
        self._registry.discard(self)

    def write(self, octets: bytes) -> None:
        assert self._transport is not None
        for piece in [octets[at : at + 1] for at in range(len(octets))] if self._fake.bytewise else [octets]:
            self._transport.write(piece)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()
