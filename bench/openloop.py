"""An open-loop load generator: sends requests at a fixed rate, whether or not responses arrive.

Run as ``python openloop.py PLAN`` with a :class:`Plan` as JSON; prints one ``result`` line of JSON.

Request number i is due at ``start + i / rate``, and its latency counts **from the moment it was due** to the
last byte of its answer. So a server that stalls is charged for every request that it kept from being sent:
no coordinated omission (Tene, "How NOT to measure latency"). The price: where the generator itself is late,
that is in the figure too. It wakes every millisecond and reports how late it sent (``lag_us``); the floor
under the same generator shows which part of a latency is not the server's. Not h2load: its ``--rps`` counts
from the moment of sending. Not wrk: it has no rate.

A connection has one request on its way at a time, and all take turns. What falls due while every connection
waits is sent by the next one that is free.
"""

import asyncio
import gc
import json
import re
import resource
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop

SERIAL = b"\x01"  # in a request: a number that no other one of the run has
QUANTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0)
TICK_SECONDS = 0.001
CONNECTING_AT_ONCE = 100  # below the usual listen backlog of 128
GRACE_SECONDS = 3.0  # for the last answers
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class NoFigure(Exception):
    """An answer was not a 200, or did not come."""


@dataclass(frozen=True)
class Stream:
    """One kind of request with figures of its own; ``weight`` is its share among the streams."""

    name: str
    records: str  # path of a file of requests, each ended by a NUL
    weight: int = 1
    serial_format: str = "%d"


@dataclass(frozen=True)
class Plan:
    """``warm`` seconds come first and do not count; numbers for SERIAL begin above ``serial``."""

    port: int
    connections: int
    rate: int
    seconds: float
    streams: Sequence[Stream]
    warm: float = 1.0
    serial: int = 0


def quantiles(values: list[int]) -> dict[float, int]:
    """The nearest-rank percentiles in QUANTILES; empty when there is no value."""
    values.sort()
    last = len(values) - 1
    return {percent: values[min(last, int(len(values) * percent / 100))] for percent in QUANTILES if values}


class Source:
    """The requests of a stream in turn, and the latencies of those that count, in microseconds."""

    def __init__(self, stream: Stream, serial: int) -> None:
        self._records = Path(stream.records).read_bytes().split(b"\0")[:-1]
        self._format = stream.serial_format if SERIAL in self._records[0] else None
        self._serial = serial
        self._at = 0
        self.latencies: list[int] = []

    def next(self) -> bytes:
        record = self._records[self._at]
        self._at = (self._at + 1) % len(self._records)
        if self._format is None:
            return record
        self._serial += 1
        return record.replace(SERIAL, (self._format % self._serial).encode())


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._generator.free.append(self)

    def send(self, request: bytes, due: float, latencies: list[int]) -> None:
        self._due, self._latencies = due, latencies
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        self._received = data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = CONTENT_LENGTH.search(data, 0, end)
        if length is None or not data.startswith(b"HTTP/1.1 200 "):
            self._generator.fault = f"An answer that is no 200 with a length: {data[:120]!r}."
        elif len(data) >= end + 4 + int(length[1]):
            self._received = b""
            self._latencies.append(int((time.perf_counter() - self._due) * 1e6))
            self._generator.answered(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._generator.fault = f"A connection was lost: {error}."


class Generator:
    """Sends what is due, and waits for what was sent."""

    def __init__(self, plan: Plan) -> None:
        self.free: deque[Connection] = deque()
        self.fault: str | None = None
        self._plan = plan
        self._sources = [Source(stream, plan.serial) for stream in plan.streams]
        self._turns = [
            source for source, stream in zip(self._sources, plan.streams, strict=True) for _ in range(stream.weight)
        ]
        self._waiting: deque[tuple[bytes, float, list[int]]] = deque()
        self._lags: list[int] = []
        self._scheduled = 0
        self._unanswered = 0

    async def run(self) -> dict[str, Any]:
        """The whole plan. Raises NoFigure."""
        plan = self._plan
        for first in range(0, plan.connections, CONNECTING_AT_ONCE):
            await self._connect(min(CONNECTING_AT_ONCE, plan.connections - first))
        gc.freeze()
        gc.disable()  # its pauses would count as the server's
        await self._offer(round(plan.rate * plan.warm))
        for values in (self._lags, *(source.latencies for source in self._sources)):
            values.clear()
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        await self._offer(round(plan.rate * plan.seconds))
        after, took = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - began
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {
            "rate": sum(len(source.latencies) for source in self._sources) / took,
            "generator_cpu": used / took,
            "lag_us": quantiles(self._lags),
            "streams": {
                stream.name: quantiles(source.latencies)
                for source, stream in zip(self._sources, plan.streams, strict=True)
            },
        }

    async def _connect(self, count: int) -> None:
        connect = asyncio.get_running_loop().create_connection
        await asyncio.gather(*(connect(partial(Connection, self), "127.0.0.1", self._plan.port) for _ in range(count)))

    async def _offer(self, total: int) -> None:
        """Send ``total`` requests at the plan's rate, and wait for the last answer."""
        self._scheduled, start, end = 0, time.perf_counter(), None
        while self._scheduled < total or self._unanswered:
            now = time.perf_counter()
            self._schedule(min(total, int((now - start) * self._plan.rate) + 1), start)
            if self._scheduled == total:
                end = end or now
                if now - end > GRACE_SECONDS:
                    self.fault = f"{self._unanswered} requests were not answered."
            if self.fault:
                raise NoFigure(self.fault)
            await asyncio.sleep(TICK_SECONDS)

    def _schedule(self, due: int, start: float) -> None:
        rate, turns = self._plan.rate, self._turns
        for number in range(self._scheduled, due):
            source = turns[number % len(turns)]
            self._waiting.append((source.next(), start + number / rate, source.latencies))
        self._unanswered += max(0, due - self._scheduled)
        self._scheduled = max(due, self._scheduled)
        while self._waiting and self.free:
            self._send(self.free.popleft())

    def _send(self, connection: Connection) -> None:
        request, due, latencies = self._waiting.popleft()
        self._lags.append(int((time.perf_counter() - due) * 1e6))
        connection.send(request, due, latencies)

    def answered(self, connection: Connection) -> None:
        self._unanswered -= 1
        if self._waiting:
            self._send(connection)
        else:
            self.free.append(connection)


def main() -> int:
    document = json.loads(sys.argv[1])
    plan = Plan(**{**document, "streams": [Stream(**stream) for stream in document["streams"]]})
    try:
        found = uvloop.run(Generator(plan).run())
    except (NoFigure, OSError) as fault:
        print(f"fault {fault}")
        return 1
    print(f"result {json.dumps(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
