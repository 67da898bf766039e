"""The floor: a server that parses nothing and writes one fixed response to every read.

Run as ``python floor.py PORT ANSWER_FILE``. The file holds the very bytes that the service answers for the
workload, so that the size of the answer is not what differs. Right only for a client that waits for each
answer and sends a request in one write (wrk does): a read is then a request.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import cast

import uvloop


class Floor(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self._write(self._answer)


async def serve(port: int, answer: bytes) -> None:
    """Answer on 127.0.0.1 until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: Floor(answer), "127.0.0.1", port)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
