"""The embedded store (``memory://``): the ports of Redis within one process, for one worker.

Rules of this file: the same results as the scripts of the Redis backend, tested by one conformance suite; every
callback is made before the call returns; time comes from the callables passed in; and everything is bounded (the
epochs by the prefixes that callers with the right to revoke have named, the amendments by the tokens that live).

* Entries that are over (a limiter cell whose tat has passed, a record after its retention) are removed by writes:
  each row written checks SWEEP of the oldest entries, so removals outpace additions and no call walks the whole
  table. (Growing a table copies it: some milliseconds, a dozen times in its life.)
* A full table drops, of SAMPLE of its oldest entries, the one that ends first. A dropped cell gives its client a
  full quota: where more clients are active in one window than there are cells, some may exceed their limit, but none
  is refused wrongly. A dropped identity becomes unknown here (the ledger still knows it), and
  issuing it again begins a new life.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final, Generic, TypeVar

from arsenal_fast.identity import revocation
from arsenal_fast.identity.amendments import Amendment, prevails
from arsenal_fast.identity.issue_rules import settle
from arsenal_fast.identity.revocation import AMENDED, EVERYTHING, LOG_LENGTH, Changes, Revoked
from arsenal_fast.identity.validity import Fetched, Issued, IssueRow, Life, LookedUp, StoreRecord, Wanted
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.gcra import allowed_in_all, backlog_at, charge
from arsenal_fast.stores.counters import Counters

CAPACITY: Final = 65_536  # entries of each table by default; a worker gets its share of MEMORY_BUDGET
SWEEP: Final = 2  # entries checked per row written: up to two are removed for each one added
SAMPLE: Final = 5  # entries compared for an eviction; as Redis's maxmemory-samples

Key = TypeVar("Key")
Value = TypeVar("Value")


class Expiring(Generic[Key, Value]):
    """A bounded table of entries that expire. ``ends(value)``: the moment of that, by the caller's clock."""

    __slots__ = ("_capacity", "_counters", "_ends", "_entries")

    def __init__(self, capacity: int, ends: Callable[[Value], int], counters: Counters) -> None:
        if capacity < 1:
            raise ValueError("a table needs a capacity of at least 1.")
        self._capacity = capacity
        self._ends = ends
        self._counters = counters
        # Not a dict: finding the first key of a dict walks over all deleted ones.
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now: int) -> Value | None:
        """Return the entry, or None when there is none or it is over."""
        value = self._entries.get(key)
        return value if value is not None and now < self._ends(value) else None

    def put(self, key: Key, value: Value, now: int) -> None:
        """Store an entry and remove some that are over."""
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

    def _evict(self, newest: Key) -> None:
        entries = self._entries
        sample = [entries.popitem(last=False) for _ in range(min(SAMPLE, len(entries)))]
        victim = min((entry for entry in sample if entry[0] != newest), key=lambda entry: self._ends(entry[1]))
        self._counters.evictions += 1
        for entry in sample:
            if entry is not victim:
                entries[entry[0]] = entry[1]


class ChangeLog:
    """The revision, and the latest changes: an id each, AMENDED and a key, or None where epochs rose."""

    __slots__ = ("_ids", "revision")

    def __init__(self) -> None:
        self.revision = 0
        self._ids: deque[str | None] = deque(maxlen=LOG_LENGTH)  # newest first

    def add(self, identity: str | None, now: int) -> None:
        """Record one change."""
        if self.revision:
            self.revision += 1
            self._ids.appendleft(identity)
        else:
            self.begin(now)

    def begin(self, now: int, least: int = 0) -> None:
        """Begin at a new revision with an empty log."""
        self.revision = revocation.first_revision(now, least)
        self._ids.clear()

    def since(self, revision: int) -> list[str] | None:
        """Return ids and amended keys after a revision, newest first; None where the log does not reach back to it."""
        behind = self.revision - revision
        if not 0 <= behind <= len(self._ids):
            return None
        return [identity for identity in islice(self._ids, behind) if identity is not None]


