"""Clients that request new identities as fast as they are served, and keep the responses.

An identity counts as issued once its whole response has arrived and h11 has parsed it: what a client could act
upon. A client whose connection is cut waits until its service is back, and continues.
"""

import asyncio
from collections import Counter
from datetime import datetime
from time import perf_counter
from typing import Final, NamedTuple

import orjson

from tests.support.http_client import Answer, Client, post, request

MOST: Final = 5_000  # new identities a second: what the service is judged at; a machine may be slower
AHEAD: Final = 4  # requests for one identity that are sent before the first is answered
ROWS: Final = 20  # identities of a batch

ONE: Final = request("GET", "/api/v1/id?prefix=load")
BATCH: Final = post(
    "/api/v1/identities", {"environments": [{"name": str(row), "prefix": "load"} for row in range(ROWS)]}
)


class Life(NamedTuple):
    """A life as a client got it, in ms since the epoch."""

    generated: int
    expires: int


class Issuing:
    """The identities that all clients got. No request names a run, so no identity may be issued twice."""

    def __init__(self, most: int = MOST) -> None:
        self.handed: dict[str, Life] = {}
        self.twice: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.cut = 0
        """Requests that had no whole answer when their connection ended."""
        self.worst = 0.0
        """Seconds that an answer took at most."""
        self.stopped = False
        self._interval = 1 / most
        self._due = 0.0

    async def more(self, identities: int) -> None:
        """Wait until that many more were issued."""
        wanted = len(self.handed) + identities
        while len(self.handed) < wanted:  # noqa: ASYNC110 - there is no event for a number of answers
            await asyncio.sleep(0.001)

    async def singles(self, endpoint: "Endpoint") -> None:
        """Request one identity at a time, AHEAD of the responses, until the end."""
        await self._use(endpoint, ONE, AHEAD, 1)

    async def batches(self, endpoint: "Endpoint") -> None:
        """Request ROWS identities at a time."""
        await self._use(endpoint, BATCH, 1, ROWS)

    async def _use(self, endpoint: "Endpoint", octets: bytes, ahead: int, rows: int) -> None:
        method = octets[: octets.index(b" ")].decode()
        while not self.stopped:
            await endpoint.up.wait()
            under_way = 0
            try:
                async with await Client.open(endpoint.port) as client:
                    while under_way or not (self.stopped or client.is_cut):
                        if under_way < ahead and not (self.stopped or client.is_cut):
                            client.send(octets)
                            under_way += 1
                            await self._turn(rows)
                        else:
                            answer = await client.answer(method)
                            under_way -= 1
                            endpoint.received += self._take(answer)
            except ConnectionError:
                self.cut += under_way
                if not endpoint.may_end:
                    raise

    async def _turn(self, identities: int) -> None:
        """Keep the pace: an early request waits until it is due."""
        now = perf_counter()
        self._due = max(self._due, now) + identities * self._interval
        if self._due - now > 0.005:  # shorter than a timer is good for
            await asyncio.sleep(self._due - now)

    def _take(self, answer: Answer) -> int:
        self.statuses[answer.status] += 1
        self.worst = max(self.worst, answer.seconds)
        if answer.status != 200:
            return 0
        body = orjson.loads(answer.body)
        rows = body.get("identities", [body])
        for row in rows:
            if row["id"] in self.handed:
                self.twice.append(row["id"])
            self.handed[row["id"]] = Life(moment(row["generated"]), moment(row["expires"]))
        return len(rows)


class Endpoint:
    """The service of some clients. ``up`` is cleared while it is down; ``received``: identities from it."""

    def __init__(self, port: int, *, may_end: bool = False) -> None:
        """``may_end``: its connections may be cut."""
        self.port = port
        self.may_end = may_end
        self.up = asyncio.Event()
        self.up.set()
        self.received = 0


def moment(text: str) -> int:
    """RFC 3339 as ms since the epoch."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
