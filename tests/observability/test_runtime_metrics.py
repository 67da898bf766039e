"""Delays of all requests of a worker are measured."""

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from arsenal_fast.observability.metrics import BUCKETS, NANOSECONDS, Series
from arsenal_fast.observability.runtime_metrics import (
    GC_THRESHOLDS,
    PROBE,
    collect_new_objects,
    probe_event_loop,
    tune_garbage_collector,
    watch_garbage_collector,
)
from tests.support.loops import run, until

STALL = 3 * PROBE  # seconds


def test_a_stalled_event_loop_is_late_by_the_length_of_the_stall() -> None:
    """The stall begins before the probe's timer is due, so what is seen is less by the rest of its wait at most."""
    lag = Series()

    async def main() -> None:
        probing = asyncio.get_running_loop().create_task(probe_event_loop(lag))
        await until(lambda: lag.count == 1)
        until_then = time.monotonic() + STALL
        while time.monotonic() < until_then:
            pass  # what a handler must never do
        await until(lambda: lag.count == 2)
        probing.cancel()

    run(main())
    assert lag.nanoseconds / NANOSECONDS >= STALL - PROBE
    assert sum(lag.counts[BUCKETS.index(0.1) :]) >= 1


@contextmanager
def tuned() -> Iterator[None]:
    before = gc.get_threshold()
    tune_garbage_collector()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Knot:
    """Holds itself."""

    def __init__(self) -> None:
        self.self = self


def test_a_cycle_is_found_by_the_next_look_also_where_as_much_is_freed_as_made() -> None:
    async def main() -> None:
        looking = asyncio.get_running_loop().create_task(collect_new_objects())
        left = weakref.ref(Knot())
        assert left() is not None
        await until(lambda: left() is None)
        looking.cancel()

    with tuned():
        run(main())


def test_no_collection_by_itself_goes_over_old_objects() -> None:
    """However many are made and kept: only the youngest generation is collected."""
    collected: list[int] = []

    def told(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            collected.append(info["generation"])

    with tuned():
        gc.callbacks.append(told)
        try:
            kept = [[number] for number in range(20 * GC_THRESHOLDS[0])]
        finally:
            gc.callbacks.remove(told)
    assert len(kept) == 20 * GC_THRESHOLDS[0]
    assert set(collected) == {0}
    assert len(collected) >= 10


def test_each_run_of_the_garbage_collector_is_a_pause_until_the_watch_ends() -> None:
    pauses = Series()
    unwatch = watch_garbage_collector(pauses)
    try:
        gc.collect()
    finally:
        unwatch()
    seen = pauses.count
    assert seen >= 1
    assert pauses.nanoseconds > 0
    gc.collect()
    assert pauses.count == seen
