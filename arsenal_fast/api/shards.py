"""Admits requests where the shared store has shards: each shard has an admission of its own.

So the clients of a shard that is away or slow are decided by the worker itself, and those of the others are not. What
a request waits for is the shard of its client alone: every shard counts every revocation.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from arsenal_fast.api.admission import Admission
from arsenal_fast.api.batches import Admissible, Looked
from arsenal_fast.identity.validity import Fetching

Call = Callable[[], None]
Make = Callable[[int, Call], Admission]
"""Makes the admission of a shard, of a call before its requests go on."""


class ShardedAdmission:
    """The admissions of all shards. ``refresh``: as of Admission."""

    def __init__(
        self,
        count: int,
        make: Make,
        *,
        shard_of: Callable[[bytes], int],
        refresh: Call,
    ) -> None:
        """``shard_of``: the shard of a client by its key."""
        self._shard_of: Final = shard_of
        self._refresh: Final = refresh
        self._admissions: Final = [make(number, partial(self._go_on, number)) for number in range(count)]
        self._submits: Final = [admission.submit for admission in self._admissions]
        self._current = 0
        self.pass_unlimited: Final = self._admissions[0].pass_unlimited

    def submit(self, request: Admissible, _wanted: Fetching | None = None) -> None:
        """Charge the request's client one hit; it passes or is refused, in this tick or later.

        Nothing is fetched: the identity is in a shard of its own, which is asked when the request has passed.
        """
        self._current = shard = self._shard_of(request.client.key_bytes)
        self._submits[shard](request)

    def look(self, request: Admissible, done: Looked) -> None:
        """Call ``done`` with the limit of a request's client after the hits of this tick, without charging it."""
        self._current = shard = self._shard_of(request.client.key_bytes)
        self._admissions[shard].look(request, done)

    def used_tokens(self) -> set[str]:
        """Return the ids of the tokens that were used since the last call."""
        return set().union(*(admission.used_tokens() for admission in self._admissions))

    def batch_started_s(self) -> float:
        """Monotonic: the start of the batch whose requests go on now; of a request before that, when it came."""
        return self._admissions[self._current].batch_started_s()

    def _go_on(self, number: int) -> None:
        self._current = number
        self._refresh()
