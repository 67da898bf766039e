"""The garbage collector while a worker issues: frozen start-up objects or not, and how often it looks.

A process for each way, in turn. It makes a worker, sets the collector, and issues identities until the worker's caches
are full, which is when there are most new objects: us per request, the longest collection and the sum of all. The
embedded store is in the same heap, so there is more to look at than with Redis.
"""

import gc
import json
import subprocess
import sys
import time
from itertools import count
from typing import NamedTuple

from arsenal_fast.pauses import COLLECT, GC_THRESHOLDS
from bench.experiments.hot_path import Worker, requests_of
from bench.experiments.racing import build, show
from bench.workloads import WORKLOADS

ROUNDS = 1
IDENTITIES = 160_000
"""Two generations of the cache, and some more."""

CHUNK = 64
"""Requests of a tick, after which the clock is looked at."""


class Way(NamedTuple):
    """How the collector is set. ``every``: CPU seconds between looks at the new objects; 0 without them."""

    freeze: bool
    thresholds: tuple[int, ...] | None
    every: float = 0.0
    cycles: bool = False
    """Whether a cycle is made for each identity."""


WAYS: dict[str, Way] = {
    "as Python starts": Way(False, None),
    "gc.freeze alone": Way(True, None),
    "gc.freeze and (5000, 1000, 100)": Way(True, (5_000, 1_000, 100)),
    f"{GC_THRESHOLDS} alone": Way(True, GC_THRESHOLDS),
    f"{GC_THRESHOLDS} and a look each {COLLECT} s (the service)": Way(True, GC_THRESHOLDS, COLLECT),
    "the service, with a cycle for each identity": Way(True, GC_THRESHOLDS, COLLECT, cycles=True),
    "no collector": Way(True, (0,)),
}


class Pauses:
    """Times each collection."""

    def __init__(self) -> None:
        self.spent: list[int] = []
        self._start = 0

    def __call__(self, phase: str, _info: dict[str, int]) -> None:
        now = time.thread_time_ns()
        if phase == "start":
            self._start = now
        else:
            self.spent.append(now - self._start)


def issue(way: Way) -> dict[str, float]:
    """The figures of one process."""
    worker = Worker()
    requests = list(requests_of(next(each for each in WORKLOADS if each.name == "issuing"), IDENTITIES, count(1)))
    gc.collect()
    if way.freeze:
        gc.freeze()
    if way.thresholds is not None:
        gc.set_threshold(*way.thresholds)
    pauses = Pauses()
    gc.callbacks.append(pauses)
    start = looked = time.thread_time_ns()
    for first in range(0, IDENTITIES, CHUNK):
        worker.serve(requests[first : first + CHUNK])
        for _ in range(CHUNK * way.cycles):
            _make_cycle()
        if way.every and time.thread_time_ns() - looked >= way.every * 1e9:
            gc.collect(1)
            looked = time.thread_time_ns()
    spent = time.thread_time_ns() - start
    return {
        "CPU us per request": spent / IDENTITIES / 1000,
        "longest collection, ms": max(pauses.spent, default=0) / 1e6,
        "all collections, % of the time": sum(pauses.spent) / spent * 100,
    }


def _make_cycle() -> None:
    knot: list[object] = [{}, []]
    knot.append(knot)


def main(arguments: list[str]) -> None:
    if arguments:
        print(json.dumps(issue(WAYS[arguments[0]])))
        return
    figures: dict[str, dict[str, list[float]]] = {}
    for _ in range(ROUNDS):
        for way in WAYS:
            command = [sys.executable, "-m", "bench.experiments.garbage", way]
            said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            for what, figure in said.items():
                figures.setdefault(what, {}).setdefault(way, []).append(figure)
    print(build())
    for what, samples in figures.items():
        show(f"issuing {IDENTITIES} identities: {what}", samples, what)


if __name__ == "__main__":
    main(sys.argv[1:])
