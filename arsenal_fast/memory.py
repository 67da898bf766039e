"""The embedded store (``memory://``): the ports of Redis within one process, for one worker.

Rules of this file: the same answers as gcra.lua and issue.lua, which one conformance suite holds; every
callback is made before the call returns; time comes from the callables passed in; and everything is bounded.

* What is over (a limiter cell whose tat has passed, a record after its retention) goes as others come: each
  row written looks at SWEEP of the oldest entries, so dead ones leave sooner than new ones arrive and no call
  ever walks the whole table. (Growing a table copies it: some milliseconds, a dozen times in its life.)
* A full table drops, of SAMPLE of its oldest entries, the one that would have ended first. A dropped cell
  gives its client a fresh quota: more than CAPACITY clients active in one window may pass more than their
  limit, none is refused wrongly. A dropped identity becomes unknown here (the ledger still knows it), and
  issuing it again begins a new life.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from arsenal_fast.identity.life import EXPIRED_RETENTION, Issued, IssueRow, Life, Outcome
from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.gcra import strike

CAPACITY: Final = 65_536  # entries of each table: some 15 MB of cells, some 25 MB of identities when full
SWEEP: Final = 2  # entries looked at per row written: two leave for each one that comes
SAMPLE: Final = 5  # entries compared when one must go; as Redis's maxmemory-samples

Value = TypeVar("Value")


class Counters:
    """The totals that the Redis backend has, those that can't happen here being 0; none ever goes back."""

    __slots__ = (
        "batches",
        "commands",
        "connects",
        "disconnects",
        "evictions",
        "failures",
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
        self.batches = self.commands = self.rows = self.replies = self.evictions = 0
        self.connects = self.disconnects = self.failures = self.outages = self.timeouts = 0
        self.round_trips = self.script_loads = 0
        self.round_trip_seconds_sum = 0.0
        self.round_trip_buckets: list[int] = []


class Expiring(Generic[Value]):
    """A bounded table. ``ends(value)``: the moment from which on an entry is over, in the caller's clock."""

    __slots__ = ("_capacity", "_counters", "_ends", "_entries")

    def __init__(self, capacity: int, ends: Callable[[Value], int], counters: Counters) -> None:
        if capacity < 1:
            raise ValueError("a table needs a capacity of at least 1.")
        self._capacity = capacity
        self._ends = ends
        self._counters = counters
        # Not a dict: with its oldest keys deleted, finding the first key left walks over all the holes.
        self._entries: OrderedDict[str, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: int) -> Value | None:
        """The entry, or None when there is none or it is over."""
        value = self._entries.get(key)
        return value if value is not None and now < self._ends(value) else None

    def put(self, key: str, value: Value, now: int) -> None:
        """Store an entry and do a share of the clearing up."""
        self._entries[key] = value
        self._sweep(now)
        if len(self._entries) > self._capacity:
            self._evict(key)

    def _sweep(self, now: int) -> None:
        entries = self._entries
        for _ in range(min(SWEEP, len(entries))):
            key, value = entries.popitem(last=False)
            if now < self._ends(value):
                entries[key] = value

    def _evict(self, newest: str) -> None:
        entries = self._entries
        sample = [entries.popitem(last=False) for _ in range(min(SAMPLE, len(entries)))]
        victim = min((entry for entry in sample if entry[0] != newest), key=lambda entry: self._ends(entry[1]))
        self._counters.evictions += 1
        for entry in sample:
            if entry is not victim:
                entries[entry[0]] = entry[1]


def _tat(tat: int) -> int:
    return tat


def _retained(life: Life) -> int:
    return life.expires + EXPIRED_RETENTION


class MemoryLimiter:
    """The Limiter port; ``now_us`` is a monotonic clock in microseconds."""

    __slots__ = ("_cells", "_counters", "_now_us")

    def __init__(self, now_us: Callable[[], int], capacity: int, counters: Counters) -> None:
        self._now_us = now_us
        self._counters = counters
        self._cells: Expiring[int] = Expiring(capacity, _tat, counters)

    def admit(
        self,
        clients: Sequence[Client],
        quantities: Sequence[int],
        done: Callable[[Sequence[int] | None], None],
    ) -> None:
        """``done`` once, at once: the backlogs before each row's hits (us), in order."""
        now = self._now_us()
        backlogs = []
        for client, quantity in zip(clients, quantities, strict=True):
            tat = self._cells.get(client.key, now) or 0
            backlog, after = strike(tat, now, quantity, client.quota)
            if after != tat:
                self._cells.put(client.key, after, now)
            backlogs.append(backlog)
        self._counters.commands += 1
        self._counters.rows += len(clients)
        self._counters.replies += 1
        done(backlogs)

    def __len__(self) -> int:
        return len(self._cells)


class MemoryIdentities:
    """The IdentityStore port; ``now_ms`` is the wall clock in milliseconds."""

    __slots__ = ("_counters", "_lives", "_now_ms")

    def __init__(self, now_ms: Callable[[], int], capacity: int, counters: Counters) -> None:
        self._now_ms = now_ms
        self._counters = counters
        self._lives: Expiring[Life] = Expiring(capacity, _retained, counters)

    def issue(self, rows: Sequence[IssueRow], done: Callable[[Sequence[Issued] | None], None]) -> None:
        """``done`` once, at once: what became of each row, in order."""
        now = self._now_ms()
        answers = [self._issue(row, now) for row in rows]
        self._count(len(rows))
        done(answers)

    def find(self, ids: Sequence[str], done: Callable[[Sequence[Life | None] | None], None]) -> None:
        """``done`` once, at once: each identity's last life, over or not, None where none is known."""
        now = self._now_ms()
        lives = [self._lives.get(identity, now) for identity in ids]
        self._count(len(ids))
        done(lives)

    def _issue(self, row: IssueRow, now: int) -> Issued:
        found = self._lives.get(row.id, now)
        if found is not None:
            if row.fresh:
                return Issued(Outcome.TAKEN, found)
            if now < found.expires and (row.generated > 0 or now < found.renew_at):
                return Issued(Outcome.FOUND, found)
        outcome = Outcome.RENEWED if found is not None and now < found.expires else Outcome.ISSUED
        generated = row.generated if row.generated > 0 else now
        life = Life(generated, generated + row.ttl)
        if now < _retained(life):
            self._lives.put(row.id, life, now)
        return Issued(outcome, life)

    def _count(self, rows: int) -> None:
        self._counters.commands += 1
        self._counters.batches += 1
        self._counters.rows += rows
        self._counters.replies += 1

    def __len__(self) -> int:
        return len(self._lives)


class MemoryBackend:
    """Both ports; never away, so ``on_return`` is never called."""

    status: Final = "embedded"
    healthy: Final = True
    fault: Final = ""

    def __init__(
        self,
        now_us: Callable[[], int],
        now_ms: Callable[[], int],
        *,
        cells: int = CAPACITY,
        identities: int = CAPACITY,
    ) -> None:
        self.counters = Counters()
        self.on_return: Callable[[], None] | None = None
        self.limiter = MemoryLimiter(now_us, cells, self.counters)
        self.identities = MemoryIdentities(now_ms, identities, self.counters)

    async def start(self) -> None:
        """Nothing to wait for."""

    async def close(self) -> None:
        """Nothing to give back."""
