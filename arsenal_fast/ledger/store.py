"""The protocol of a ledger database, which ``sqlite`` and ``postgres`` implement.

Blocking calls on one connection, for one thread. Each may raise an ``errors.StoreError``: after Busy or
Refused the store can be used again, after anything else it is closed and a new one opened. A write that raised
may be repeated: rows that were written in spite of the error are not written twice.
"""

# ruff: noqa: S608 - the statements hold names of ours only; values are parameters

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.validity import MAX_TTL, Life
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


class Lives(NamedTuple):
    """Lives of one caller. ``late``: they were handed out already, while the ledger was away."""

    rows: Sequence[LedgerRow]
    late: bool = False


class AuditRead(NamedTuple):
    """A reading of the audit, which is recorded as an event."""

    at: int
    caller: str
    request_id: str | None
    prefix: str | None
    run: str | None


Item = Lives | RevocationRow | AuditRead | TokenChange | TokensUsed
Answer = Sequence[Life] | int
"""For Lives: the life that holds, for each row. For a revocation: the issued_before in force. For all others: 0."""


class Store(Protocol):
    """One connection to the ledger."""

    def ping(self) -> None:
        """Raise if the database can't be used."""

    def write(self, items: Sequence[Item]) -> list[Answer]:
        """Write all items in their order, in one commit, durably."""

    def find(self, ids: Sequence[str]) -> list[LedgerRecord | None]:
        """Look each id up; None where nothing is known."""

    def epochs(self) -> dict[str, int]:
        """Return ``issued_before`` of each prefix that has one, and of EVERYTHING."""

    def tokens(self, query: TokenQuery) -> list[TokenRecord]:
        """Return minted service tokens, newest first."""

    def amendments(self) -> dict[str, Amendment]:
        """Return the amendments of service tokens, by key."""

    def audit(self, query: AuditQuery) -> AuditPage:
        """Return one page of events, newest first."""

    def pruning(self, before: int) -> Iterator[int]:
        """Delete events before that moment, and records of identities that were over by the oldest event left.

        Each step is one short transaction and gives the number of rows that it has deleted.
        """

    def trim(self, keep: int, now: int) -> tuple[int, int]:
        """Delete some of the events that were written before the newest ``keep``, PRUNE_ROWS at most.

        Gives their number and the moment of the newest; (0, 0) where there are no more than ``keep``. ``now`` (ms)
        bounds what counts as pruned where an event is of the future.
        """

    def close(self) -> None:
        """Close the connection; never raises."""


EVENT_COLUMNS: Final = (
    *("kind", "at", "prefix", "run", "domain", "version", "generated", "expires", "issued_before"),
    *("environment", "caller", "request_id"),
)
"""The columns of an event but for its number and those of tokens, in the order of AuditEvent."""

AUDIT_COLUMNS: Final = (*EVENT_COLUMNS, "token", "subject", "rate_limit")
"""All columns of an event but for its number, in the order of AuditEvent."""

TOKEN_COLUMNS: Final = (
    *("id", "name", "subject", "scope", "rate_limit", "per_subject"),
    *("issued", "expires", "maker", "last_used"),
)
"""The columns of a token, in the order of TokenRecord."""

TOKEN_EVENT: Final = "kind, at, caller, request_id, token, subject, rate_limit"
"""The columns that an event of a token has, in the order of TokenChange."""

Event = tuple[
    str,
    int,
    str | None,
    str | None,
    str | None,
    str | None,
    int | None,
    int | None,
    int | None,
    str | None,
    str,
    str | None,
]


def event_of(item: RevocationRow | AuditRead) -> Event:
    """Return the columns of the event of a revocation or reading."""
    if isinstance(item, AuditRead):
        return (
            *(AUDIT_READ, item.at, item.prefix, item.run, None, None),
            *(None, None, None, None, item.caller, item.request_id),
        )
    return (
        *(item.kind, item.at, item.prefix, item.run, item.domain, item.version),
        *(None, None, item.issued_before, None, item.caller, item.request_id),
    )


def revoked_id(item: RevocationRow) -> str:
    """Return the id of a revoked identity; only for kind ``revoked``."""
    return f"{item.prefix}-{item.run}@{item.domain}/{item.version}:id"


def audit_query(query: AuditQuery, table: str, mark: str) -> tuple[str, list[int | str]]:
    """Return the statement for one page and one row more, and its values; ``mark`` is the placeholder."""
    columns = (
        ("prefix = ", query.prefix),
        ("run = ", query.run),
        ("at >= ", query.since),
        ("at < ", query.until),
    )
    conditions = [f"{column}{mark}" for column, value in columns if value is not None]
    values: list[int | str] = [value for _, value in columns if value is not None]
    if query.after is not None:
        # The first is implied by the second, and lets the index begin where the page does.
        conditions += [f"at <= {mark}", f"(at, seq) < ({mark}, {mark})"]
        values += [query.after.at, query.after.at, query.after.seq]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    select = f"SELECT seq, {', '.join(AUDIT_COLUMNS)} FROM {table}{where}"
    return f"{select} ORDER BY at DESC, seq DESC LIMIT {mark}", [*values, query.limit + 1]


def page_of(rows: Sequence[tuple[object, ...]], limit: int) -> AuditPage:
    """Return the page made of the rows of ``audit_query``."""
    events = [AuditEvent._make(row) for row in rows[:limit]]
    more = len(rows) > limit
    return AuditPage(events, Cursor(events[-1].at, events[-1].seq) if more else None)


def token_statements(schema: str, mark: str) -> tuple[str, str, str, str]:
    """Return the statements that write a token's event, a token, an amendment and a use.

    ``schema``: what stands before the names of tables; ``mark``: the placeholder. Each writes nothing where its row is
    there already, since its write was repeated; an amendment by the rule of ``identity.amendments.rank``.
    """
    event = ", ".join([mark] * 7)
    token = ", ".join([mark] * len(TOKEN_COLUMNS))
    ranks = [f"{of}rate_limit = 0, {of}moment, -{of}rate_limit, {of}ends" for of in ("excluded.", "held.")]
    return (
        f"INSERT INTO {schema}events ({TOKEN_EVENT}) VALUES ({event})",
        f"INSERT INTO {schema}tokens ({', '.join(TOKEN_COLUMNS)}) VALUES ({token}) ON CONFLICT (id) DO NOTHING",
        f"INSERT INTO {schema}amendments AS held (key, moment, rate_limit, ends) VALUES ({mark}, {mark}, {mark}, {mark})"
        " ON CONFLICT (key) DO UPDATE SET moment = excluded.moment, rate_limit = excluded.rate_limit,"
        f" ends = excluded.ends WHERE ({ranks[0]}) > ({ranks[1]})",
        f"UPDATE {schema}tokens SET last_used = {mark} WHERE id = {mark} AND last_used < {mark}",
    )


def token_query(query: TokenQuery, schema: str, mark: str) -> tuple[str, list[int | str]]:
    """Return the statement for one page of tokens, and its values."""
    conditions, values = [], []
    for column, value in (("id", query.token_id), ("subject", query.subject)):
        if value is not None:
            conditions.append(f"{column} = {mark}")
            values.append(value)
    after: list[int | str] = list(query.after or ())
    if after:
        conditions.append(f"(issued, id) < ({mark}, {mark})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    select = f"SELECT {', '.join(TOKEN_COLUMNS)} FROM {schema}tokens{where}"
    return f"{select} ORDER BY issued DESC, id DESC LIMIT {mark}", [*values, *after, query.limit]
