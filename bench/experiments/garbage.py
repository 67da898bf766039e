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

from arsenal_fast.worker import GC_THRESHOLDS
from bench.experiments.hot_path import Worker, requests_of
from bench.experiments.racing import build, show
from bench.workloads import WORKLOADS

ROUNDS = 1
IDENTITIES = 160_000
"""Two generations of the cache, and some more."""

WAYS: dict[str, tuple[bool, tuple[int, ...] | None]] = {
    "as Python starts": (False, None),
    "gc.freeze alone": (True, None),
    f"gc.freeze and {GC_THRESHOLDS} (the service)": (True, GC_THRESHOLDS),
    "gc.freeze and (10000, 1000, 100)": (True, (10_000, 1000, 100)),
    "gc.freeze and (5000, 1000, 100)": (True, (5_000, 1000, 100)),
    "no collector": (True, (0,)),
}
"""Whether what the start made is frozen, and the thresholds."""


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


def issue(freeze: bool, thresholds: tuple[int, ...] | None) -> dict[str, float]:
    """The figures of one process."""
    worker = Worker()
    requests = requests_of(next(each for each in WORKLOADS if each.name == "issuing"), IDENTITIES, count(1))
    gc.collect()
    if freeze:
        gc.freeze()
    if thresholds is not None:
        gc.set_threshold(*thresholds)
    pauses = Pauses()
    gc.callbacks.append(pauses)
    start = time.thread_time_ns()
    worker.serve(requests)
    spent = time.thread_time_ns() - start
    return {
        "CPU us per request": spent / IDENTITIES / 1000,
        "longest collection, ms": max(pauses.spent, default=0) / 1e6,
        "all collections, % of the time": sum(pauses.spent) / spent * 100,
    }


def main(arguments: list[str]) -> None:
    if arguments:
        print(json.dumps(issue(*WAYS[arguments[0]])))
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