class MemoryBackend:
    """All ports in memory; never away, so ``on_return`` is never called.

    ``now_us``: a monotonic clock in microseconds. ``now_ms``: the wall clock.
    """

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
        self.limiter = self.identities = self.revocations = self
        self.cells: Expiring[bytes, int] = Expiring(cells, int, self.counters)  # a cell is the moment of its end
        self.records: Expiring[str, StoreRecord] = Expiring(identities, attrgetter("kept_until"), self.counters)
        self._now_us = now_us
        self._now_ms = now_ms
        self._log = ChangeLog()
        self._epochs: dict[str, int] = {}
        self._amendments: dict[str, Amendment] = {}

    async def start(self) -> None:
        """Nothing to wait for."""

    async def close(self) -> None:
        """Nothing to close."""

    # The limiter

    def admit(
        self,
        clients: Sequence[Client],
        quantities: Sequence[int],
        done: Callable[[int, Sequence[int] | None], None],
    ) -> None:
        """Charge all rows; ``done`` gets at once the revision and the backlog before each row's hits (us)."""
        done(self._log.revision, self._charge(clients, quantities))

    def admit_and_fetch(
        self,
        clients: Sequence[Client],
        quantities: Sequence[int],
        rows: Sequence[int],
        wanted: Sequence[Wanted],
        done: Callable[[int, Sequence[int] | None, Sequence[Fetched | None]], None],
    ) -> None:
        """Charge all rows, and issue or look up the identities of those that pass."""
        backlogs = self._charge(clients, quantities)
        now = self._now_ms()

        def passes(row: int) -> bool:
            if row < 0:
                return True
            plan, quantity = clients[row].plan, quantities[row]
            quotas = [clients[row].quota] if plan is None else plan.enforced
            return allowed_in_all(zip(backlogs[row:], quotas, strict=False), quantity) == quantity

        fetched = [self._fetch(each, now) if passes(row) else None for row, each in zip(rows, wanted, strict=True)]
        self._count(len(wanted))
        done(self._log.revision, backlogs, fetched)

    def _charge(self, clients: Sequence[Client], quantities: Sequence[int]) -> list[int]:
        now = self._now_us()
        backlogs = []
        linked = hits = 0
        for client, quantity in zip(clients, quantities, strict=True):
            key = client.key_bytes
            if type(client) is not Client:  # nearly all are an address with one cell of its own
                key = client.cell or key
                if client.also:
                    linked, hits = 1 + len(client.also), self._allowed(client, quantity, now)
            tat = self.cells.get(key, now) or 0
            backlog, after = charge(tat, now, hits if linked else quantity, client.quota)
            linked = max(linked - 1, 0)
            if after != tat:
                self.cells.put(key, after, now)
            backlogs.append(backlog)
        self._count(len(clients))
        return backlogs

    def _allowed(self, client: Client, quantity: int, now: int) -> int:
        """Return how many hits pass in all enforced cells of a client."""
        enforced = 1 if client.plan is None else len(client.plan.enforced)
        cells = (client, *client.also)[:enforced]
        tats = (self.cells.get(cell.cell or cell.key_bytes, now) or 0 for cell in cells)
        backlogs = [(backlog_at(tat, now, cell.quota), cell.quota) for tat, cell in zip(tats, cells, strict=True)]
        return allowed_in_all(backlogs, quantity)

    # The identities

    def issue(self, rows: Sequence[IssueRow], done: Callable[[Sequence[Issued] | None], None]) -> None:
        """Issue all rows; ``done`` gets, at once, the result of each, in order."""
        now = self._now_ms()
        answers = [self._issue(row, now) for row in rows]
        self.counters.batches += 1
        self._count(len(rows))
        done(answers)

    def confirm(self, rows: Sequence[IssueRow]) -> None:
        """Confirm lives that the ledger has."""
        self.issue(rows, _ignore)

    def find(self, ids: Sequence[str], done: Callable[[Sequence[StoreRecord | None] | None], None]) -> None:
        """Look up; ``done`` gets, at once, each identity's record, its life over or not, or None."""
        now = self._now_ms()
        records = [self.records.get(identity, now) for identity in ids]
        self.counters.batches += 1
        self._count(len(ids))
        done(records)

    def _fetch(self, wanted: Wanted, now: int) -> Fetched:
        ttl, epoch, provisional = wanted.terms
        if not ttl:
            return LookedUp(self.records.get(wanted.id, now))
        return self._issue(IssueRow(wanted.id, ttl, epoch=epoch, provisional=provisional), now)

    def _issue(self, row: IssueRow, now: int) -> Issued:
        issued, after = settle(self.records.get(row.id, now), row, now)
        if after is not None and now < after.kept_until:
            self.records.put(row.id, after, now)
        return issued

    # The revocations: floors are in the records, epochs, amendments and the log here

    def revoke(self, identity: str, life: Life | None, done: Callable[[Revoked | None], None]) -> None:
        """End every life of the identity up to now; ``life``: the newest one that the caller knows."""
        now = self._now_ms()
        revoked, after = revocation.revoke(self.records.get(identity, now), life, now)
        if after is not None:
            self.records.put(identity, after, now)
            self._log.add(identity, now)
        self._count(1)
        done(revoked)

    def set_epoch(self, prefix: str | None, before: int, done: Callable[[int | None], None]) -> None:
        """Raise an epoch, of everything without a prefix; ``before`` 0: everything up to now ends.

        ``done`` gets the epoch in force, which never falls.
        """
        now = self._now_ms()
        key = EVERYTHING if prefix is None else prefix
        if self._raise({key: before}, now):
            self._log.add(None, now)
        self._count(0)
        done(self._epochs[key])

    def changes(self, since: int, done: Callable[[Changes | None], None]) -> None:
        """Read the changes since a revision, and the epochs in force."""
        self._count(0)
        entries = self._log.since(since)
        if not self._amendments and not entries:
            done(Changes(self._log.revision, entries, dict(self._epochs)))
            return
        ids = None if entries is None else [entry for entry in entries if not entry.startswith(AMENDED)]
        now = self._now_ms()
        amendments = {
            key: each
            for key, each in self._amendments.items()
            if each.ends_ms > now and (entries is None or AMENDED + key in entries)
        }
        done(Changes(self._log.revision, ids, dict(self._epochs), amendments))

    def amend(self, key: str, amendment: Amendment, done: Callable[[bool | None], None]) -> None:
        """Write an amendment; ``done`` gets whether it is in force."""
        now = self._now_ms()
        for changed in self._amend({key: amendment}, now):
            self._log.add(AMENDED + changed, now)
        self._count(0)
        done(self._amendments.get(key) == amendment)

    def restore(
        self,
        epochs: Mapping[str, int],
        amendments: Mapping[str, Amendment],
        revision: int,
        done: Callable[[int | None], None],
    ) -> None:
        """Raise the epochs to at least these, merge the amendments, and raise the revision above ``revision``.

        ``done`` gets the revision in force.
        """
        now = self._now_ms()
        log = self._log
        risen = self._raise({prefix: epoch for prefix, epoch in epochs.items() if epoch > 0}, now)
        amended = self._amend(amendments, now)
        if log.revision <= revision:
            log.begin(now, revision + 1)
        else:
            for entry in [*([None] if risen else []), *(AMENDED + key for key in amended)]:
                log.add(entry, now)
        self._count(0)
        done(log.revision)

    def _amend(self, amendments: Mapping[str, Amendment], now: int) -> list[str]:
        """Merge amendments, and forget those whose tokens have expired; returns the keys of the new ones."""
        held = self._amendments
        new = {key: each for key, each in amendments.items() if each.ends_ms > now and prevails(each, held.get(key))}
        if new:
            self._amendments = {key: each for key, each in (held | new).items() if each.ends_ms > now}
        return list(new)

    def _raise(self, epochs: Mapping[str, int], now: int) -> bool:
        """Raise epochs; returns whether any rose."""
        risen = False
        for prefix, before in epochs.items():
            held = self._epochs.get(prefix, 0)
            epoch = revocation.raised(held, before, now)
            if epoch > held:
                self._epochs[prefix] = epoch
                risen = True
        return risen

    def _count(self, rows: int) -> None:
        self.counters.commands += 1
        self.counters.rows += rows
        self.counters.replies += 1


def _ignore(_answers: object) -> None:
    """Do nothing."""
