"""Rounds of measurement: every workload on every server and the floor, with fresh processes in each round.

Per round and workload the floor and each server run one after the other, each after a warm-up, and then once more in
the reverse order, so that a machine that slows down slows them alike; both intervals make one figure. The server is
pinned to core 0; `wrk -t1 -c64` and `redis-server` are pinned to core 1. CPU time is that of the server's whole process
tree over the measured intervals, from `/proc/<pid>/task/*/schedstat` (nanoseconds; `/proc/<pid>/stat` in 10 ms ticks
where a thread or child ended meanwhile), divided by the answers that wrk counted; one answer that is not 2xx voids the
run. The floor is a uvloop `Protocol` that parses nothing and writes one fixed answer to every read: the same bytes that
the service answers in that workload. Every server counts the client in Redis and keeps the identities there; the limit
is set so high that no client is denied. 5,000 (prefix, run) pairs; 50,000 client addresses in `X-Forwarded-For`, one
for each request in turn, in all workloads but the direct one.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import redis

from bench import BenchError, duties
from bench.load import Load, exchange, is_ready, run_wrk, seed
from bench.processes import (
    LOAD_CORE,
    SERVER_CORE,
    CpuSpent,
    free_port,
    last_words,
    read_core_us,
    read_cpu,
    redis_command,
    spent,
    started,
    wait_until,
)
from bench.results import Sample
from bench.scripts import write_script
from bench.servers import FLOOR, Server
from bench.workloads import CLIENTS, Workload

# Each use of wrk gets its own block of the numbers that no other request has; no load can fill one.
SERIAL_BLOCK = 10**9
WARM_SECONDS = 1
METHOD = " ".join((__doc__ or "").split("\n")[1:]).strip()  # what PERF.md prints

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What to measure. ``servers`` begins with the service, whose answers the floor repeats."""

    servers: Sequence[Server]
    workloads: Sequence[Workload]
    rounds: int
    seconds: int
    """Of one interval; in each round a server has two of each workload."""


@dataclass(frozen=True)
class Running:
    """A started server: ``suffix`` is what follows "prefix-run" in its identities, ``database`` its own in Redis."""

    server: Server
    pid: int
    port: int
    suffix: str = ""
    database: int = 0


@contextmanager
def running_redis(directory: Path, core: int = LOAD_CORE) -> Iterator[int]:
    """An empty Redis, beside the load unless another core is named; gives its port."""
    port, log = free_port(), directory / "redis.log"
    with started(redis_command(port), {}, core, log) as process:
        wait_until(lambda: b"Ready to accept" in log.read_bytes(), process, log)
        yield port


def redis_pid(port: int) -> int:
    """The process of the Redis on this port."""
    with closing(redis.Redis(port=port)) as client:
        return int(client.info("server")["process_id"])


@contextmanager
def running_server(server: Server, directory: Path, **words: object) -> Iterator[Running]:
    """A server that is ready, on the core for servers."""
    port, log = free_port(), directory / f"{server.name}.log"
    command, environment = server.filled(port=port, scratch=directory / server.name, **words)
    with started(command, environment, SERVER_CORE, log) as process:
        wait_until(lambda: is_ready(port, server.ready), process, log)
        try:
            yield Running(server, process.pid, port)
        except BenchError as fault:
            raise BenchError(f"{fault}{last_words(log)}") from fault


@contextmanager
def seeded(
    servers: Sequence[Server], directory: Path, fail: Callable[[str], None] | None = None
) -> Iterator[tuple[list[Running], int]]:
    """Redis and these servers, each with a database of its own and all identities issued; with the port of Redis.

    With ``fail`` a server that does not start is reported and left out, but for the first, which the others need.
    """
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_redis(directory))
        fleet: list[Running] = []
        for database, server in enumerate(servers):
            words = {"redis_port": redis_port, "redis_db": database}
            try:
                running = stack.enter_context(running_server(server, directory, **words))
                fleet.append(replace(running, suffix=seed(running.port), database=database))
            except BenchError as fault:
                if fail is None or not fleet:
                    raise
                fail(f"{server.name}: {fault}")
        yield fleet, redis_port


def warm(running: Running, script: Path, seconds: float, most: int = CLIENTS) -> None:
    """Load until every request that ``seconds`` of load will reach was answered once, or ``most`` of them.

    Each use of wrk begins with the first record again, so a slow server need not see those that it never reaches.
    """
    load = run_wrk(running.port, script, WARM_SECONDS)
    rate = load.requests / load.duration_us * 1e6
    wanted = min(most, rate * seconds)
    if load.requests < wanted:
        run_wrk(running.port, script, math.ceil(wanted / rate))


class Watch(NamedTuple):
    """What a server took while something went on."""

    cpu: CpuSpent
    duration_us: float
    others: float  # share of the time in which other processes used the server's core


