"""One connection to a ledger database: what both databases do alike. ``sqlite`` and ``postgres`` add what differs.

Blocking calls, for one thread. Each may raise an ``errors.StoreError``: after Busy or
Refused the store can be used again, after anything else it is closed and a new one opened. A write that raised
may be repeated: rows that were written in spite of the error are not written twice.
"""

# ruff: noqa: S608 - the statements hold names of ours only; values are parameters

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import islice
from typing import Any, ClassVar, Final, NamedTuple

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.revocation import EVERYTHING
from arsenal_fast.identity.validity import MAX_TTL, Life
from arsenal_fast.ledger.migrations import migrations_left
from arsenal_fast.ledger.model import (
    AUDIT_READ,
    AuditEvent,
    AuditPage,
    AuditQuery,
    Cursor,
    LedgerRecord,
    LedgerRow,
    RevocationRow,
    TokenChange,
    TokenQuery,
    TokenRecord,
    TokensUsed,
)

LIVES_RETENTION: Final = MAX_TTL * 1000  # ms: a bound can kill no life once the longest one from before it is over
PRUNE_ROWS: Final = 500  # rows of one transaction: other writers wait no longer than for a group

EVENT_COLUMNS: Final = AuditEvent._fields[1:]
"""The columns of an event but for its number."""

LIFE_COLUMNS: Final = EVENT_COLUMNS[: EVENT_COLUMNS.index("token")]
"""Those that the event of a life can have; those of service tokens come last."""

EPOCHS: Final = "SELECT prefix, issued_before FROM {t}epochs"
_INTEGERS: Final = {"at", "generated", "expires", "issued_before", "rate_limit"}
_NEW_EVENT: Final = ", ".join(
    f"CAST(? AS {'{int}' if column in _INTEGERS else 'TEXT'}) AS {column}" for column in EVENT_COLUMNS
)
_EVENT: Final = f"""
INSERT INTO {{t}}events ({", ".join(EVENT_COLUMNS)}) SELECT * FROM (SELECT {_NEW_EVENT}) AS new
WHERE NOT EXISTS (
    SELECT 1 FROM {{t}}events old WHERE old.at = new.at
    AND {" AND ".join(f"old.{column} {{same}} new.{column}" for column in EVENT_COLUMNS)})
"""
_RAISE_FLOOR: Final = """
INSERT INTO {t}lives AS lives (id, generated, expires, floor) VALUES (?, 0, 0, ?)
ON CONFLICT (id) DO UPDATE SET floor = {greatest}(lives.floor, excluded.floor) RETURNING floor + 1
"""
_RAISE_EPOCH: Final = """
INSERT INTO {t}epochs AS epochs (prefix, issued_before) VALUES (?, ?)
ON CONFLICT (prefix) DO UPDATE SET issued_before = {greatest}(epochs.issued_before, excluded.issued_before)
RETURNING issued_before
"""
_COLUMNS_OF_TOKENS: Final = (
    "id, name, subject, scope, rate_limit, per_subject, issued, expires, maker, last_used"  # as in TokenRecord
)
_TOKEN: Final = f"""
INSERT INTO {{t}}tokens ({_COLUMNS_OF_TOKENS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
# As identity.amendments.prevails.
_AMENDMENT: Final = """
INSERT INTO {t}amendments AS held (key, moment, rate_limit, ends) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET moment = excluded.moment, rate_limit = excluded.rate_limit, ends = excluded.ends
WHERE (excluded.rate_limit = 0, excluded.moment, -excluded.rate_limit, excluded.ends)
    > (held.rate_limit = 0, held.moment, -held.rate_limit, held.ends)
