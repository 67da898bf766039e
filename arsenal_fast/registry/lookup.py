"""Looks identities up: in the worker's cache, then in the shared store, then in the ledger.

Each of the three has one role. The worker's cache answers at once. The store decides which life of an identity is the
living one, for all replicas. The ledger, where there is one, is the record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import NamedTuple, Protocol

from arsenal_fast.identity.validity import IssueRow, Life, LookedUp, StoreRecord
from arsenal_fast.ledger.model import LedgerRecord, stands
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.cache import CachedIdentity, IdentityCache
from arsenal_fast.replies import reply, run
from arsenal_fast.stores.ports import IdentityStore, Ledger


class IdentityState(NamedTuple):
    """The known state of one identity. ``cached``: known to the worker or the store, not only the ledger.

    ``dead_before_ms``: every life generated before that moment was revoked.
    """

    life: Life | None
    dead_before_ms: int
    cached: bool

    def is_living(self, now_ms: float) -> bool:
        """Whether the life is neither expired nor revoked."""
        life = self.life
        return life is not None and life.generated >= self.dead_before_ms and now_ms < life.expires


States = list[IdentityState | None]


class LookupRequest(Protocol):
    """A request that waits for the state of one identity."""

    def looked_up(self, identity: str, state: IdentityState | None, readable: bool) -> None:
        """Take the state of an id, None for an unknown one; ``readable``: as :meth:`Lookup.find` returns it."""

    def cut_off(self) -> None:
        """End the request, whose look-up has failed."""


class _Waiter:
    """A coroutine that waits for the state of one identity."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[tuple[IdentityState | None, bool] | None], None]) -> None:
        self._done = done

    def looked_up(self, _identity: str, state: IdentityState | None, readable: bool) -> None:
        self._done((state, readable))

    def cut_off(self) -> None:
        self._done(None)


