"""Measures pauses that delay all requests of a worker: a busy event loop, and the garbage collector.

Neither measurement is on the hot path: a timer measures the loop's lateness ten times a second, the collector calls
back at its runs.

The collector checks new objects only: when 5,000 more were made than freed, and ten times a second. No
request makes a cycle (``tests/api/test_no_cycles.py``), so there is no garbage among the old ones, and a pass over
a full cache takes 90 to 190 ms. Counting alone is not enough: a full cache frees an old object for each new
one, so the count stays where it is, and 69,000 new ones were waiting when a collection came at last (23 ms).

Measured with 160,000 identities issued as fast as one CPU can (``docs/experiments.md``), the longest pause:
5.5 ms, and 8.5 ms with a cycle made for each of them; 4 % of the time in all. What may be lost if a release
brings a cycle: those that are alive at one of ten moments a second, until the worker ends.
"""

import asyncio
import gc
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from arsenal_fast.observability.metrics import Series

PROBE: Final = 0.1
"""Seconds between probes of the loop: a stall of that length is always noticed, a shorter one in proportion."""

GC_THRESHOLDS: Final = (5_000, 1_000_000, 1_000_000)
"""The youngest generation at 5,000 net new objects; the older ones never by themselves. (From Python 3.14 on there is
one old generation, of which each collection goes over a millionth.)"""

COLLECT: Final = 0.1
"""Seconds between collections of new objects: 2,000 issued identities in between take 2 ms."""

_NEW: Final = 1
"""The youngest generation, and what has outlived one collection of it."""


def tune_garbage_collector() -> None:
    """Collect new objects only; the objects of the start live for ever."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def collect_new_objects() -> None:
    """Collect new objects ten times a second, until cancelled."""
    while True:
        await asyncio.sleep(COLLECT)
        if gc.isenabled():  # not where a measurement has turned it off
            gc.collect(_NEW)


async def probe_event_loop(lag: Series) -> None:
    """Observe how late the loop runs a timer, until cancelled.

    libuv's timers are whole milliseconds, so an idle loop is up to one late.
    """
    while True:
        due = monotonic() + PROBE
        await asyncio.sleep(PROBE)
        lag.observe(max(0.0, monotonic() - due))


def watch_garbage_collector(pauses: Series) -> Callable[[], None]:
    """Observe every run of the collector, during which nothing else runs; returns a function that ends it."""
    began = 0.0

    def observe_collection(phase: str, _info: dict[str, Any]) -> None:
        nonlocal began
        if phase == "start":
            began = monotonic()
        else:
            pauses.observe(monotonic() - began)

    gc.callbacks.append(observe_collection)
    return lambda: gc.callbacks.remove(observe_collection)
