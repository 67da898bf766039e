"""Takes over what the store has given with the command that admitted the requests of a tick.

Nearly all of it holds, and is answered at once: what the store has found, and what it has issued where there is no
ledger to have it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from arsenal_fast.identity.validity import Fetched, Fetching, Life, LookedUp, Outcome
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.cache import IdentityCache

# Looked up once: an attribute of an enumeration costs more than the rest of its comparison, and these are each row's.
_FOUND: Final = Outcome.FOUND
_ISSUED: Final = Outcome.ISSUED
_RENEWED: Final = Outcome.RENEWED


@dataclass(eq=False, kw_only=True)
class FetchedLives:
    """Tells each request the life that holds, and keeps it."""

    cache: IdentityCache
    has_ledger: bool
    """New lives go to the ledger before they hold."""
    now: Callable[[], float]
    """The wall clock, seconds since the epoch."""
    metrics: Metrics

    def keep(self, wanted: Sequence[Fetching], fetched: Sequence[Fetched | None], invalidations: int) -> None:
        """Give each request the life that holds, or what the store has said where none does yet.

        ``invalidations``: those of the cache when the store was asked.
        """
        cache, has_ledger, now_ms = self.cache, self.has_ledger, self.now() * 1000
        epochs, takes = bool(cache.sync.epochs), cache.takes
        outcomes: list[Outcome] = []
        lives: dict[str, Life] = {}
        for each, given in zip(wanted, fetched, strict=True):
            life = None
            outcome = _FOUND
            if isinstance(given, LookedUp):
                record = given.record
                if record is not None and not record.provisional and record.is_living(now_ms):
                    life = record.life
            elif given is not None and (given.outcome is _FOUND or not has_ledger):
                outcome, life = given
            if life is None or (epochs and life.generated < cache.epoch_ms(each.id)):
                each.fetched, each.invalidations = given, invalidations
                continue
            each.fetched = life
            outcomes.append(outcome)
            if outcome is not _FOUND or takes(each.id):
                lives[each.id] = life
        if outcomes:
            self.metrics.identity_lookups += len(outcomes)
            count_outcomes(self.metrics, outcomes)
            cache.remember_all(lives, invalidations)


def count_outcomes(metrics: Metrics, outcomes: Sequence[Outcome]) -> None:
    """Count what the store has said of identities that were looked up."""
    issued = outcomes.count(_ISSUED)
    metrics.identity_issued += issued
    metrics.identity_renewed += outcomes.count(_RENEWED)
    metrics.identity_lookup_hits += len(outcomes) - issued
