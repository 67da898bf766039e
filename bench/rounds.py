"""Rounds of measurement: fresh processes in each, every workload on every server, the floor among them.

Within a round a workload meets the servers one after the other, in an order that turns round by round, so
that a machine that slows down slows them alike. The floor starts anew for each workload with the service's
own answer.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

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
from bench.servers import FLOOR, Server
from bench.workloads import CLIENTS, Workload, write_script

# Each use of wrk gets its own block of the numbers that no other request has; no load can fill one.
SERIAL_BLOCK = 10**9
WARM_SECONDS = 1
WARM_SECONDS_AT_MOST = 20


@dataclass(frozen=True)
class Plan:
    """What to measure. ``servers`` begins with the service, whose answers the floor repeats."""

    servers: Sequence[Server]
    workloads: Sequence[Workload]
    rounds: int
    seconds: int


@dataclass(frozen=True)
class Running:
    """A started server: ``suffix`` is what follows "prefix-run" in its identities."""

    server: Server
    pid: int
    port: int
    suffix: str = ""


@contextmanager
def running_redis(directory: Path) -> Iterator[int]:
    """An empty Redis beside the load; gives its port."""
    port, log = free_port(), directory / "redis.log"
    with started(redis_command(port), {}, LOAD_CORE, log) as process:
        wait_until(lambda: b"Ready to accept" in log.read_bytes(), process, log)
        yield port


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


def warm(running: Running, script: Path) -> None:
    """Load until every client and identity was seen once, as far as a slow server gets in bounded time."""
    answered, began = 0, time.monotonic()
    seconds = WARM_SECONDS
    while answered < CLIENTS and (left := WARM_SECONDS_AT_MOST - (time.monotonic() - began)) > 1:
        load = run_wrk(running.port, script, min(seconds, int(left)))
        answered = max(answered, load.requests)  # each use of wrk begins with the first record again
        seconds = math.ceil(CLIENTS / load.requests * seconds) + 1


def measure(running: Running, script: Path, seconds: int) -> tuple[Load, CpuSpent, float]:
    """One loaded interval: what wrk counted, the tree's CPU time, and us that the core gave to others."""
    core, before = read_core_us(SERVER_CORE), read_cpu(running.pid)
    load = run_wrk(running.port, script, seconds)
    cpu, busy = spent(before, read_cpu(running.pid)), read_core_us(SERVER_CORE) - core
    return load, cpu, max(0.0, busy - cpu.microseconds)


def check(plan: Plan, fleet: Sequence[Running], redis_port: int, serials: Iterator[int]) -> None:
    """Raises BenchError unless each server does what it is measured for."""
    with ExitStack() as stack:
        candidates = []
        for database, running in enumerate(fleet):
            store = stack.enter_context(redis.Redis(port=redis_port, db=database))
            candidates.append(duties.Candidate(running.server, running.port, store))
        for number, workload in enumerate(plan.workloads):
            able = [one for one in candidates if workload.name in one.server.workloads]
            duties.check(able, workload.sample(fleet[0].suffix, next(serials)), number)


def one_round(plan: Plan, number: int, serials: Iterator[int]) -> Iterator[Sample]:
    """All figures of one round, as they come."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        redis_port = stack.enter_context(running_redis(directory))
        fleet = []
        for database, server in enumerate(plan.servers):
            words = {"redis_port": redis_port, "redis_db": database}
            running = stack.enter_context(running_server(server, directory, **words))
            fleet.append(Running(server, running.pid, running.port, seed(running.port)))
        check(plan, fleet, redis_port, serials)
        for turn, workload in enumerate(plan.workloads):
            service = fleet[0]
            answer = directory / "answer"
            answer.write_bytes(exchange(service.port, workload.sample(service.suffix, next(serials))))
            with running_server(FLOOR, directory, answer=answer) as floor:
                able = [running for running in fleet if workload.name in running.server.workloads]
                order = [Running(FLOOR, floor.pid, floor.port, service.suffix), *able]
                for running in order if (number + turn) % 2 == 0 else reversed(order):
                    warm(running, write_script(workload, running.suffix, directory, next(serials)))
                    script = write_script(workload, running.suffix, directory, next(serials))
                    load, cpu, others_us = measure(running, script, plan.seconds)
                    yield Sample(
                        round=number,
                        workload=workload.name,
                        server=running.server.name,
                        requests=load.requests,
                        duration_us=load.duration_us,
                        cpu_us=round(cpu.microseconds),
                        cpu_source=cpu.source,
                        p50_us=load.p50_us,
                        p99_us=load.p99_us,
                        others=round(others_us / load.duration_us, 3),
                    )


def run(plan: Plan, tell: Callable[[Sample], None]) -> list[Sample]:
    """Every round of the plan; ``tell`` hears each sample when it is there."""
    serials = itertools.count(0, SERIAL_BLOCK)
    samples = []
    for number in range(plan.rounds):
        for sample in one_round(plan, number, serials):
            tell(sample)
            samples.append(sample)
    return samples
