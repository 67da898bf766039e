"""A worker without sockets and without Redis: what a request costs the interpreter, and nothing else.

Real are the connections, the service and its embedded store; the transports drop what is written, and the loop is a
list of callbacks. As a script: us per request for each workload of ``bench.workloads`` on this interpreter, as JSON.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from arsenal_fast.http.limits import Limits
from arsenal_fast.jwt_keys import Keys
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.memory import MemoryBackend
from arsenal_fast.secret import Secret
from arsenal_fast.server.listener import Listener, Timeouts
from arsenal_fast.server.protocol import Connection
from arsenal_fast.service.app import Service
from arsenal_fast.service.settings import Settings
from bench.experiments.racing import build
from bench.workloads import SERIAL, WORKLOADS, Workload, cached_direct

DOMAIN = "sports.api.yourbook.com"
CONNECTIONS = 64
TICK = 24
"""Requests of one turn of the loop, about as many as 64 busy connections cause."""

MEASURED, CHUNK = 10_000, 500


class Nowhere(asyncio.Transport):
    """Drops what is written, and counts it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000)})
        self.writes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1

    def get_write_buffer_size(self) -> int:
        return 0


class Worker:
    """One worker whose turns of the loop are made by ``serve``."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], None]] = []
        store = MemoryBackend(now_us=lambda: time.monotonic_ns() // 1000, now_ms=lambda: time.time_ns() // 1_000_000)
        self.service = Service(
            Settings(
                version="v4.2.0",
                domain=DOMAIN,
                base_url="http://localhost:3655",
                quota=Quota(1_000_000_000, 3600),  # each request is charged, and none denied
                trusted_proxies=("127.0.0.1/32",),
            ),
            store,
            store,
            Keys(Secret("the secret of the benchmark, 32 octets"), issuer="http://localhost:3655"),
            call_soon=self._soon.append,
            monotonic=time.monotonic,
            now=time.time,
        )
        self.service.ready = True
        listener = Listener(self.service, limits=Limits(), timeouts=Timeouts(), max_connections=2 * CONNECTIONS)
        self.transports = [Nowhere() for _ in range(CONNECTIONS)]
        self.connections = [Connection(listener) for _ in self.transports]
        for connection, transport in zip(self.connections, self.transports, strict=True):
            connection.connection_made(transport)

    def serve(self, requests: Sequence[bytes]) -> None:
        """Answer each of these whole requests, TICK of them a turn."""
        soon, connections = self._soon, self.connections
        for first in range(0, len(requests), TICK):
            for index in range(first, min(first + TICK, len(requests))):
                connections[index % CONNECTIONS].data_received(requests[index])
            while soon:
                callbacks = soon[:]
                soon.clear()
                for callback in callbacks:
                    callback()

    @property
    def answered(self) -> int:
        return sum(transport.writes for transport in self.transports)


def requests_of(workload: Workload, total: int, serial: Iterator[int]) -> list[bytes]:
    """As wrk would send them, over and over."""
    records = workload.records(f"@{DOMAIN}/v1:id")
    numbered = (records[index % len(records)] for index in range(total))
    return [record.replace(SERIAL, (workload.serial_format % next(serial)).encode()) for record in numbered]


def cost(worker: Worker, workload: Workload, serial: Iterator[int]) -> float:
    """Median us of CPU time per request, after each record of the workload came once: every client is known."""
    warm = len(workload.records(""))
    requests = requests_of(workload, warm + MEASURED, serial)
    before = worker.answered
    worker.serve(requests[:warm])
    samples = []
    for first in range(warm, len(requests), CHUNK):
        chunk = requests[first : first + CHUNK]
        start = time.thread_time_ns()
        worker.serve(chunk)
        samples.append((time.thread_time_ns() - start) / len(chunk) / 1000)
    assert worker.answered - before == len(requests)
    return statistics.median(samples)


def main() -> None:
    worker, serial = Worker(), count(1)
    worker.serve(cached_direct("") * 2)  # every identity is there, and was asked for again
    figures = {workload.name: cost(worker, workload, serial) for workload in WORKLOADS}
    print(json.dumps({"build": build(), "us": figures}))


if __name__ == "__main__":
    main()
