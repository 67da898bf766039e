"""Issues identities: all requests of one event-loop tick go to store and ledger as one batch.

The store decides which life of an identity is the living one, for all replicas: when it is asked here, or already by
the command that has admitted a request. A new life is
*provisional* there until the ledger has it; a worker that finds a provisional life reads the ledger first, so that two
replicas can't hand out two lives of one identity while the store's memory is being restored. With a ledger a new life
is answered only after it is written there, and where the store has lost its memory the ledger's life wins.

Issuing never fails. With the store away the worker issues from a store in its own memory
(`identity_issued_without_store` counts that). With the ledger away rows wait in its queue, and health reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Final, NamedTuple, Protocol

from arsenal_fast.identity.validity import Issued, IssueRow, Life, Mode, Outcome, make_record
from arsenal_fast.ledger.model import LedgerRow, LifeKind
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.cache import CachedIdentity, IdentityCache
from arsenal_fast.registry.fetched import count_outcomes
from arsenal_fast.stores.ports import IdentityStore, Ledger

# Looked up once: an attribute of an enumeration costs more than the rest of its comparison, and these are each row's.
_PLAIN: Final = Mode.PLAIN
_FOUND: Final = Outcome.FOUND
_RENEWED: Final = Outcome.RENEWED

_MAX_PROPOSALS: Final = 20
"""Proposals of a life to a ledger that does not have a revocation yet: each takes one commit, some ms."""


class AuditContext(NamedTuple):
    """The source of a request, for the ledger: the client's key, the request's id, the environments of a batch."""

    caller: str
    request_id: str | None = None
    environments: Sequence[str] = ()


class IssueRequest(Protocol):
    """One request to issue valid ids, which receives the identities."""

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def ttl_ms(self) -> int:
        """Length of new lives."""

    proposals: int
    """The number of repeated proposals to the ledger."""

    def audit(self) -> AuditContext:
        """Return the audit context; called for rows that go to the ledger."""

    needs_entries: ClassVar[bool]
    """Whether the request keeps its identities itself, as entries: so those can be forgotten where it refers to them.

    The issuer keeps the lives of the others.
    """

    def fill(self, index: int, life: Life, invalidations: int) -> None:
        """Receive the living life of one id; called once for each row.

        ``invalidations``: those of the cache when it was asked for.
        """


@dataclass(slots=True, eq=False)
class BatchRequest:
    """The ids of one handler's request: ``done`` gets a living identity for each, in order, once all are there."""

    ids: Sequence[str]
    ttl_ms: int
    audit: Callable[[], AuditContext]
    done: Callable[[Sequence[CachedIdentity]], None]
    cache: IdentityCache
    """Where its identities are kept."""
    proposals: int = 0
    found: list[CachedIdentity | None] = field(default_factory=list)
    """The identity of each id, as far as they are there."""
    missing: int = 0
    needs_entries: ClassVar[bool] = True

    def fill(self, index: int, life: Life, invalidations: int) -> None:
        self.found[index] = self.cache.put(self.ids[index], life, invalidations)
        self.missing -= 1
        if not self.missing:
            self.finish()

    def finish(self) -> None:
        """Hand over the identities; none is missing."""
        self.done([entry for entry in self.found if entry is not None])


_Row = tuple[IssueRequest, int]
"""One row of a request, by its index there."""


