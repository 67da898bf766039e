"""What makes every request of a worker wait: an event loop that is busy, and the garbage collector.

Neither is on the way of a request: the loop is asked ten times a second how late it is, the collector tells of
its runs by itself.
"""

import asyncio
import gc
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from arsenal_fast.metrics import Series

PROBE: Final = 0.1
"""Seconds between probes of the loop: a stall of that length is always seen, a shorter one in proportion."""


async def probe_event_loop(lag: Series) -> None:
    """Observe how much later than asked for the loop comes round to us, until cancelled.

    libuv's timers are whole milliseconds, so an idle loop is up to one late.
    """
    while True:
        due = monotonic() + PROBE
        await asyncio.sleep(PROBE)
        lag.observe(max(0.0, monotonic() - due))


def watch_garbage_collector(pauses: Series) -> Callable[[], None]:
    """Observe every run of the collector, during which nothing else runs; returns what ends it."""
    began = 0.0

    def told(phase: str, _info: dict[str, Any]) -> None:
        nonlocal began
        if phase == "start":
            began = monotonic()
        else:
            pauses.observe(monotonic() - began)

    gc.callbacks.append(told)
    return lambda: gc.callbacks.remove(told)
