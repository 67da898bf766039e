"""What an identity costs that was never asked for before, without a ledger, with SQLite and with PostgreSQL.

The workload *issuing* over 64 connections in a closed loop, the three services and the floor by turns; medians. Its
names count up, so they are neighbours in an index; names in no order are a row of their own. A new identity is
answered after its commit, and both databases flush to the disk. PostgreSQL runs on the core of the load; its own CPU
time is that of its whole process tree. Its log is of segments that are used again, as on a server that has run for a
while: a new one makes them, and the commits wait for that. The bound in times the floor depends on what the floor
costs, most of which is the kernel's: 4.5 where that is 7 us, 6 where it is 4.7. A flush is 4 KiB and `fsync`, the
median of 50.
"""

import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.load import Load
from bench.openloop import SERIAL
from bench.processes import read_cpu, spent
from bench.results import Figure
from bench.rounds import Running, Watch, running_floor, seeded, warm
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.servers import varied
from bench.setting import Findings, Setting, by_turns, costs, crowd, middle_ms, noted, ratio
from bench.workloads import Workload, proxied, visits
from tests.support.postgres_server import PostgresServer

FLUSHES = 50
SEGMENTS = 30  # 480 MB of PostgreSQL's log: some 500,000 identities
OFF, SQLITE, POSTGRESQL = "no ledger", "SQLite", "PostgreSQL"


def in_no_order(_suffix: str) -> list[bytes]:
    """As the workload *issuing*, but each name begins with six random digits."""
    chance = random.Random(1)
    return [
        b"GET /api/v1/id?prefix=player&run=%06x%b HTTP/1.1\r\n%b\r\n"
        % (chance.getrandbits(24), SERIAL, proxied(address))
        for address, _ in visits()
    ]


COUNTING: Workload = Workload.named("issuing")
SCATTERED = replace(COUNTING, name="issuing-in-no-order", title="names in no order", records=in_no_order)


def measure(setting: Setting) -> Findings:
    seconds = setting.length(3, 1)
    postgres_us: list[float] = []
    with PostgresServer("min_wal_size=1GB", fsync=True) as postgres:
        postgres.use_log_again(SEGMENTS)
        servers = [
            varied(setting.server, SQLITE),
            varied(setting.server, OFF, DATABASE_URL="none"),
            varied(setting.server, POSTGRESQL, DATABASE_URL=postgres.url),
        ]
        with (
            seeded(servers, setting.directory) as (fleet, _),
            running_floor(fleet[0], COUNTING, setting.directory, setting.serials) as floor,
        ):

            def script(running: Running, workload: Workload = COUNTING) -> Path:
                return write_script(workload, running.suffix, setting.directory, next(setting.serials))

            def scattered(running: Running) -> tuple[Load, Watch]:
                return measure_load(running, script(running, SCATTERED), seconds)

            def load(running: Running) -> tuple[Load, Watch]:
                before = read_cpu(postgres.pid)
                found, watch = measure_load(running, script(running), seconds)
                if running.server.name == POSTGRESQL:
                    postgres_us.append(spent(before, read_cpu(postgres.pid)).microseconds / found.requests)
                return found, watch

            for running in fleet:
                warm(running, script(running), 1)
            taken = by_turns((*fleet, floor), setting.length(3, 1), load)
            out_of_order = by_turns(fleet[:2], setting.length(3, 1), scattered)
    flush = f"a flush of the disk: {flush_ms(setting.directory):.1f} ms"
    floor_us = statistics.median(costs(taken, floor.server.name))
    figures = [
        Figure("SQLite: times no ledger", ratio(taken, SQLITE, OFF), "", 1.6),
        Figure("SQLite: times the floor", ratio(taken, SQLITE, floor.server.name), "", bound(floor_us)),
        Figure(
            "PostgreSQL: the service, times no ledger",
            ratio(taken, POSTGRESQL, OFF),
            "",
            1.6,
            f"PostgreSQL itself: {statistics.median(postgres_us):.1f} us a row",
        ),
        Figure("SQLite, names in no order: times no ledger", ratio(out_of_order, SQLITE, OFF), "", 1.6),
        Figure("CPU of the floor", floor_us, "us"),
    ]
    for name in (OFF, SQLITE, POSTGRESQL):
        loads = [found for found, _ in taken[name]]
        rate = statistics.median(found.requests * 1e6 / found.duration_us for found in loads)
        p99 = middle_ms([found.quantiles_us for found in loads], 99)
        aims = (None, None) if name == OFF else (12_000, 25)
        figures += [
            Figure(f"{name}: CPU per request", statistics.median(costs(taken, name)), "us"),
            Figure(f"{name}: answered over 64 connections", rate, "req/s", at_least=aims[0]),
            Figure(f"{name}: latency p99 of these", p99, "ms", aims[1], flush),
        ]
    return Findings([noted(figures[0], crowd(taken)), *figures[1:]])


def bound(floor_us: float) -> float:
    """The most that an identity may cost, in times the floor: a straight line through the two given points."""
    return round(max(4.5, 6.0 - (floor_us - 4.7) * (6.0 - 4.5) / (7.0 - 4.7)), 2)


def flush_ms(directory: Path, clock: Callable[[], float] = time.perf_counter) -> float:
    taken = []
    with (directory / "flush").open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(bytes(4096))
            began = clock()
            os.fsync(file.fileno())
            taken.append((clock() - began) * 1000)
    return statistics.median(taken)
