"""What ``run`` does with a test that leaves something open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.loops import run


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    """The port of a server that accepts and says nothing."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def leave_open(error: Exception | None) -> None:
    async with listening() as port:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
        if error is not None:
            raise error


def test_a_failure_with_open_transports_is_reported_and_does_not_hang() -> None:
    with pytest.raises(ZeroDivisionError):
        run(leave_open(ZeroDivisionError()))


def test_a_transport_that_is_left_open_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="unclosed resource <TCPTransport"):
        run(leave_open(None))
