"""The metrics of one worker, and their sum over workers.

The rules of this file:

* The hot path adds to attributes and list cells of one :class:`Metrics`; it does nothing else.
* One line of that class is one number: its name, its kind, its help. Snapshots, sums and the exposition
  (:mod:`arsenal_fast.observability.exposition`) read those lines.
* Counters are integers; seconds are nanoseconds. A sum of floats depends on its order, and a counter
  that has lost one unit in the last place since the last scrape was reset, to Prometheus.
* Labels come from closed sets (routes of the table, known methods, statuses that we send): no client can make
  the number of series grow.

A *snapshot* is one worker's counts as JSON. A scrape of any worker answers for all: :func:`merge` adds up the
newest snapshot of each. A worker's counters stay after its end; its gauges (connections, memory) do not.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

import orjson

from arsenal_fast.observability.callers import Ranking, RecentCallers

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, seconds; a hit should take half a millisecond."""

ROUND_TRIP_BUCKETS: Final = BUCKETS[:9]
"""Upper bounds for the shared store's replies, seconds; the last one is its default time-out."""

STALE_AFTER: Final = 5.0
"""Seconds after which a snapshot's writer counts as dead. Workers write one every half second."""

NANOSECONDS: Final = 1_000_000_000

RANKINGS: Final = ("heaviest", "most_refused")

SeriesKey = tuple[str, str, int]
"""(route, method, status)"""


class Kind(Enum):
    """How a number is merged over snapshots, and after its writer's death."""

    COUNTER = "counter"
    """A counter; stays in the sum for ever."""
    GAUGE = "gauge"
    """A gauge; leaves the sum with its worker."""
    TIMING = "timing"
    """A histogram of seconds; stays in the sum as a counter does."""
    EARLIEST = "earliest"
    """A moment, 0 for none; the sum has the earliest of the living workers."""


Counter: TypeAlias = Annotated[int, Kind.COUNTER]
Gauge: TypeAlias = Annotated[int, Kind.GAUGE]
Earliest: TypeAlias = Annotated[float, Kind.EARLIEST]


@dataclass(slots=True)
class Series:
    """One histogram: counts per bucket (not cumulative; the last one is +Inf) and the sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    nanoseconds: int = 0

    def observe(self, seconds: float, count: int = 1) -> None:
        """Count ``count`` requests that took ``seconds`` each."""
        self.counts[bisect_left(BUCKETS, seconds)] += count
        self.nanoseconds += int(seconds * NANOSECONDS) * count

    @property
    def count(self) -> int:
        """The number of observations."""
        return sum(self.counts)

    def plus(self, counts: Iterable[int], nanoseconds: int) -> None:
        """Add a series of the same buckets; ValueError where it has others."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.nanoseconds += nanoseconds


Timing: TypeAlias = Annotated[Series, Kind.TIMING]


def _round_trips() -> Series:
    return Series([0] * (len(ROUND_TRIP_BUCKETS) + 1))


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """Figures of one process, from operating system and interpreter; the worker reads them."""

    cpu_seconds: float = 0.0
    """User and system time together."""
    resident_bytes: int = 0
    open_descriptors: int = 0
    started: float = 0.0
    """Wall clock, seconds since the epoch; 0 where unknown."""
    collections: tuple[int, int, int] = (0, 0, 0)
    """Runs of the garbage collector for each generation."""
    log_lines_dropped: int = 0


class Rate:
    """The growth rate of a total, from samples: over the last ten seconds, or since the sample before."""

    __slots__ = ("_looks",)

    _SPAN: Final = 10.0
    _STEP: Final = 1.0  # seconds; samples in between are not kept

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, now: float, total: int) -> float | None:
        """Return the growth per second; None at the first sample. ``now``: monotonic seconds."""
        looks = self._looks
        while len(looks) > 1 and looks[1][0] <= now - self._SPAN:
            looks.popleft()
        rate = None
        if looks and now > looks[0][0]:
            rate = (total - looks[0][1]) / (now - looks[0][0])
        if not looks or now - looks[-1][0] >= self._STEP:
            looks.append((now, total))
        return rate


