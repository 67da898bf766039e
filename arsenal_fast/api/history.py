"""The last minutes of the service, for the dashboard: figures of each interval, and since when a dependency is away."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from arsenal_fast.observability.metrics import BUCKETS, Metrics

LOOK_S: Final = 1.0
"""Seconds between looks at the dependencies."""

INTERVAL_S: Final = 5.0
"""Seconds of an interval."""

INTERVALS: Final = 60
"""Intervals that are kept: five minutes."""

_API: Final = "/api/v1/"


class Interval(NamedTuple):
    """What happened in a time: calls of the API, without probes, scrapes and pages."""

    ended_ms: int
    """Wall clock."""
    seconds: float
    requests: int
    refused: int
    """Of them, with status 429."""
    errors: int
    """Of them, with a status of 500 and above."""
    latency: tuple[int, ...]
    """Requests for each bucket of the histogram."""
    round_trips: int
    round_trip_ns: int
    waiting: int
    """Rows that waited for the ledger at its end."""


class History:
    """What one worker remembers of the last minutes, of the sum over all workers."""

    __slots__ = ("_last", "away_since_ms", "intervals")

    def __init__(self) -> None:
        self.intervals: deque[Interval] = deque(maxlen=INTERVALS)
        self.away_since_ms: dict[str, int] = {}
        """By the name of a dependency that can't be used; the wall clock when that was found."""
        self._last: Interval | None = None
        """From the zero of all counters and of the monotonic clock until the last call of :meth:`add`."""

    def note_away(self, away: Iterable[str], now_ms: int) -> None:
        """Remember since when each of these dependencies is away; all others are back."""
        self.away_since_ms = {name: self.away_since_ms.get(name, now_ms) for name in away}

    def is_due(self, monotonic_s: float) -> bool:
        """Whether the interval is over."""
        return self._last is None or monotonic_s - self._last.seconds >= INTERVAL_S

    def add(self, total: Metrics, monotonic_s: float, now_ms: int) -> None:
        """End the interval with the sum over the workers as of now."""
        whole, last = _whole(total, monotonic_s, now_ms), self._last
        self._last = whole
        if last is not None and whole.requests >= last.requests:  # fewer: a worker's counts are missing
            self.intervals.append(_between(last, whole))


def _whole(total: Metrics, monotonic_s: float, now_ms: int) -> Interval:
    """Return all that was ever counted as one interval."""
    requests = refused = errors = 0
    latency = [0] * (len(BUCKETS) + 1)
    for (route, _, status), series in total.series.items():
        if route.startswith(_API):
            count = series.count
            requests += count
            refused += count * (status == 429)
            errors += count * (status >= 500)
            latency = [mine + theirs for mine, theirs in zip(latency, series.counts, strict=True)]
    trips = total.redis_round_trip
    return Interval(
        now_ms,
        monotonic_s,
        requests,
        refused,
        errors,
        tuple(latency),
        trips.count,
        trips.nanoseconds,
        total.ledger_waiting,
    )


def _between(first: Interval, second: Interval) -> Interval:
    """Return what the second has more than the first."""
    return Interval(
        ended_ms=second.ended_ms,
        seconds=second.seconds - first.seconds,
        requests=second.requests - first.requests,
        refused=second.refused - first.refused,
        errors=second.errors - first.errors,
        latency=tuple(later - earlier for later, earlier in zip(second.latency, first.latency, strict=True)),
        round_trips=second.round_trips - first.round_trips,
        round_trip_ns=second.round_trip_ns - first.round_trip_ns,
        waiting=second.waiting,
    )
