"""Issuing: the identities that are asked for in one turn of the event loop go to store and ledger together.

The store decides which life of an identity is the living one, for all replicas. A life that it has just made is
*provisional* there until the ledger has it; whoever finds a provisional life asks the ledger first, so that two
replicas can't hand out two lives of one identity while the store's memory is being restored. With a ledger a new life
is answered only after it is written there, and where the store has lost its memory the ledger's life wins.

Issuing never fails. With the store away the worker issues by itself from a spare store of its own memory
(`identity_issued_without_store` counts that). With the ledger away rows wait in its queue, and health says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from arsenal_fast.identity.history import LedgerRow
from arsenal_fast.identity.life import DEFAULT_TTL, Issued, IssueRow, Life, Mode, Outcome
from arsenal_fast.metrics import Metrics
from arsenal_fast.service.ports import IdentityStore, Ledger
from arsenal_fast.service.records import Record

if TYPE_CHECKING:
    from arsenal_fast.service.exchange import Exchange
    from arsenal_fast.service.remembered import Remembered

_TTL: Final = DEFAULT_TTL * 1000
"""Milliseconds."""

_FRESH_UNTIL: Final = attrgetter("fresh_until")

_TRIES: Final = 20
"""Times that a life is proposed to a ledger that has not heard of a revocation yet: each lasts a commit, some ms."""


class Asker(NamedTuple):
    """Who asks, for the ledger: the client's key, the request's id, and the environments that a batch named."""

    caller: str
    request_id: str | None = None
    environments: Sequence[str] = ()

    @classmethod
    def of(cls, exchange: Exchange, environments: Sequence[str] = ()) -> Asker:
        request_id = exchange.request.fields.request_id
        # As in the log: what a client sends is not trusted to be text.
        text = request_id.decode("latin-1")[:128] if request_id and request_id.isascii() else None
        return cls(exchange.client.key, text, environments)


class _Order:
    """One call of :meth:`Issuing.issue` on its way: ``open`` rows have no record yet."""

    __slots__ = ("asker", "done", "found", "ids", "open", "tries", "ttl")

    def __init__(
        self,
        ids: Sequence[str],
        found: list[Record | None],
        missing: int,
        ttl: int,
        asker: Callable[[], Asker],
        done: Callable[[Sequence[Record]], None],
    ) -> None:
        self.ids = ids
        self.found = found
        self.open = missing
        self.tries = 0
        self.ttl = ttl
        self.asker = asker
        self.done = done

    def fill(self, index: int, record: Record) -> None:
        """Put a record in its place; the last one ends the order."""
        self.found[index] = record
        self.open -= 1
        if not self.open:
            self.done(cast(list[Record], self.found))


_Row = tuple[_Order, int]
"""One row of an order, by its index there."""

_Group = tuple[Sequence[Record], Callable[[Sequence[Record] | None], None]]
"""Blank records, and who waits for their lives."""


class Issuing:
    """Hands out living records."""

    def __init__(
        self,
        *,
        store: IdentityStore,
        spare: IdentityStore,
        ledger: Ledger | None,
        remembered: Remembered,
        call_soon: Callable[[Callable[[], None]], object],
        now: Callable[[], float],
        metrics: Metrics,
        departures: AbstractContextManager[None],
    ) -> None:
        """``call_soon`` is asked to call back at the end of this turn of the loop; ``now``: wall clock, seconds.

        ``departures``: within it answers are made, and written at its end.
        """
        self._store = store
        self._spare = spare
        self._ledger = ledger
        self._remembered = remembered
        self._call_soon = call_soon
        self._now = now
        self._metrics = metrics
        self._departures = departures
        self._rows: list[_Row] = []
        self._groups: list[_Group] = []

    def issue(
        self,
        ids: Sequence[str],
        ttl: int,
        asker: Callable[[], Asker],
        done: Callable[[Sequence[Record]], None],
    ) -> None:
        """Hand ``done`` a living record for each of these valid ids, in order, now or later.

        ``ttl``: seconds, for new lives. ``asker`` is called where the ledger wants to know.
        """
        now = self._now()
        records = self._remembered.records
        found: list[Record | None] = list(map(records.young.get, ids))
        missing: list[int] = []
        if None in found or min(map(_FRESH_UNTIL, found)) <= now:
            found = list(map(records.get, ids))
            missing = [index for index, record in enumerate(found) if record is None or record.fresh_until <= now]
        metrics = self._metrics
        metrics.identity_lookups += len(found)
        metrics.identity_lookup_hits += len(found) - len(missing)
        if not missing:
            done(cast(list[Record], found))
            return
        order = _Order(ids, found, len(missing), ttl, asker, done)
        first = not self._rows and not self._groups
        self._rows += [(order, index) for index in missing]
        if first:
            self._call_soon(self._flush)

    def begin(self, blanks: Sequence[Record], done: Callable[[Sequence[Record] | None], None]) -> None:
        """Fill in the blank records, of lives of the default length, and hand them to ``done``, later.

        In the place of one may stand the record of the same life that was remembered already. ``done(None)``: it can't
        be done so simply now, and :meth:`issue` is to be asked. Where there is a ledger it never can.
        """
        first = not self._rows and not self._groups
        self._groups.append((blanks, done))
        if first:
            self._call_soon(self._flush)

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        groups, self._groups = self._groups, []
        self._ask_store(rows, groups)

    def _ask_store(self, rows: Sequence[_Row], groups: Sequence[_Group] = ()) -> None:
        forgotten = self._remembered.forgotten
        provisional = self._ledger is not None
        epoch_of = self._remembered.epoch_of
        asked = [
            IssueRow(
                order.ids[index],
                order.ttl * 1000,
                Mode.PLAIN,
                0,
                epoch_of(order.ids[index]),
                provisional,
            )
            for order, index in rows
        ]
        count = len(asked)
        for blanks, _ in groups:
            if self._remembered.revisions.epochs:
                asked += [IssueRow(blank.id, _TTL, Mode.PLAIN, 0, epoch_of(blank.id)) for blank in blanks]
            else:
                asked += [IssueRow(blank.id, _TTL) for blank in blanks]

        def answered(issued: Sequence[Issued] | None) -> None:
            if issued is not None:
                self._settle(rows, self._store, forgotten, issued[:count])
                self._fill(groups, forgotten, issued[count:])
                return
            for _, done in groups:
                done(None)
            if rows:
                self._metrics.identity_issued_without_store += count
                self._spare.issue(asked[:count], lambda spare: self._settle(rows, self._spare, forgotten, spare or ()))

        self._store.issue(asked, answered)

    def _fill(self, groups: Sequence[_Group], forgotten: int, issued: Sequence[Issued]) -> None:
        """Give blank records the lives that the store told of."""
        remembered, metrics = self._remembered, self._metrics
        keep, told = remembered.keep, iter(issued)
        with self._departures:
            for blanks, done in groups:
                if forgotten != remembered.forgotten:
                    done(None)  # something was revoked since, and what is not remembered yet can't be forgotten
                    continue
                metrics.identity_lookups += len(blanks)
                records = []
                for blank, (outcome, life) in zip(blanks, told, strict=False):
                    if outcome is Outcome.ISSUED:
                        metrics.identity_issued += 1
                    else:
                        metrics.identity_lookup_hits += 1
                        if outcome is Outcome.RENEWED:
                            metrics.identity_renewed += 1
                    records.append(keep(blank, life))
                done(records)

    def _settle(self, rows: Sequence[_Row], store: IdentityStore, forgotten: int, issued: Sequence[Issued]) -> None:
        """Take what the store said: done, or new and therefore the ledger's business."""
        new: list[tuple[_Row, Issued]] = []
        ledger = self._ledger
        with self._departures:
            for row, each in zip(rows, issued, strict=True):
                if ledger is None or each.outcome is Outcome.FOUND:
                    self._keep(row, each, forgotten)
                else:
                    new.append((row, each))
        if ledger is not None and new:
            entries = [_ledger_row(row, each) for row, each in new]
            ledger.record(entries, partial(self._recorded, new, store, forgotten))

    def _recorded(
        self,
        new: Sequence[tuple[_Row, Issued]],
        store: IdentityStore,
        forgotten: int,
        lives: Sequence[Life] | None,
    ) -> None:
        """The ledger has written the new lives, or holds older ones that still stand; None: it is away."""
        confirmed: list[IssueRow] = []
        older: list[tuple[_Row, Issued]] = []
        rows: list[IssueRow] = []
        with self._departures:
            for position, (row, each) in enumerate(new):
                if lives is None or lives[position] == each.life:
                    self._keep(row, each, forgotten)
                    if lives is not None:
                        confirmed.append(self._remembered.confirmation(_id_of(row), each.life))
                else:
                    older.append((row, each))
                    rows.append(self._remembered.confirmation(_id_of(row), lives[position]))
        if confirmed:
            store.issue(confirmed, ignore)
        if older:
            store.issue(rows, partial(self._stood, older, rows, forgotten))

    def _stood(
        self,
        older: Sequence[tuple[_Row, Issued]],
        rows: Sequence[IssueRow],
        forgotten: int,
        answers: Sequence[Issued] | None,
    ) -> None:
        """The store has taken the ledger's older lives, but for those that it knows to be dead.

        Those were revoked a moment ago, and the ledger has yet to hear of it: ask again until it has.
        """
        again: list[_Row] = []
        for order in {order for (order, _), _ in older}:
            order.tries += 1
        for position, (row, each) in enumerate(older):
            asked = rows[position]
            held = Issued(Outcome.FOUND, Life(asked.generated, asked.generated + asked.ttl))
            if answers is not None:
                held = answers[position]
                if held.outcome in (Outcome.PROVISIONAL, Outcome.REVOKED):
                    if row[0].tries < _TRIES:
                        again.append(row)
                        continue
                    held = each
            self._keep(row, Issued(Outcome.FOUND, held.life), forgotten)
        if again:
            self._ask_store(again)

    def _keep(self, row: _Row, issued: Issued, forgotten: int) -> None:
        """Hand out a life, and remember it.

        ``forgotten``: how often something had been forgotten when the store was asked. If something was since,
        it may have been this, which was not remembered yet: then it is handed out, but not kept.
        """
        outcome, life = issued
        metrics = self._metrics
        if outcome is Outcome.ISSUED:
            metrics.identity_issued += 1
        else:
            metrics.identity_lookup_hits += 1
            if outcome is Outcome.RENEWED:
                metrics.identity_renewed += 1
        order, index = row
        remembered = self._remembered
        record = remembered.remember(order.ids[index], life)
        if forgotten != remembered.forgotten:
            remembered.records.discard(record.id)
            record.forget()
        order.fill(index, record)


def _id_of(row: _Row) -> str:
    order, index = row
    return order.ids[index]


def _ledger_row(row: _Row, issued: Issued) -> LedgerRow:
    order, index = row
    asker = order.asker()
    return LedgerRow(
        "renewed" if issued.outcome is Outcome.RENEWED else "issued",
        order.ids[index],
        issued.life,
        asker.environments[index] if asker.environments else None,
        asker.caller,
        asker.request_id,
    )


def ignore(_issued: Sequence[Issued] | None) -> None:
    """A confirmation that did not arrive leaves the life provisional: the next to find it asks the ledger."""
