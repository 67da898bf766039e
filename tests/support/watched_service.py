"""The service with a watched event loop: ``python -m tests.support.watched_service serve``.

Its own lag metric can't distinguish a busy loop from a process that waits for a processor. Here a timer looks at both
clocks of the loop's thread, and the end of the process logs one line: ``watched: {...}``, which ``read`` finds.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Final

from arsenal_fast.cli.main import main
from arsenal_fast.observability import runtime_metrics
from arsenal_fast.observability.metrics import Series

PERIOD_S: Final = 0.005
LONG_S: Final = 0.05
"""A pause that callers notice."""
LINE: Final = "watched: "


@dataclass
class Watched:
    """What the timer saw. ``busy``: the thread's own processor time between two calls, less the period."""

    calls: int = 0
    late: int = 0
    """Calls that came LONG_S late, for any reason."""
    latest_ms: float = 0.0
    busy: int = 0
    """Calls between which the loop itself worked for LONG_S."""
    busiest_ms: float = 0.0

    def add(self, wall_s: float, cpu_s: float) -> None:
        """Count a call; the seconds since the one before it."""
        late_s, busy_s = wall_s - PERIOD_S, cpu_s - PERIOD_S
        self.calls += 1
        self.late += late_s > LONG_S
        self.busy += busy_s > LONG_S
        self.latest_ms = max(self.latest_ms, round(late_s * 1e3, 1))
        self.busiest_ms = max(self.busiest_ms, round(busy_s * 1e3, 1))


def read(log: str) -> Watched:
    """What a service that has ended logged."""
    (line,) = (line for line in log.splitlines() if line.startswith(LINE))
    return Watched(**json.loads(line.removeprefix(LINE)))


async def look(watched: Watched) -> None:
    """Look at both clocks again and again, until cancelled."""
    wall_s, cpu_s = time.monotonic(), time.thread_time()
    while True:
        await asyncio.sleep(PERIOD_S)  # the timer that is watched
        now_s, now_cpu_s = time.monotonic(), time.thread_time()
        watched.add(now_s - wall_s, now_cpu_s - cpu_s)
        wall_s, cpu_s = now_s, now_cpu_s


async def watch(lag: Series) -> None:
    """Watch the loop that runs this, beside its own probe, until cancelled."""
    watched = Watched()
    looking = asyncio.create_task(look(watched))
    try:
        await _probe(lag)
    finally:
        looking.cancel()
        print(LINE + json.dumps(asdict(watched)), flush=True)


_probe = runtime_metrics.probe_event_loop

if __name__ == "__main__":
    runtime_metrics.probe_event_loop = watch
    sys.exit(main())