@dataclass(eq=False, kw_only=True)
class Lookup:
    """Looks up the state of identities."""

    store: IdentityStore
    ledger: Ledger | None
    cache: IdentityCache
    now: Callable[[], float]
    """The wall clock, seconds since the epoch."""
    metrics: Metrics
    gather_responses: Callable[[], None]
    """Many look-ups are answered now: their responses are of one moment, and written at the end of this tick."""
    call_soon: Callable[[Callable[[], None]], object]
    """Calls back at the end of this event-loop tick."""
    waiting: list[tuple[str, LookupRequest, LookedUp | None]] = field(default_factory=list, init=False)
    """The ids of this tick that are looked up together."""

    def active(self, text: str) -> CachedIdentity | None:
        """Return the entry of an identity that this worker knows to live, counting the look-up if so."""
        entry = self.cache.living(text)
        if entry is not None:
            self.metrics.identity_lookups += 1
            self.metrics.identity_lookup_hits += 1
        return entry

    def submit(self, identity: str, request: LookupRequest, looked: LookedUp | None = None) -> None:
        """Look one id up, together with the others of this event-loop tick.

        ``looked``: what the store has for it, which is no living life that holds; None: it is to be asked.
        """
        record = None if looked is None else looked.record
        if record is not None and not record.provisional:
            self.metrics.identity_lookups += 1
            request.looked_up(identity, self._state(identity, record.life, record.floor, cached=True), True)
            return
        if not self.waiting:
            self.call_soon(self._flush)
        self.waiting.append((identity, request, looked))

    async def find_with_others(self, identity: str) -> tuple[IdentityState | None, bool]:
        """Look one id up as :meth:`submit` does; returns what :meth:`find` returns for it."""
        found: tuple[IdentityState | None, bool] | None = await reply(self._submit_waiter, identity)
        if found is None:
            raise RuntimeError("the look-up has failed")
        return found

    def _submit_waiter(self, identity: str, done: Callable[[tuple[IdentityState | None, bool] | None], None]) -> None:
        self.submit(identity, _Waiter(done))

    def _flush(self) -> None:
        waiting, self.waiting = self.waiting, []

        def failed(_error: Exception) -> None:
            for _, request, _ in waiting:
                request.cut_off()

        run(self._find_all(waiting), failed)

    async def _find_all(self, waiting: Sequence[tuple[str, LookupRequest, LookedUp | None]]) -> None:
        ids, requests, looked = zip(*waiting, strict=True)
        states, readable = await self.find(ids, looked=looked)
        self.gather_responses()
        for identity, request, state in zip(ids, requests, states, strict=True):
            try:
                request.looked_up(identity, state, readable)
            except Exception:
                request.cut_off()

    async def find(
        self, ids: Sequence[str], *, claimed_ms: int | None = None, looked: Sequence[LookedUp | None] = ()
    ) -> tuple[States, bool]:
        """Look each id up.

        Args:
            claimed_ms: the beginning of the life whose token was sent. A store with a later life may have lost the
                revocation of the claimed one: then the cache is not used, and the ledger is read too.
            looked: what the store has for each, where it was asked.

        Returns:
            The state of each, None for an unknown one; and whether that was readable: False where neither
            store nor ledger could be read, so that None says nothing.
        """
        states, missing = self._remembered(ids, claimed_ms, looked)
        metrics = self.metrics
        metrics.identity_lookups += len(states)
        metrics.identity_lookup_hits += len(states) - len(missing)
        if not missing:
            return states, True
        invalidations = self.cache.invalidations
        readable = True
        uncertain: list[int] = []
        unasked = missing
        if looked:
            given = {index: each.record for index in missing if (each := looked[index]) is not None}
            uncertain += self._take(ids, states, list(given), list(given.values()), claimed_ms, invalidations)
            unasked = [index for index in missing if index not in given]
        shards = self.cache.in_shards(unasked, ids.__getitem__) if unasked else ()
        asked = [(part, reply(self.store.find, [ids[index] for index in part])) for part in shards]
        for part, found in asked:
            answers = await found
            self.gather_responses()
            if answers is None:
                readable = False
                uncertain += part
            else:
                uncertain += self._take(ids, states, part, answers, claimed_ms, invalidations)
        if self.ledger is not None and uncertain:
            records = await reply(self.ledger.find, [ids[index] for index in uncertain])
            self.gather_responses()
            readable = records is not None
            if records is not None:
                self._complete(ids, states, uncertain, records)
        now_ms = self.now() * 1000
        for index in missing:
            state = states[index]
            if state is not None and state.is_living(now_ms):
                metrics.identity_lookup_hits += 1
        return states, readable

    def _remembered(
        self, ids: Sequence[str], claimed_ms: int | None, looked: Sequence[LookedUp | None]
    ) -> tuple[States, list[int]]:
        """Return the states from the cache, and the indexes of the missing ones; what the store has said is missing."""
        now_s, get = self.now(), self.cache.get
        states: States = []
        missing: list[int] = []
        said = looked or repeat(None, len(ids))
        entries = (get(identity) if each is None else None for identity, each in zip(ids, said, strict=True))
        for index, entry in enumerate(entries):
            if entry is not None and now_s < entry.expires_s and claimed_ms in (None, entry.life.generated):
                states.append(IdentityState(entry.life, 0, cached=True))
            else:
                states.append(None)
                missing.append(index)
        return states, missing

    def _take(
        self,
        ids: Sequence[str],
        states: States,
        missing: Sequence[int],
        answers: Sequence[StoreRecord | None],
        claimed_ms: int | None,
        invalidations: int,
    ) -> list[int]:
        """Fill in the states from the store; returns the indexes that only the ledger can settle."""
        uncertain: list[int] = []
        now_ms = self.now() * 1000
        for index, answer in zip(missing, answers, strict=True):
            if answer is None:
                uncertain.append(index)
                continue
            states[index] = state = self._state(ids[index], answer.life, answer.floor, cached=True)
            if answer.provisional or claimed_ms not in (None, answer.life.generated):
                uncertain.append(index)
            elif state.is_living(now_ms):
                self.cache.offer(ids[index], answer.life, invalidations)
        return uncertain

    def _complete(
        self,
        ids: Sequence[str],
        states: States,
        uncertain: Sequence[int],
        records: Sequence[LedgerRecord | None],
    ) -> None:
        """Fill in the states from the ledger where the store has no life, a provisional one, or a later one."""
        lost: list[IssueRow] = []
        for index, record in zip(uncertain, records, strict=True):
            identity, held = ids[index], states[index]
            if record is None:
                continue
            states[index] = state = self._state(identity, record.life, record.floor, cached=held is not None)
            if held is not None:
                dead_before_ms = max(state.dead_before_ms, held.dead_before_ms)
                states[index] = state = state._replace(dead_before_ms=dead_before_ms)
                if not self._overrules(identity, record, held):
                    states[index] = state._replace(life=held.life)
                    continue
            if record.life is not None and state.is_living(self.now() * 1000):
                lost.append(self.cache.confirmation(identity, record.life))
        if lost:
            # The store has lost them (evicted, flushed): write them back, so that the next look-up ends there.
            self.store.confirm(lost)

    def _state(self, identity: str, life: Life | None, floor: int, *, cached: bool) -> IdentityState:
        epoch_ms = self.cache.epoch_ms(identity)
        return IdentityState(life, max(floor + 1 if floor else 0, epoch_ms), cached)

    def _overrules(self, identity: str, record: LedgerRecord, held: IdentityState) -> bool:
        """Whether the ledger's life is the one that holds, and not the store's provisional one.

        If not, the provisional life is still to be written, and was perhaps handed out while the ledger was away.
        """
        if record.life is None or held.life is None:
            return held.life is None
        proposed = held.life.generated
        return record.life.generated >= proposed or stands(record, self.cache.epoch_ms(identity), proposed)