@dataclass(slots=True)
class Metrics:
    """The counts of one worker, or the sum over workers.

    Lines with a help are exported as they stand (:mod:`arsenal_fast.observability.exposition` adds prefix and
    suffix); the others need a rendering of their own. A worker leaves the lines of its store and its process
    at the inherited values; :mod:`arsenal_fast.api.telemetry` sets them at the moment of a snapshot.
    """

    identity_lookups: Annotated[Counter, "Look-ups of an identity, by issuing and validating."] = 0
    identity_lookup_hits: Annotated[Counter, "Look-ups that found a living record."] = 0
    identity_issued: Annotated[Counter, "Identities issued (new lives)."] = 0
    identity_renewed: Annotated[Counter, "Identities renewed in the last quarter of their life."] = 0
    identity_issued_without_store: Annotated[
        Counter, "Identities issued by one worker alone while the shared store was away."
    ] = 0
    identity_revoked: Annotated[Counter, "Revocations: of one identity, of a prefix or of everything."] = 0
    identity_cache_entries: Annotated[Gauge, "Identities in the workers' memory."] = 0

    limiter_allowed: Annotated[Counter, "Requests that the limiter let through."] = 0
    limiter_denied: Annotated[Counter, "Requests that the limiter refused."] = 0
    limiter_denied_locally: Annotated[
        Counter, "Refusals answered from a worker's memory, without the store; part of the refusals."
    ] = 0
    limiter_fallback: Annotated[Counter, "Admissions decided by one worker alone while the shared store was away."] = 0
    shadow_refused: dict[str, int] = field(default_factory=dict)
    """Requests that shadow policies would have refused, by the policy's name; a file has few of them."""
    limiter_batches: Annotated[Counter, "Admission batches: one command each, however many requests."] = 0

    connections_open: Annotated[Gauge, "Client connections open now."] = 0
    connections_accepted: Annotated[Counter, "Connections accepted."] = 0
    connections_shed: Annotated[Counter, "Connections answered 503 because the worker had too many."] = 0
    connections_timed_out: Annotated[
        Counter, "Connections closed by a time-out (head, body, idle or unread answers)."
    ] = 0
    connections_cut: Annotated[Counter, "Connections cut off because unread answers took too much memory."] = 0
    connections_refused: Annotated[
        Counter, "Connections answered 503 because unfinished requests took too much memory."
    ] = 0
    descriptors_exhausted: Annotated[
        Counter, "Looks, twice a second, that found no file descriptor left; connections are closed unserved then."
    ] = 0

    rows_in_work: Annotated[Gauge, "Rows of batches and lists that are being worked on or whose answer is unread."] = 0
    rows_refused: Annotated[Counter, "Batches and lists answered 503 because too many rows were in work."] = 0

    redis_commands: Annotated[Counter, "Commands sent to Redis."] = 0
    redis_batches: Annotated[Counter, "Batched commands for identities sent to Redis."] = 0
    redis_rows: Annotated[Counter, "Limiter cells and identities carried by the commands."] = 0
    redis_replies: Annotated[Counter, "Replies of Redis."] = 0
    redis_timeouts: Annotated[Counter, "Times that Redis did not answer in time."] = 0
    redis_connects: Annotated[Counter, "Connections to Redis that became usable."] = 0
    redis_disconnects: Annotated[Counter, "Connections to Redis that were lost."] = 0
    redis_outages: Annotated[Counter, "Error replies by which Redis was taken to be away."] = 0
    redis_failures: Annotated[Counter, "Error replies that were no outage."] = 0
    redis_script_loads: Annotated[Counter, "Scripts loaded again because Redis had lost them."] = 0
    redis_round_trip: Annotated[Timing, "Time from a command to its reply."] = field(default_factory=_round_trips)
    redis_memory_used_bytes: Annotated[Gauge, "Bytes that Redis says its data take; 0 while it says nothing."] = 0
    redis_memory_limit_bytes: Annotated[Gauge, "Bytes that Redis may take (maxmemory); 0 without a bound."] = 0
    store_evictions: Annotated[
        Counter, "Entries that the store, Redis or the embedded one, has dropped for want of room."
    ] = 0
    ledger_waiting: Annotated[Gauge, "Rows that wait to be written to the ledger."] = 0
    ledger_dropped: Annotated[Counter, "Rows that the ledger will never have: there was no memory left to wait in."] = 0
    ledger_refused: Annotated[Counter, "Rows that the ledger will never have: the database took all but them."] = 0
    ledger_trimmed: Annotated[
        Counter, "Events that left the ledger before their retention was over, for want of room (LEDGER_MAX_ROWS)."
    ] = 0
    ledger_rows: Annotated[Counter, "Rows written to the ledger."] = 0
    ledger_commits: Annotated[Counter, "Commits of the ledger, each of many rows."] = 0
    ledger_commit: Annotated[Timing, "Time that writing a group of rows to the ledger took."] = field(
        default_factory=Series
    )
    ledger_failures: Annotated[Counter, "Tries that found the ledger locked, full or away."] = 0
    ledger_timeouts: Annotated[Counter, "Times that the ledger did not answer in time."] = 0
    ledger_up: Gauge = 0
    """Workers whose ledger can be read and written."""
    store_up: Gauge = 0
    """Workers that reach their store."""

    process_cpu_nanoseconds: Counter = 0
    process_resident_bytes: Gauge = 0
    process_open_descriptors: Gauge = 0
    process_started: Earliest = 0.0
    """The earliest start of a living worker; 0 where none is known."""
    certificate_expires: Earliest = 0.0
    """The first expiry of the workers' certificates, seconds since the epoch; 0 without TLS."""
    gc_collections_0: Counter = 0
    gc_collections_1: Counter = 0
    gc_collections_2: Counter = 0

    workers: Annotated[Gauge, "Workers that are alive."] = 0
    worker_restarts: Annotated[Counter, "Workers that took the place of one that had died."] = 0
    files_read: Annotated[Counter, "Times that a file of limits or rules was read and came into force."] = 0
    files_refused: Annotated[Counter, "Times that a changed file of limits or rules was refused."] = 0
    files_stale: Annotated[
        Gauge, "Files of limits or rules that are refused since they were changed, over all workers."
    ] = 0
    log_lines_dropped: Annotated[Counter, "Log lines dropped because stderr was read too slowly or not at all."] = 0
    event_loop_lag: Annotated[Timing, "How late the event loop came round to a timer, ten times a second."] = field(
        default_factory=Series
    )
    gc_pause: Annotated[Timing, "Time that a run of the garbage collector took; nothing else runs then."] = field(
        default_factory=Series
    )
    request_rate: float | None = None
    """Responses a second, recently; None before a worker has two samples."""

    series: dict[SeriesKey, Series] = field(default_factory=dict)
    written: float = 0.0
    """Monotonic seconds (of the machine, the same for all workers) at which a snapshot was taken."""
    process: Callable[[], ProcessFigures] = field(default=ProcessFigures, compare=False)
    """The rate of this worker's own total."""
    rate: Rate = field(default_factory=Rate, compare=False)
    heaviest: RecentCallers = field(default_factory=RecentCallers, compare=False)
    """Who sent this worker most requests."""
    most_refused: RecentCallers = field(default_factory=RecentCallers, compare=False)
    """To whom this worker responded 429 most often."""
    rankings: dict[str, Ranking] = field(default_factory=lambda: {name: Ranking() for name in RANKINGS})
    """What ``heaviest`` and ``most_refused`` reported, of all workers that are alive."""

    def observe(self, route: str, method: str, status: int, seconds: float, count: int = 1) -> None:
        """Count responses and their latency."""
        series = self.series.get((route, method, status))
        if series is None:
            series = self.series[route, method, status] = Series()
        series.observe(seconds, count)

    @property
    def answered(self) -> int:
        """The number of responses."""
        return sum(series.count for series in self.series.values())

    def requests(self) -> dict[tuple[str, str], int]:
        """Return the responses by (method, status): the exact status below 500, ``5xx`` from 500 on."""
        found: dict[tuple[str, str], int] = {}
        for (_, method, status), series in self.series.items():
            key = (method, str(status) if status < 500 else "5xx")
            found[key] = found.get(key, 0) + series.count
        return found

    @property
    def hit_ratio(self) -> float | None:
        """The share of look-ups that found a living record; None without look-ups."""
        return self.identity_lookup_hits / self.identity_lookups if self.identity_lookups else None

    def timings(self) -> Iterable[tuple[str, Series]]:
        """Yield the histograms by name."""
        return ((name, getattr(self, name)) for name in TIMINGS)

    def snapshot(self) -> bytes:
        """Return the counts as JSON, for :meth:`add` and :func:`merge`."""
        return orjson.dumps(
            {
                "written": self.written,
                "counters": {name: getattr(self, name) for name in COUNTERS},
                "gauges": {name: getattr(self, name) for name in GAUGES},
                "shadow_refused": self.shadow_refused,
                "earliest": {name: getattr(self, name) for name in EARLIEST},
                "rate": self.request_rate,
                "rankings": {name: (each.counts, each.error, each.seconds) for name, each in self.rankings.items()},
                "timings": {name: (each.counts, each.nanoseconds) for name, each in self.timings()},
                "series": [(*key, each.counts, each.nanoseconds) for key, each in self.series.items()],
            }
        )

    def add(self, snapshot: bytes, *, gauges: bool = True) -> None:
        """Add a snapshot; without ``gauges`` only counters (of a worker that is gone)."""
        self.add_decoded(orjson.loads(snapshot), gauges=gauges)

    def add_decoded(self, data: dict[str, Any], *, gauges: bool) -> None:
        """As :meth:`add`, for a decoded snapshot."""
        self._add_all(data["counters"])
        for policy, number in data["shadow_refused"].items():
            self.shadow_refused[policy] = self.shadow_refused.get(policy, 0) + number
        for name, series in self.timings():
            series.plus(*data["timings"][name])
        for route, method, status, counts, nanoseconds in data["series"]:
            self.series.setdefault((route, method, status), Series()).plus(counts, nanoseconds)
        if not gauges:
            return
        self._add_all(data["gauges"])
        for name, moment in data["earliest"].items():
            if moment:
                setattr(self, name, min(moment, getattr(self, name) or moment))
        for name, ranking in data["rankings"].items():
            self.rankings[name].add(*ranking)
        if (rate := data["rate"]) is not None:
            self.request_rate = rate + (self.request_rate or 0.0)

    def _add_all(self, numbers: dict[str, int]) -> None:
        for name, number in numbers.items():
            setattr(self, name, getattr(self, name) + number)


def _numbers(kind: Kind) -> dict[str, str | None]:
    """Return the lines of a kind: name -> help, None where the exposition has its own rendering."""
    hints: dict[str, Any] = get_type_hints(Metrics, include_extras=True)
    found: dict[str, str | None] = {}
    for name, hint in hints.items():
        marks: tuple[Any, ...] = getattr(hint, "__metadata__", ())
        if kind in marks:
            found[name] = marks[1] if len(marks) > 1 else None
    return found


COUNTERS: Final = _numbers(Kind.COUNTER)
GAUGES: Final = _numbers(Kind.GAUGE)
TIMINGS: Final = _numbers(Kind.TIMING)
EARLIEST: Final = _numbers(Kind.EARLIEST)


def merge(snapshots: Iterable[bytes], now: float) -> Metrics:
    """Return the sum of the workers' snapshots at ``now`` (monotonic seconds).

    Empty ones (a worker that has not written yet) are ignored. One older than STALE_AFTER seconds is of a dead worker:
    its counters count, its gauges don't.
    """
    total = Metrics(written=now)
    for snapshot in snapshots:
        if snapshot:
            data = orjson.loads(snapshot)
            total.add_decoded(data, gauges=abs(now - data["written"]) <= STALE_AFTER)
    return total
