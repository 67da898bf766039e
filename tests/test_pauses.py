"""What makes every request of a worker wait is seen."""

import asyncio
import gc
import time

from arsenal_fast.metrics import BUCKETS, NANOSECONDS, Series
from arsenal_fast.pauses import PROBE, probe_event_loop, watch_garbage_collector
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