"""
_USED: Final = "UPDATE {t}tokens SET last_used = ? WHERE id = ? AND last_used < ?"
_PRUNED: Final = "UPDATE {t}meta SET value = {greatest}(value, ?) WHERE name = 'pruned_before'"
_PRUNED_EVENTS: Final = "SELECT seq FROM {t}events WHERE at < ? ORDER BY at LIMIT ?"
_TRIMMED_EVENTS: Final = "SELECT seq FROM {t}events WHERE seq <= ? AND at <= ?"
_WINDOW: Final = "SELECT max(id) FROM (SELECT id FROM {t}lives WHERE id > ? ORDER BY id LIMIT ?) AS following"
_PRUNE_LIVES: Final = "DELETE FROM {t}lives WHERE id > ? AND id <= ? AND expires < ? AND floor < ?"
# Two look-ups in an index.
_NUMBERS: Final = "SELECT (SELECT max(seq) FROM {t}events), (SELECT min(seq) FROM {t}events)"
_OLDEST: Final = (
    "SELECT max(seq), max(at) FROM (SELECT seq, at FROM {t}events WHERE seq <= ? ORDER BY seq LIMIT ?) AS oldest"
)


class Lives(NamedTuple):
    """Lives of one caller. ``late``: they were handed out already, while the ledger was away."""

    rows: Sequence[LedgerRow]
    late: bool = False


Single = RevocationRow | AuditQuery | TokenChange | TokensUsed
"""What is written by itself. A query is written as the event that the audit was read."""

Item = Lives | Single
"""What is written."""

Answer = Sequence[Life] | int
"""For Lives: the life that holds, for each row. For a revocation: the issued_before in force. For all others: 0."""


class Store(ABC):
    """One connection to the ledger."""

    before_migrations: ClassVar = ""
    """Statements that begin the transaction of the migrations."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """Raise the database's errors as StoreError; for one statement."""

    @abstractmethod
    def writing(self, alone: bool = False) -> AbstractContextManager[None]:
        """Make one transaction; raise the database's errors as StoreError. ``alone``: of one statement."""

    @abstractmethod
    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement that is written for both databases; returns the cursor."""

    @abstractmethod
    def write_lives(self, run: "Run") -> list[Life]:
        """Write a run of lives, within ``writing``; returns the life that holds, for each row."""

    @abstractmethod
    def look_up(self, ids: Sequence[str]) -> dict[str, LedgerRecord]:
        """Return what is known of these identities, within ``reading`` or ``writing``."""

    @abstractmethod
    def audit(self, query: AuditQuery) -> AuditPage:
        """Return one page of events, newest first."""

    def close(self) -> None:
        """Close the connection; never raises."""
        with suppress(Exception):
            self.connection.close()

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that is written for both databases."""
        rows: list[tuple[Any, ...]] = self.execute(statement, values).fetchall()
        return rows

    def ping(self) -> None:
        """Raise if the database can't be used."""
        with self.reading():
            self.read("SELECT value FROM {t}meta WHERE name = 'version'")

    def write(self, items: Sequence[Item]) -> list[Answer]:
        """Write all items in their order, in one commit, durably."""
        runs = _runs(items)
        with self.writing(alone=len(runs) == 1 and isinstance(runs[0], Run)):
            answers = iter([answer for run in runs for answer in self._write_run(run)])
        return [list(islice(answers, len(item.rows))) if isinstance(item, Lives) else next(answers) for item in items]

    def _write_run(self, run: "Run | Single") -> Sequence[Any]:
        if isinstance(run, Run):
            return self.write_lives(run)
        if isinstance(run, TokensUsed):
            for token_id, moment in sorted(run.last_used_ms.items()):  # in one order, as identities are locked
                self.execute(_USED, (moment, token_id, moment))
            return [0]
        self.execute(_EVENT, _event_of(run))
        if isinstance(run, TokenChange):
            self._change_token(run)
            return [0]
        if isinstance(run, AuditQuery):
            return [0]
        if run.kind == "revoked":
            identity = f"{run.prefix}-{run.run}@{run.domain}/{run.version}:id"
            (answer,) = self.read(_RAISE_FLOOR, (identity, run.issued_before - 1))
        else:
            key = EVERYTHING if run.kind == "revoked_all" else run.prefix
            (answer,) = self.read(_RAISE_EPOCH, (key, run.issued_before))
        return answer

    def _change_token(self, change: TokenChange) -> None:
        if change.record is not None:
            self.execute(_TOKEN, change.record)
        if change.amendment is not None:
            self.execute(_AMENDMENT, (change.key, *change.amendment))

    def tokens(self, query: TokenQuery) -> list[TokenRecord]:
        """Return minted service tokens, newest first."""
        conditions, values = [], list[Any]()
        for column, value in (("id", query.token_id), ("subject", query.subject)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        if query.after is not None:
            conditions.append("(issued, id) < (?, ?)")
            values += query.after
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = f"SELECT {_COLUMNS_OF_TOKENS} FROM {{t}}tokens{where} ORDER BY issued DESC, id DESC LIMIT ?"
        with self.reading():
            return [TokenRecord._make(row) for row in self.read(statement, [*values, query.limit])]

    def amendments(self) -> dict[str, Amendment]:
        """Return the amendments of service tokens, by key."""
        with self.reading():
            rows = self.read("SELECT key, moment, rate_limit, ends FROM {t}amendments")
        return {key: Amendment(*values) for key, *values in rows}

    def find(self, ids: Sequence[str]) -> list[LedgerRecord | None]:
        """Look each id up; None where nothing is known."""
        with self.reading():
            known = self.look_up(ids)
        return [known.get(each) for each in ids]

    def epochs(self) -> dict[str, int]:
        """Return ``issued_before`` of each prefix that has one, and of EVERYTHING."""
        with self.reading():
            return dict(self.read(EPOCHS))

    def pruning(self, before: int) -> Iterator[int]:
        """Delete events before that moment, and records of identities that were over by the oldest event left.

        Each step is one short transaction and gives the number of rows that it has deleted.
        """
        deleted = -1
        while deleted:
            with self.writing():
                self.execute(_PRUNED, (before,))
                deleted = self._delete_events(_PRUNED_EVENTS, (before, PRUNE_ROWS), before)
            yield deleted
        with self.writing():
            ((oldest,),) = self.read("SELECT min(at) FROM {t}events")
            before = max(before, oldest or 0)
            self.execute(_PRUNED, (before,))
        last: str | None = ""
        while last is not None:
            with self.writing():
                ((end,),) = self.read(_WINDOW, (last, PRUNE_ROWS))
                deleted = self.execute(_PRUNE_LIVES, (last, end, before, before - LIVES_RETENTION)).rowcount
                last = end
            yield deleted
        yield from self.prune_index()
        with self.writing():
            spent = "DELETE FROM {t}epochs WHERE issued_before < ?"
            deleted = self.execute(spent, (before - LIVES_RETENTION,)).rowcount
            deleted += self.execute("DELETE FROM {t}amendments WHERE ends < ?", (before,)).rowcount
            deleted += self.execute("DELETE FROM {t}tokens WHERE expires < ?", (before,)).rowcount
        yield deleted

    def trim(self, keep: int, now: int) -> tuple[int, int]:
        """Delete some of the events that were written before the newest ``keep``, PRUNE_ROWS at most.

        Gives their number and the moment of the newest; (0, 0) where there are no more than ``keep``. ``now`` (ms)
        bounds what counts as pruned where an event is of the future.
        """
        with self.reading():
            ((last, first),) = self.read(_NUMBERS)
        if last is None or last - first < keep:
            return 0, 0
        with self.writing():
            self.execute(_PRUNED, (0,))  # takes the row's lock: of several workers one trims at a time
            ((end, newest),) = self.read(_OLDEST, (last - keep, PRUNE_ROWS))
            if end is None:
                return 0, 0
            pruned_before = min(newest + 1, now)
            self.execute(_PRUNED, (pruned_before,))
            # A row that another worker commits only now may be newer than what was noted as pruned.
            return self._delete_events(_TRIMMED_EVENTS, (end, newest), pruned_before), newest

    def _delete_events(self, going: str, values: Sequence[int], before: int) -> int:
        """Delete the events whose numbers the statement reads; returns how many there were."""
        self.before_events_go(going, values, before)
        deleted: int = self.execute(f"DELETE FROM {{t}}events WHERE seq IN ({going})", values).rowcount
        return deleted

    def before_events_go(self, going: str, values: Sequence[int], before: int) -> None:  # noqa: B027 - an optional step
        """Keep the lives that end at ``before`` or later and that only these events tell, which are deleted next."""

    def prune_index(self) -> Iterator[int]:
        """Delete, in steps, what leads to events that are no more."""
        yield from ()

    def migrate(self) -> None:
        """Bring the schema up to date, once for all processes; Unfit where that is not possible."""
        with self.reading():
            left = migrations_left(self.read)
        if not left:
            return
        with self.writing():
            self.execute(self.before_migrations)
            for number, statements in migrations_left(self.read):
                for statement in statements.split(";"):
                    self.execute(statement)
                self.execute("UPDATE {t}meta SET value = ? WHERE name = 'version'", (number,))


def records_of(rows: Iterable[tuple[str, int, int, int]]) -> dict[str, LedgerRecord]:
    """Return the records of rows of ``lives`` by their ids."""
    return {
        identity: LedgerRecord(Life(generated, expires) if generated else None, floor)
        for identity, generated, expires, floor in rows
    }


class Run(NamedTuple):
    """Lives that are written together: of one kind, no identity twice, in their order."""

    late: bool
    rows: dict[str, LedgerRow]


def _runs(items: Sequence[Item]) -> list[Run | Single]:
    runs: list[Run | Single] = []
    run: Run | None = None
    for item in items:
        if not isinstance(item, Lives):
            runs.append(item)
            run = None
            continue
        rows = {row.id: row for row in item.rows}
        joins = run is not None and run.late is item.late and rows.keys().isdisjoint(run.rows)
        if run is not None and joins and len(rows) == len(item.rows):
            run.rows.update(rows)  # as below, in one step: nearly always so
            continue
        for row in item.rows:
            if run is None or run.late is not item.late or row.id in run.rows:
                run = Run(item.late, {})
                runs.append(run)
            run.rows[row.id] = row
    return runs


def _event_of(item: RevocationRow | AuditQuery | TokenChange) -> tuple[str | int | None, ...]:
    """Return the columns of the event of a revocation, a reading or a change of service tokens."""
    parts: tuple[str | None, ...] = (None,) * 4
    issued_before = None
    token: tuple[str | int | None, ...] = (None,) * 3
    kind: str = AUDIT_READ
    if isinstance(item, TokenChange):
        kind, token = item.kind, (item.token_id, item.subject, item.rate_limit)
    elif isinstance(item, AuditQuery):
        parts = (item.prefix, item.run, None, None)
    else:
        kind, issued_before = item.kind, item.issued_before
        parts = (item.prefix, item.run, item.domain, item.version)
    return (kind, item.at, *parts, None, None, issued_before, None, item.caller, item.request_id, *token)


def audit_query(query: AuditQuery, index: str = "") -> tuple[str, list[int | str]]:
    """Return the statement for one page and one row more, and its values. ``index``: follows the table's name."""
    names = [(column, value) for column, value in (("prefix", query.prefix), ("run", query.run)) if value is not None]
    bounds, moments = bounds_of(query)
    conditions = [*(f"{column} = ?" for column, _ in names), *bounds]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    select = f"SELECT {', '.join(AuditEvent._fields)} FROM {{t}}events{index}{where}"
    return f"{select} ORDER BY at DESC, seq DESC LIMIT ?", [*(value for _, value in names), *moments, query.limit + 1]


def bounds_of(query: AuditQuery) -> tuple[list[str], list[int]]:
    """Return the conditions of a page on moments and numbers of its events, and their values."""
    columns = (("at >= ?", query.since), ("at < ?", query.until))
    conditions = [condition for condition, value in columns if value is not None]
    values = [value for _, value in columns if value is not None]
    if query.after is not None:
        # The first is implied by the second, and lets the index begin where the page does.
        conditions += ["at <= ?", "(at, seq) < (?, ?)"]
        values += [query.after.at, *query.after]
    return conditions, values


def page_of(rows: Sequence[tuple[object, ...]], limit: int) -> AuditPage:
    """Return the page made of the rows of ``audit_query``."""
    events = [AuditEvent._make(row) for row in rows[:limit]]
    more = len(rows) > limit
    return AuditPage(events, Cursor(events[-1].at, events[-1].seq) if more else None)
