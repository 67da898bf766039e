"""Figures beside the rates: what the service costs while idle, at the start, and in Redis."""

import statistics
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from bench.load import is_ready, run_wrk, seed
from bench.processes import SERVER_CORE, free_port, read_cpu, read_rss, spent, started, wait_until
from bench.results import Extra
from bench.rounds import running_redis, running_server
from bench.servers import Server
from bench.workloads import WORKLOADS, write_script

STARTS = 5
IDLE_SECONDS = 5.0
LOAD_SECONDS = 3
KEYS_LOOKED_AT = 1_000
MEBIBYTE = 1024 * 1024


def measure_all(server: Server) -> list[Extra]:
    """Every figure of this file, each on fresh processes."""
    with TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        return [start_up(server, directory), *idle(server, directory), *redis_costs(server, directory)]


def start_up(server: Server, directory: Path) -> Extra:
    """From the start of the process to the first 200 of its readiness."""
    taken = []
    with running_redis(directory) as redis_port:
        for _ in range(STARTS):
            port, log = free_port(), directory / f"{server.name}.log"
            command, environment = server.filled(port=port, redis_port=redis_port, redis_db=0, scratch=directory)
            began = time.monotonic()
            with started(command, environment, SERVER_CORE, log) as process:
                ready = wait_until(partial(is_ready, port, server.ready), process, log)
            taken.append(ready - began)
    return Extra(f"ready after the start (median of {STARTS})", statistics.median(taken), "s", 0.4)


def idle(server: Server, directory: Path) -> list[Extra]:
    """Memory and CPU time of a server that nobody asks."""
    with (
        running_redis(directory) as redis_port,
        running_server(server, directory, redis_port=redis_port, redis_db=0) as running,
    ):
        before = read_cpu(running.pid)
        time.sleep(IDLE_SECONDS)
        share = spent(before, read_cpu(running.pid)).microseconds / (IDLE_SECONDS * 1e6)
        resident = read_rss(running.pid) / MEBIBYTE
    return [Extra("idle: resident memory", resident, "MB", 40), Extra("idle: CPU", share * 100, "%", 0.5)]


def redis_costs(server: Server, directory: Path) -> list[Extra]:
    """Octets of Redis per record, and admission commands per request under load."""
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_redis(directory))
        running = stack.enter_context(running_server(server, directory, redis_port=redis_port, redis_db=0))
        client = stack.enter_context(redis.Redis(host="127.0.0.1", port=redis_port))
        suffix = seed(running.port)
        workload = next(workload for workload in WORKLOADS if workload.name == "cached-proxy")
        client.config_resetstat()
        load = run_wrk(running.port, write_script(workload, suffix, directory, 0), LOAD_SECONDS)
        calls = sum(
            int(row["calls"])
            for name, row in client.info("commandstats").items()
            if name.startswith(("cmdstat_eval", "cmdstat_fcall"))
        )
        figures = [Extra("Redis: script calls per request, 64 connections", calls / load.requests, "")]
        for title, pattern, at_most in (
            ("Redis: octets per limiter cell", server.cell_keys, 120),
            ("Redis: octets per identity", server.identity_keys, 200),
        ):
            if pattern and (octets := mean_octets(client, pattern)) is not None:
                figures.append(Extra(f"{title} (mean)", octets, "B", at_most))
    return figures


def mean_octets(client: redis.Redis, pattern: str) -> float | None:
    """Mean MEMORY USAGE of the first keys that match; None when none does."""
    octets = []
    for key in client.scan_iter(match=pattern, count=1000):
        octets.append(int(client.memory_usage(key) or 0))
        if len(octets) == KEYS_LOOKED_AT:
            break
    return statistics.fmean(octets) if octets else None
