"""Counters of a store: plain numbers, which the hot path adds to and a scrape reads."""

from bisect import bisect_left
from dataclasses import dataclass, field

from arsenal_fast.observability.metrics import ROUND_TRIP_BUCKETS


@dataclass(slots=True)
class Counters:
    """Totals since the start, which only grow, and two gauges of memory; what can't happen in a store stays 0.

    ``rows``: limiter cells and identities sent. ``failures``: error replies that were no outage.
    ``evictions``, ``memory_used``, ``memory_limit`` (bytes, as of now; 0: none or unknown): from Redis's INFO.
    ``round_trip_buckets[i]``: replies within ROUND_TRIP_BUCKETS[i] seconds, above the bound before; the last: slower.
    """

    commands: int = 0
    rows: int = 0
    batches: int = 0
    replies: int = 0
    timeouts: int = 0
    connects: int = 0
    disconnects: int = 0
    outages: int = 0
    failures: int = 0
    script_loads: int = 0
    evictions: int = 0
    memory_used: int = 0
    memory_limit: int = 0
    round_trips: int = 0
    round_trip_seconds_sum: float = 0.0
    round_trip_buckets: list[int] = field(default_factory=lambda: [0] * (len(ROUND_TRIP_BUCKETS) + 1))

    def round_trip(self, seconds: float) -> None:
        """Count one reply that came ``seconds`` after its command."""
        self.round_trips += 1
        self.round_trip_seconds_sum += seconds
        self.round_trip_buckets[bisect_left(ROUND_TRIP_BUCKETS, seconds)] += 1
