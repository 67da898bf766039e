"""The interpreter alone: calls, formatting and dictionaries in plain loops, as JSON like ``hot_path``."""

import json
import time
from collections.abc import Callable

from bench.experiments.racing import build

LOOPS = 20_000
SAMPLES = 15


class Counter:
    """Something to call."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, number: int) -> None:
        self.value += number


def calls() -> None:
    counter = Counter()
    for number in range(LOOPS):
        counter.add(number)


def formatting() -> None:
    for number in range(LOOPS):
        f"{number}-{number}@sports.api.yourbook.com/{number}:id".encode("ascii")


def dictionaries() -> None:
    seen: dict[bytes, int] = {}
    for number in range(LOOPS):
        key = b"%d" % (number & 1023)
        seen[key] = seen.get(key, 0) + 1


def cost(loop: Callable[[], None]) -> float:
    """us of CPU time of one turn of a loop: the best, for a loop that touches nothing else has no other reading."""
    samples = []
    for _ in range(SAMPLES):
        start = time.thread_time_ns()
        loop()
        samples.append(time.thread_time_ns() - start)
    return min(samples) / LOOPS / 1000


if __name__ == "__main__":
    loops = {f"plain loop, {loop.__name__}": cost(loop) for loop in (calls, formatting, dictionaries)}
    print(json.dumps({"build": build(), "us": loops}))
