"""A ledger for the service's tests: the port's rules in memory, with switches for faults.

``SwitchedLedger`` is a fake (it works, in memory), a spy (it records its calls) and, while ``away``, a
stub (it has no answers). Several of them over one ``Book`` are the ledgers of several workers. What is unreal about
it: nothing is durable and no thread writes, so a commit and its answer come at once or when the test releases them; a
group is one call's rows.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.revocation import EVERYTHING
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.counters import Counters
from arsenal_fast.ledger.model import (
    AUDIT_READ,
    AuditEvent,
    AuditPage,
    AuditQuery,
    Cursor,
    LedgerRecord,
    LedgerRow,
    RevocationRow,
    settle,
)

NOTHING = LedgerRecord(None, 0)


class Book:
    """What is written down, for all workers."""

    def __init__(self) -> None:
        self.records: dict[str, LedgerRecord] = {}
        self.epochs: dict[str, int] = {}
        self.events: list[AuditEvent] = []
        """The oldest first."""

    def write(self, rows: Sequence[LedgerRow], *, late: bool = False) -> list[Life]:
        """Settle lives; ``late``: they were issued while the ledger was away."""
        lives = []
        for row in rows:
            parts = split(row.id)
            epoch = max(self.epochs.get(EVERYTHING, 0), self.epochs.get(parts.prefix, 0))
            settled = settle(self.records.get(row.id, NOTHING), epoch, row.life, late)
            self.records[row.id] = settled.record
            if settled.event:
                self._add(row.kind, row.life.generated, parts, row.life, None, row.environment, row)
            lives.append(settled.life)
        return lives

    def revoke(self, row: RevocationRow) -> int:
        """Raise a floor or an epoch; return the ``issued_before`` in force."""
        parts = (row.prefix, row.run, row.domain, row.version)
        self._add(row.kind, row.at, parts, None, row.issued_before, None, row)
        if row.kind == "revoked":
            identity = f"{row.prefix}-{row.run}@{row.domain}/{row.version}:id"
            past = self.records.get(identity, NOTHING)
            self.records[identity] = past._replace(floor=max(past.floor, row.issued_before - 1))
            return self.records[identity].floor + 1
        key = row.prefix or EVERYTHING
        self.epochs[key] = max(self.epochs.get(key, 0), row.issued_before)
        return self.epochs[key]

    def page(self, query: AuditQuery) -> AuditPage:
        """Return one page, newest first, and write down that it was read."""
        found = [
            event
            for event in sorted(self.events, key=lambda event: (event.at, event.seq), reverse=True)
            if query.prefix in (None, event.prefix)
            and query.run in (None, event.run)
            and (query.since is None or event.at >= query.since)
            and (query.until is None or event.at < query.until)
            and (query.after is None or (event.at, event.seq) < query.after)
        ]
        page = found[: query.limit]
        self._add(AUDIT_READ, query.at, (query.prefix, query.run, None, None), None, None, None, query)
        more = len(found) > query.limit
        return AuditPage(page, Cursor(page[-1].at, page[-1].seq) if more else None)

    def _add(
        self,
        kind: str,
        at: int,
        parts: tuple[str | None, ...],
        life: Life | None,
        issued_before: int | None,
        environment: str | None,
        asker: LedgerRow | RevocationRow | AuditQuery,
    ) -> None:
        prefix, run, domain, version = parts
        generated, expires = (None, None) if life is None else life
        seq = len(self.events) + 1
        who = (asker.caller, asker.request_id)
        self.events.append(
            AuditEvent(
                *(seq, kind, at, prefix, run, domain, version, generated, expires, issued_before, environment), *who
            )
        )


class SwitchedLedger:
    """The Ledger port of one worker, whose answers come at once, never, or when the test releases them."""

    def __init__(self, book: Book | None = None) -> None:
        self.book = book or Book()
        self.counters = Counters()
        self.away = False
        """Nothing can be read, and what is to be written waits until ``come_back``."""
        self.holding = False
        """Nothing is committed or answered until it is released."""
        self.writes: deque[Callable[[], None]] = deque()
        """What the writer has still to do, in its order: a commit, then the answer to it."""
        self.reads: deque[Callable[[], None]] = deque()
        """The same of the reader, which overtakes the writer and is overtaken."""
        self.recorded: list[list[LedgerRow]] = []
        self.revoked: list[RevocationRow] = []
        self.finds: list[list[str]] = []
        self.queries: list[AuditQuery] = []
        self._late: list[Sequence[LedgerRow] | RevocationRow] = []

    @property
    def healthy(self) -> bool:
        return not self.away

    @property
    def fault(self) -> str:
        return "it is switched off" if self.away else ""

    @property
    def status(self) -> str:
        return "unavailable" if self.away else "healthy"

    def come_back(self) -> None:
        """Be there again, and write what waits."""
        self.away = False
        late, self._late = self._late, []
        for work in late:
            if isinstance(work, RevocationRow):
                self.book.revoke(work)
            else:
                self.book.write(work, late=True)
        self.counters.waiting = 0

    def release(self) -> None:
        """Take the next step of the writer, or of the reader where the writer has nothing to do."""
        (self.writes or self.reads).popleft()()

    def release_all(self) -> None:
        """Take all steps that are held; none is held from now on."""
        self.holding = False
        while self.writes or self.reads:
            self.release()

    def record(self, rows: Sequence[LedgerRow], done: Callable[[Sequence[Life] | None], None]) -> None:
        self.recorded.append(list(rows))
        if self.away:
            self._wait(list(rows), len(rows))
            done(None)
        else:
            self._write(lambda: self.book.write(rows), done, len(rows))

    def revoke(self, entry: RevocationRow, done: Callable[[int | None], None]) -> None:
        self.revoked.append(entry)
        if self.away:
            self._wait(entry, 1)
            done(None)
        else:
            self._write(lambda: self.book.revoke(entry), done, 1)

    def find(self, ids: Sequence[str], done: Callable[[Sequence[LedgerRecord | None] | None], None]) -> None:
        self.finds.append(list(ids))
        self._read(lambda: None if self.away else [self.book.records.get(each) for each in ids], done)

    def epochs(self, done: Callable[[Mapping[str, int] | None], None]) -> None:
        self._read(lambda: None if self.away else dict(self.book.epochs), done)

    def audit(self, query: AuditQuery, done: Callable[[AuditPage | None], None]) -> None:
        self.queries.append(query)
        self._read(lambda: None if self.away else self.book.page(query), done)

    def _wait(self, work: Sequence[LedgerRow] | RevocationRow, rows: int) -> None:
        self._late.append(work)
        self.counters.waiting += rows
        self.counters.failures += 1

    def _write(self, commit: Callable[[], object], done: Callable[..., None], rows: int) -> None:
        def committed() -> None:
            answer = commit()
            self.counters.commits += 1
            self.counters.rows += rows
            _take(self.writes, lambda: done(answer), self.holding)

        _take(self.writes, committed, self.holding)

    def _read(self, look: Callable[[], object], done: Callable[..., None]) -> None:
        def looked() -> None:
            answer = look()
            _take(self.reads, lambda: done(answer), self.holding)

        _take(self.reads, looked, self.holding)


def _take(queue: deque[Callable[[], None]], step: Callable[[], None], holding: bool) -> None:
    if holding:
        queue.append(step)
    else:
        step()