def watched(running: Running, load: Callable[[], T]) -> tuple[T, Watch]:
    """Do ``load``; return what it gave and what the server's whole tree took meanwhile."""
    began, core, before = time.monotonic(), read_core_us(SERVER_CORE), read_cpu(running.pid)
    found = load()
    cpu, busy = spent(before, read_cpu(running.pid)), read_core_us(SERVER_CORE) - core
    took = (time.monotonic() - began) * 1e6
    return found, Watch(cpu, took, round(max(0.0, busy - cpu.microseconds) / took, 3))


def measure(running: Running, script: Path, seconds: int, **options: Any) -> tuple[Load, Watch]:
    """One interval under wrk."""
    return watched(running, partial(run_wrk, running.port, script, seconds, **options))


@contextmanager
def running_floor(service: Running, workload: Workload, directory: Path, serials: Iterator[int]) -> Iterator[Running]:
    """The floor, which repeats the service's answer to the workload."""
    path = directory / "answer"
    path.write_bytes(exchange(service.port, workload.sample(service.suffix, next(serials))))
    with running_server(FLOOR, directory, answer=path) as floor:
        yield replace(floor, suffix=service.suffix)


def comparable(
    plan: Plan, fleet: Sequence[Running], redis_port: int, serials: Iterator[int], fail: Callable[[str], None]
) -> list[Running]:
    """The servers that do what they are measured for. Raises BenchError where the service itself does not."""
    found: list[Running] = []
    with ExitStack() as stack:
        candidates = []
        for running in fleet:
            store = stack.enter_context(redis.Redis(port=redis_port, db=running.database))
            candidates.append(duties.Candidate(running.server, running.port, store))
        for running, own in zip(fleet, candidates, strict=True):
            try:
                for number, workload in enumerate(plan.workloads):
                    if workload.name in running.server.workloads:
                        duties.check([candidates[0], own], workload.sample(fleet[0].suffix, next(serials)), number)
                found.append(running)
            except BenchError as fault:
                if not found:
                    raise
                fail(str(fault))
    return found


def one_round(plan: Plan, number: int, serials: Iterator[int], fail: Callable[[str], None]) -> Iterator[Sample]:
    """Yield all figures of one round. A server that fails is reported, and the others continue."""
    with (
        TemporaryDirectory(prefix="bench-") as scratch,
        seeded(plan.servers, Path(scratch), fail) as (every, redis_port),
    ):
        directory, fleet = Path(scratch), comparable(plan, every, redis_port, serials, fail)

        def measured(order: Iterable[Running], workload: Workload) -> Iterator[Sample]:
            for running in order:
                try:
                    yield one_sample(plan, number, running, workload, directory, serials)
                except BenchError as fault:
                    fail(f"{running.server.name}, {workload.name}: {fault}")

        for workload in plan.workloads:
            with running_floor(fleet[0], workload, directory, serials) as floor:
                order = [floor, *(running for running in fleet if workload.name in running.server.workloads)]
                first = {sample.server: sample for sample in measured(order, workload)}
                again = [running for running in reversed(order) if running.server.name in first]
                for sample in measured(again, workload):
                    yield joined(first[sample.server], sample)


def one_sample(
    plan: Plan, number: int, running: Running, workload: Workload, directory: Path, serials: Iterator[int]
) -> Sample:
    """Warm up and measure. Raises BenchError when the server does not answer well."""
    warm(running, write_script(workload, running.suffix, directory, next(serials)), plan.seconds)
    load, watch = measure(running, write_script(workload, running.suffix, directory, next(serials)), plan.seconds)
    return Sample(
        round=number,
        workload=workload.name,
        server=running.server.name,
        requests=load.requests,
        duration_us=load.duration_us,
        cpu_us=round(watch.cpu.microseconds),
        cpu_source=watch.cpu.source,
        p50_us=load.quantiles_us[50.0],
        p99_us=load.quantiles_us[99.0],
        others=watch.others,
    )


def joined(first: Sample, second: Sample) -> Sample:
    """Return two intervals of one server under one workload as one; of the latencies the mean."""
    return replace(
        second,
        requests=first.requests + second.requests,
        duration_us=first.duration_us + second.duration_us,
        cpu_us=first.cpu_us + second.cpu_us,
        cpu_source=second.cpu_source if first.cpu_source == second.cpu_source else "both",
        p50_us=(first.p50_us + second.p50_us) // 2,
        p99_us=(first.p99_us + second.p99_us) // 2,
        others=max(first.others, second.others),
    )


def run(plan: Plan, tell: Callable[[Sample], None], fail: Callable[[str], None]) -> list[Sample]:
    """Run every round of the plan; ``tell`` is called with each sample, ``fail`` with each failure."""
    serials = serial_blocks()
    samples = []
    for number in range(plan.rounds):

        def fail_in_round(fault: object, name: str = f"round {number + 1}") -> None:
            fail(f"{name}: {fault}")

        try:
            for sample in one_round(plan, number, serials, fail_in_round):
                tell(sample)
                samples.append(sample)
        except BenchError as fault:
            fail_in_round(fault)
    return samples


def serial_blocks() -> Iterator[int]:
    """Where the numbers of each use of a generator begin."""
    return itertools.count(0, SERIAL_BLOCK)
