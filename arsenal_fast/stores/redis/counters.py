"""Counters of the Redis connection: plain integers, which the hot path adds to and a scrape reads."""

from bisect import bisect_left
from typing import Final

# Seconds, upper ends. A healthy round trip is 0.1 to 1 ms; the last one is the default time-out.
ROUND_TRIP_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)


class Counters:
    """Totals since the start, which only grow, and two gauges of memory.

    ``rows``: limiter cells and identities sent. ``failures``: error replies that were no outage.
    ``evictions``, ``memory_used``, ``memory_limit`` (octets, as of now; 0: none or unknown): from Redis's INFO.
    ``round_trip_buckets[i]``: replies within ROUND_TRIP_BOUNDS[i], above the bound before; the last: slower.
    """

    __slots__ = (
        "batches",
        "commands",
        "connects",
        "disconnects",
        "evictions",
        "failures",
        "memory_limit",
        "memory_used",
        "outages",
        "replies",
        "round_trip_buckets",
        "round_trip_seconds_sum",
        "round_trips",
        "rows",
        "script_loads",
        "timeouts",
    )

    def __init__(self) -> None:
        self.commands = 0
        self.rows = 0
        self.batches = 0
        self.replies = 0
        self.timeouts = 0
        self.connects = 0
        self.disconnects = 0
        self.outages = 0
        self.failures = 0
        self.script_loads = 0
        self.evictions = self.memory_used = self.memory_limit = 0
        self.round_trips = 0
        self.round_trip_seconds_sum = 0.0
        self.round_trip_buckets = [0] * (len(ROUND_TRIP_BOUNDS) + 1)

    def round_trip(self, seconds: float) -> None:
        """Count one reply that came ``seconds`` after its command."""
        self.round_trips += 1
        self.round_trip_seconds_sum += seconds
        self.round_trip_buckets[bisect_left(ROUND_TRIP_BOUNDS, seconds)] += 1