@dataclass(eq=False, kw_only=True)
class Issuer:
    """Finds, renews or issues the living identity of each id."""

    store: IdentityStore
    local_store: IdentityStore
    """The worker's own memory, for when ``store`` is away."""
    ledger: Ledger | None
    cache: IdentityCache
    call_soon: Callable[[Callable[[], None]], object]
    """Calls back at the end of this event-loop tick."""
    now: Callable[[], float]
    """The wall clock, seconds since the epoch."""
    metrics: Metrics
    write_batch: AbstractContextManager[None]
    """Responses made within it are written at its end."""
    rows: list[_Row] = field(default_factory=list, init=False)
    """The rows of this tick."""
    fetched: list[tuple[_Row, Issued]] = field(default_factory=list, init=False)
    """The new lives that the store has begun together with the admissions of this tick."""
    fetched_invalidations: int = field(default=0, init=False)
    """Those of the cache when the first of these was fetched."""
    confirmations: dict[IdentityStore, list[IssueRow]] = field(default_factory=dict, init=False)
    """The lives that the ledger has written in this tick, by the store that is to confirm them."""

    def issue(self, request: BatchRequest) -> None:
        """Give the request a living identity for each of its ids, now or later."""
        now_s = self.now()
        found = self.cache.get_all(request.ids)
        missing = [index for index, entry in enumerate(found) if entry is None or entry.fresh_until_s <= now_s]
        metrics = self.metrics
        metrics.identity_lookups += len(found)
        metrics.identity_lookup_hits += len(found) - len(missing)
        request.found, request.missing = found, len(missing)
        if missing:
            self._submit([(request, index) for index in missing])
        else:
            request.finish()

    def issue_missing(self, request: IssueRequest, fetched: Issued | None = None, invalidations: int = 0) -> None:
        """Give the request the identity of its only id, which is not in the cache, or no longer fresh.

        Args:
            fetched: what the store has given that is not kept yet; None: it is to be asked.
            invalidations: those of the cache when it was asked.
        """
        self.metrics.identity_lookups += 1
        row = (request, 0)
        if fetched is None or (self.cache.sync.epochs and self._ends(request.ids[0], fetched.life)):
            self._submit([row])
        else:
            if not self.fetched:
                self.call_soon(self._record_fetched)
                self.fetched_invalidations = invalidations
            self.fetched.append((row, fetched))

    def _record_fetched(self) -> None:
        fetched, self.fetched = self.fetched, []
        self._record(fetched, self.store, self.fetched_invalidations)

    def _submit(self, rows: list[_Row]) -> None:
        first = not self.rows
        self.rows += rows
        if first:
            self.call_soon(self._flush)

    def _flush(self) -> None:
        rows, self.rows = self.rows, []
        for part in self.cache.in_shards(rows, _id_of):
            self._issue_in_store(part)

    def _issue_in_store(self, rows: Sequence[_Row]) -> None:
        invalidations = self.cache.invalidations
        provisional = self.ledger is not None
        epoch_ms = self.cache.epoch_ms if self.cache.sync.epochs else _no_epoch
        asked = [
            IssueRow(identity := request.ids[index], request.ttl_ms, _PLAIN, 0, epoch_ms(identity), provisional)
            for request, index in rows
        ]

        def answered(issued: Sequence[Issued] | None) -> None:
            if issued is not None:
                self._settle(rows, self.store, invalidations, issued)
                return
            self.metrics.identity_issued_without_store += len(rows)
            self.local_store.issue(
                asked, lambda local: self._settle(rows, self.local_store, invalidations, local or ())
            )

        self.store.issue(asked, answered)

    def _settle(self, rows: Sequence[_Row], store: IdentityStore, invalidations: int, issued: Sequence[Issued]) -> None:
        """Hand out the lives that the store found; new lives go to the ledger first, where there is one."""
        has_ledger = self.ledger is not None
        held: list[tuple[_Row, Issued]] = []
        new: list[tuple[_Row, Issued]] = []
        for pair in zip(rows, issued, strict=True):
            (new if has_ledger and pair[1].outcome is not _FOUND else held).append(pair)
        self._hand_out(held, invalidations)
        if new:
            self._record(new, store, invalidations)

    def _record(self, new: Sequence[tuple[_Row, Issued]], store: IdentityStore, invalidations: int) -> None:
        """Write new lives to the ledger, where there is one, and hand out the ones that hold."""
        if self.ledger is not None:
            self.ledger.record(_ledger_rows(new), partial(self._recorded, new, store, invalidations))

    def _recorded(
        self,
        new: Sequence[tuple[_Row, Issued]],
        store: IdentityStore,
        invalidations: int,
        lives: Sequence[Life] | None,
    ) -> None:
        """Hand out the lives that the ledger has written, and confirm older ones that it holds; None: it is away."""
        if lives is None:
            self._hand_out(new, invalidations)
            return
        held: list[tuple[_Row, Issued]] = []
        confirmed: list[IssueRow] = []
        older: list[tuple[_Row, Issued]] = []
        rows: list[IssueRow] = []
        confirmation = self.cache.confirmation
        for pair, life in zip(new, lives, strict=True):
            row, each = pair
            if life == each.life:
                held.append(pair)
                confirmed.append(confirmation(_id_of(row), life))
            else:
                older.append(pair)
                rows.append(confirmation(_id_of(row), life))
        self._hand_out(held, invalidations)
        if confirmed:
            self._confirm(store, confirmed)
        if older:
            store.issue(rows, partial(self._stood, older, rows, invalidations))

    def _confirm(self, store: IdentityStore, rows: list[IssueRow]) -> None:
        """Confirm lives in the store at the end of this tick: a commit has the rows of many ticks, in one command."""
        first = not self.confirmations
        self.confirmations.setdefault(store, []).extend(rows)
        if first:
            self.call_soon(self._send_confirmations)

    def _send_confirmations(self) -> None:
        confirmations, self.confirmations = self.confirmations, {}
        for store, rows in confirmations.items():
            store.confirm(rows)

    def _stood(
        self,
        older: Sequence[tuple[_Row, Issued]],
        rows: Sequence[IssueRow],
        invalidations: int,
        answers: Sequence[Issued] | None,
    ) -> None:
        """Hand out the ledger's older lives that the store has accepted, and issue the rows of the others again.

        The store rejects a life that was just revoked; the ledger gets that revocation a moment later.
        """
        again: list[_Row] = []
        stood: list[tuple[_Row, Issued]] = []
        for request in {request for (request, _), _ in older}:
            request.proposals += 1
        for position, (row, each) in enumerate(older):
            asked = rows[position]
            life = Life(asked.generated, asked.generated + asked.ttl)
            if answers is not None:
                outcome, life = answers[position]
                if outcome in (Outcome.PROVISIONAL, Outcome.REVOKED):
                    if row[0].proposals < _MAX_PROPOSALS:
                        again.append(row)
                        continue
                    life = each.life
            stood.append((row, Issued(_FOUND, life)))
        self._hand_out(stood, invalidations)
        if again:
            self._issue_in_store(again)

    def _hand_out(self, rows: Sequence[tuple[_Row, Issued]], invalidations: int) -> None:
        """Fill rows with lives, and keep these.

        ``invalidations``: the cache's count when the store was queried. If it has risen since, the lives are handed
        out, but not kept.
        """
        takes = self.cache.takes
        lives: dict[str, Life] = {}
        for (request, index), (outcome, life) in rows:
            if not request.needs_entries and (outcome is not _FOUND or takes(request.ids[index])):
                lives[request.ids[index]] = life
        count_outcomes(self.metrics, [issued.outcome for _, issued in rows])
        self.cache.remember_all(lives, invalidations)
        with self.write_batch:
            for (request, index), issued in rows:
                request.fill(index, issued.life, invalidations)

    def _ends(self, identity: str, life: Life) -> bool:
        """Whether an epoch ends this life."""
        return life.generated < self.cache.epoch_ms(identity)


def _no_epoch(_identity: str) -> int:
    return 0


def _id_of(row: _Row) -> str:
    request, index = row
    return request.ids[index]


def _ledger_rows(new: Sequence[tuple[_Row, Issued]]) -> list[LedgerRow]:
    rows: list[LedgerRow] = []
    last: IssueRequest | None = None
    for (request, index), (outcome, life) in new:
        if request is not last:  # the rows of a batch follow each other
            last = request
            caller, request_id, environments = request.audit()
        kind: LifeKind = "renewed" if outcome is _RENEWED else "issued"
        environment = environments[index] if environments else None
        rows.append(make_record(LedgerRow, (kind, request.ids[index], life, environment, caller, request_id)))
    return rows
