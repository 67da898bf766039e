"""A worker inside this process that handles one event-loop tick after another, with the requests of a workload.

It is a whole worker without a process (``tests/support/rig.py``): TICK requests on as many connections in each tick.
Its limiter holds the requests, so that a tick can be cut where Redis would be asked and where it has answered.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import NamedTuple

from arsenal_fast.api.admission import Admission
from arsenal_fast.identity.validity import Fetched, Wanted
from arsenal_fast.memory_budget import shares
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server.connection import Connection
from bench.workloads import IDENTITIES, Workload, get_id, proxied
from tests.support.rig import Rig

TICK = 30  # requests; about what a worker finds under load over 64 connections
VISITS = 3_000  # different requests
PROXY = "127.0.0.1"
SUFFIX = "@sports.api.yourbook.com/v1:id"
MEMORY = 2 << 30  # bytes; a worker takes as much on the machine of the other measurements
PLENTY = Quota(100_000_000, 3600)

Done = Callable[[int, Sequence[int] | None], None]


class Asked(NamedTuple):
    """What a tick asks of Redis."""

    clients: Sequence[Client]
    quantities: Sequence[int]
    rows: Sequence[int]
    wanted: Sequence[Wanted]
    done: Done


class Sink(asyncio.Transport):
    """A fake: keeps the last response."""

    def __init__(self) -> None:
        super().__init__({"peername": (PROXY, 50_000)})
        self.last: bytes | bytearray | memoryview = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One response, because a connection has one request in a tick."""
        self.last = data


class Worker:
    """A rig with all identities of the workloads issued, and TICK connections that send a workload's requests.

    It is its own limiter, which holds the questions until ``answer`` finds an idle cell for each client.
    """

    def __init__(self, workload: Workload) -> None:
        settings = {"quota": PLENTY, "trusted_proxies": [f"{PROXY}/32"], "access_log": "off", "shares": shares(MEMORY)}
        self._rig = Rig(settings=settings)
        admission = self._rig.service.admission
        assert isinstance(admission, Admission), "one store has no shards"
        admission._limiter = admission._fetching = self
        self.asked: list[Asked] = []
        self._workload = workload
        self._records = enumerate(cycle(workload.records(SUFFIX)[:VISITS]))
        self._sinks = [Sink() for _ in range(TICK)]
        self._connections = [Connection(self._rig.listener) for _ in self._sinks]
        for connection, sink in zip(self._connections, self._sinks, strict=True):
            connection.connection_made(sink)
        issue = [get_id(index) + proxied(b"198.18.0.1") + b"\r\n" for index in range(IDENTITIES)]
        for start in range(0, IDENTITIES, TICK):
            self.read(issue[start : start + TICK])
            self.answer()
        for _ in range(0, 2 * VISITS, TICK):  # some things are cached from the second time on
            self.read(self.next())
            self.answer()

    def admit(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        """As the limiter in Redis does, but for the answer."""
        self.asked.append(Asked(clients, quantities, (), (), done))

    def admit_and_fetch(
        self,
        clients: Sequence[Client],
        quantities: Sequence[int],
        rows: Sequence[int],
        wanted: Sequence[Wanted],
        done: Callable[[int, Sequence[int] | None, Sequence[Fetched | None]], None],
    ) -> None:
        """Likewise; the embedded store fetches what is wanted."""

        def admitted(revision: int, backlogs: Sequence[int] | None) -> None:
            self._rig.spare.admit_and_fetch(
                [],
                [],
                [-1] * len(wanted),
                wanted,
                lambda _revision, _backlogs, fetched: done(revision, backlogs, fetched),
            )

        self.asked.append(Asked(clients, quantities, rows, wanted, admitted))

    def next(self) -> list[bytes]:
        """The requests of a tick, as wrk sends them; no connection has a response yet."""
        for sink in self._sinks:
            sink.last = b""
        return [self._workload.numbered(record, serial) for serial, record in islice(self._records, TICK)]

    def read(self, octets: Sequence[bytes]) -> None:
        """A tick up to the limiter: one request on each connection."""
        for connection, request in zip(self._connections, octets, strict=False):
            connection.data_received(request)
        self._rig.tick()

    def answer(self) -> None:
        """The rest of the tick."""
        asked, self.asked = self.asked, []
        for each in asked:
            each.done(0, [0] * len(each.clients))
        self._rig.tick()

    def succeeded(self) -> bool:
        """Whether each request of the last tick got a 200."""
        return all(bytes(sink.last).startswith(b"HTTP/1.1 200 ") for sink in self._sinks)
