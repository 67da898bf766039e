"""Times parts of the service inside this process: ``python -m bench.microbench stages|tokens ROUNDS``; prints JSON.

A program of its own, so that it runs pinned to the server's core, and the harness needs none of the service's insides.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle

from arsenal_fast.jwt_keys import Keys
from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.server.protocol import Connection
from bench.openloop import SERIAL
from bench.workloads import IDENTITIES, WORKLOADS, Workload, get_id, proxied
from tests.support import tokens
from tests.support.rig import Rig

TICK = 30  # requests; about what a worker finds under load over 64 connections
VISITS = 3_000  # different requests
REPEATS = 20  # of a verification, in a round
PROXY = "127.0.0.1"
SUFFIX = "@sports.api.yourbook.com/v1:id"
PLENTY = Quota(100_000_000, 3600)

Done = Callable[[int, Sequence[int] | None], None]


class Sink(asyncio.Transport):
    """A fake: counts what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": (PROXY, 50_000)})
        self.count = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep nothing."""
        self.count += 1


class HeldLimiter:
    """A fake: holds the questions until ``answer``, which finds an idle cell for each client."""

    def __init__(self) -> None:
        self._asked: list[tuple[int, Done]] = []

    def admit(self, clients: Sequence[Client], _quantities: Sequence[int], done: Done) -> None:
        """As the limiter in Redis does, but for the answer."""
        self._asked.append((len(clients), done))

    def answer(self) -> None:
        """All that was asked."""
        asked, self._asked = self._asked, []
        for count, done in asked:
            done(0, [0] * count)


class Worker:
    """A rig with all identities of the workloads issued, and TICK connections that send a workload's requests."""

    def __init__(self, workload: Workload) -> None:
        self.limiter = HeldLimiter()
        self.rig = Rig(settings={"quota": PLENTY, "trusted_proxies": [f"{PROXY}/32"], "access_log": "off"})
        self.rig.service.admission._limiter = self.limiter
        self._requests = requests(workload)
        self.sinks = [Sink() for _ in range(TICK)]
        self.connections = [self._connect(sink) for sink in self.sinks]
        issue = [get_id(index) + proxied(b"198.18.0.1") + b"\r\n" for index in range(IDENTITIES)]
        for start in range(0, IDENTITIES, TICK):
            self.read(issue[start : start + TICK])
            self.answer()
        for _ in range(0, 2 * VISITS, TICK):  # some things are cached from the second time on
            self.read(self.next())
            self.answer()

    def _connect(self, sink: Sink) -> Connection:
        connection = Connection(self.rig.listener)
        connection.connection_made(sink)
        return connection

    def next(self) -> list[bytes]:
        """The requests of a tick."""
        return [next(self._requests) for _ in range(TICK)]

    def read(self, octets: Sequence[bytes]) -> None:
        """A tick up to the limiter: one request on each connection."""
        for connection, request in zip(self.connections, octets, strict=False):
            connection.data_received(request)
        self.rig.tick()

    def answer(self) -> None:
        """The rest of the tick."""
        self.limiter.answer()
        self.rig.tick()


def requests(workload: Workload) -> Iterator[bytes]:
    """As wrk sends them, without an end; each with a number of its own where there is one."""
    for serial, record in enumerate(cycle(workload.records(SUFFIX)[:VISITS])):
        yield record.replace(SERIAL, (workload.serial_format % serial).encode())


def timed(run: Callable[[], object]) -> float:
    """Microseconds of CPU time."""
    start = time.thread_time_ns()
    run()
    return (time.thread_time_ns() - start) / 1000


def stages(rounds: int) -> dict[str, dict[str, float]]:
    """Workload -> stage -> us for a request, the median of the rounds."""
    found = {}
    for workload in WORKLOADS:
        worker = Worker(workload)
        before = sum(sink.count for sink in worker.sinks)
        taken: dict[str, list[float]] = {"read": [], "answer": []}
        for _ in range(rounds):
            taken["read"].append(timed(partial(worker.read, worker.next())) / TICK)
            taken["answer"].append(timed(worker.answer) / TICK)
        if sum(sink.count for sink in worker.sinks) - before < rounds * TICK:
            raise SystemExit(f"{workload.name}: not every request was answered")
        found[workload.name] = {stage: statistics.median(values) for stage, values in taken.items()}
    return found


def verification(keys: Keys, kind: str, token: str, rounds: int) -> float:
    """Microseconds that one verification takes, the median of the rounds."""
    verify = keys.verify_identity if kind == "identity" else keys.verify_service

    def repeat() -> None:
        for _ in range(REPEATS):
            verify(token, tokens.NOW)

    return statistics.median(timed(repeat) for _ in range(rounds)) / REPEATS


def bad_tokens(rounds: int) -> dict[str, float]:
    """Bad token -> its time in times of a good one, while two secrets verify, so that a signature is tried twice."""
    hs256, eddsa = tokens.hs256_keys(previous=tokens.PREVIOUS), tokens.eddsa_keys()
    good = {
        ("HS256", "identity"): verification(hs256, "identity", tokens.GOOD_IDENTITY, rounds),
        ("HS256", "service"): verification(hs256, "service", tokens.GOOD_SERVICE, rounds),
        ("EdDSA", "identity"): verification(
            eddsa, "identity", eddsa.sign_identity(tokens.IDENTITY, tokens.LIFE), rounds
        ),
    }
    rows = [("HS256", hs256, bad) for bad in tokens.BAD] + [("EdDSA", eddsa, bad) for bad in tokens.BAD_EDDSA]
    return {
        f"{algorithm} {bad.kind}: {bad.name}": verification(keys, bad.kind, bad.token, rounds)
        / good[algorithm, bad.kind]
        for algorithm, keys, bad in rows
    }


if __name__ == "__main__":
    measure = {"stages": stages, "tokens": bad_tokens}[sys.argv[1]]
    print(json.dumps(measure(int(sys.argv[2]))))
