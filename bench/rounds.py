"""Rounds of measurement: fresh processes in each, every workload on every server, the floor among them.

Within a round a workload meets the servers one after the other, in an order that turns round by round, so
that a machine that slows down slows them alike. The floor starts anew for each workload with the service's
own answer.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

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

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What to measure. ``servers`` begins with the service, whose answers the floor repeats."""

    servers: Sequence[Server]
    workloads: Sequence[Workload]
    rounds: int
    seconds: int

    def servers_of(self, number: int) -> Sequence[Server]:
        """Of the round. The peers take most of the time and are far off: they come in every second round."""
        return self.servers if number % 2 == 0 else self.servers[:1]


@dataclass(frozen=True)
class Running:
    """A started server: ``suffix`` is what follows "prefix-run" in its identities."""

    server: Server
    pid: int
    port: int
    suffix: str = ""


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
def seeded(servers: Sequence[Server], directory: Path) -> Iterator[tuple[list[Running], int]]:
    """Redis and these servers, each with a database of its own and all identities issued; with the port of Redis."""
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_redis(directory))
        fleet = []
        for database, server in enumerate(servers):
            words = {"redis_port": redis_port, "redis_db": database}
            running = stack.enter_context(running_server(server, directory, **words))
            fleet.append(replace(running, suffix=seed(running.port)))
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
    others: float  # share of the time in which the server's core worked for somebody else


def watched(running: Running, load: Callable[[], T]) -> tuple[T, Watch]:
    """Do ``load``; return what it gave and what the server's whole tree took meanwhile."""
    began, core, before = time.monotonic(), read_core_us(SERVER_CORE), read_cpu(running.pid)
    found = load()
    cpu, busy = spent(before, read_cpu(running.pid)), read_core_us(SERVER_CORE) - core
    took = (time.monotonic() - began) * 1e6
    return found, Watch(cpu, took, round(max(0.0, busy - cpu.microseconds) / took, 3))


def measure(running: Running, script: Path, seconds: int, **options: int) -> tuple[Load, Watch]:
    """One interval under wrk."""
    return watched(running, partial(run_wrk, running.port, script, seconds, **options))


@contextmanager
def running_floor(answer: bytes, directory: Path) -> Iterator[Running]:
    """The floor with these octets for an answer."""
    path = directory / "answer"
    path.write_bytes(answer)
    with running_server(FLOOR, directory, answer=path) as floor:
        yield floor


def comparable(
    plan: Plan, fleet: Sequence[Running], redis_port: int, serials: Iterator[int], fail: Callable[[str], None]
) -> list[Running]:
    """The servers that do what they are measured for. Raises BenchError where the service itself does not."""
    service = fleet[0]
    found: list[Running] = []
    with ExitStack() as stack:
        candidates = {}
        for database, running in enumerate(fleet):
            store = stack.enter_context(redis.Redis(port=redis_port, db=database))
            candidates[running.port] = duties.Candidate(running.server, running.port, store)
        for running in fleet:
            asked = [candidates[service.port], candidates[running.port]] if found else [candidates[service.port]]
            try:
                for number, workload in enumerate(plan.workloads):
                    if workload.name in running.server.workloads:
                        duties.check(asked, workload.sample(service.suffix, next(serials)), number)
                found.append(running)
            except BenchError as fault:
                if not found:
                    raise
                fail(str(fault))
    return found


def one_round(plan: Plan, number: int, serials: Iterator[int], fail: Callable[[str], None]) -> Iterator[Sample]:
    """All figures of one round, as they come. A server that fails is told of, and the others go on."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        redis_port = stack.enter_context(running_redis(directory))
        fleet = []
        for database, server in enumerate(plan.servers_of(number)):
            words = {"redis_port": redis_port, "redis_db": database}
            try:
                running = stack.enter_context(running_server(server, directory, **words))
                fleet.append(replace(running, suffix=seed(running.port)))
            except BenchError as fault:
                if not fleet:
                    raise  # without the service there is no answer for the floor
                fail(f"{server.name}, round {number + 1}: {fault}")
        fleet = comparable(plan, fleet, redis_port, serials, fail)
        for turn, workload in enumerate(plan.workloads):
            service = fleet[0]
            answer = exchange(service.port, workload.sample(service.suffix, next(serials)))
            with running_floor(answer, directory) as floor:
                able = [running for running in fleet if workload.name in running.server.workloads]
                order = [replace(floor, suffix=service.suffix), *able]
                for running in order if (number + turn) % 2 == 0 else reversed(order):
                    try:
                        yield one_sample(plan, number, running, workload, directory, serials)
                    except BenchError as fault:
                        fail(f"{running.server.name}, {workload.name}, round {number + 1}: {fault}")


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


def run(plan: Plan, tell: Callable[[Sample], None], fail: Callable[[str], None]) -> list[Sample]:
    """Every round of the plan; ``tell`` hears each sample when it is there, ``fail`` what gave none."""
    serials = serial_blocks()
    samples = []
    for number in range(plan.rounds):
        try:
            for sample in one_round(plan, number, serials, fail):
                tell(sample)
                samples.append(sample)
        except BenchError as fault:
            fail(f"round {number + 1}: {fault}")
    return samples


def serial_blocks() -> Iterator[int]:
    """Where the numbers of each use of a generator begin."""
    return itertools.count(0, SERIAL_BLOCK)
