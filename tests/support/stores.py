"""Stores for the service's tests: the embedded one, with switches for faults.

``SwitchedStore`` is a fake (it works, in memory), a spy (it records its calls) and, while
``away``, a stub (it has no answers). What is unreal about it: nothing travels, so an answer can be held back
and given in any order, which Redis never does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.revocation import Changes, Revoked
from arsenal_fast.identity.validity import Fetched, Issued, IssueRow, Life, StoreRecord, Wanted
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.stores.memory import MemoryBackend


class SwitchedStore:
    """A backend whose answers come at once, never, or when the test releases them."""

    def __init__(self, memory: MemoryBackend) -> None:
        self.memory = memory
        self.counters = memory.counters
        self.on_return: Callable[[], None] | None = None
        self.limiter = self
        self.identities = self
        self.revocations = self
        self.away = False
        """Nothing is known: every answer is None."""
        self.holding = False
        """Answers wait in ``held`` until they are released."""
        self.admitting = False
        """Admissions (the backlogs, what was revoked) are answered at once also while ``holding``."""
        self.held: list[Callable[[], None]] = []
        self.admissions: list[list[tuple[str, int]]] = []
        """(client's key, quantity) of each row of each command."""
        self.issues: list[list[IssueRow]] = []
        self.finds: list[list[str]] = []

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
        """Become available again, and notify the worker."""
        self.away = False
        if self.on_return is not None:
            self.on_return()

    def release(self, index: int = 0) -> None:
        """Give one of the answers that are held."""
        self.held.pop(index)()

    def release_all(self) -> None:
        """Give all answers, in their order; none is held from now on."""
        self.holding = False
        while self.held:
            self.release()

    def admit(
        self, clients: Sequence[Client], quantities: Sequence[int], done: Callable[[int, Sequence[int] | None], None]
    ) -> None:
        self.admissions.append([(each.key, quantity) for each, quantity in zip(clients, quantities, strict=True)])
        admit = self.memory.limiter.admit
        self._answer(admit, clients, quantities, done, nothing=(0, None), at_once=self.admitting)

    def issue(self, rows: Sequence[IssueRow], done: Callable[[Sequence[Issued] | None], None]) -> None:
        self.issues.append(list(rows))
        self._answer(self.memory.identities.issue, rows, done)

    def confirm(self, rows: Sequence[IssueRow]) -> None:
        self.issue(rows, lambda _: None)

    def find(self, ids: Sequence[str], done: Callable[[Sequence[StoreRecord | None] | None], None]) -> None:
        self.finds.append(list(ids))
        self._answer(self.memory.identities.find, ids, done)

    def revoke(self, identity: str, life: Life | None, done: Callable[[Revoked | None], None]) -> None:
        self._answer(self.memory.revocations.revoke, identity, life, done)

    def set_epoch(self, prefix: str | None, before: int, done: Callable[[int | None], None]) -> None:
        self._answer(self.memory.revocations.set_epoch, prefix, before, done)

    def changes(self, since: int, done: Callable[[Changes | None], None]) -> None:
        self._answer(self.memory.revocations.changes, since, done, at_once=self.admitting)

    def amend(self, key: str, amendment: Amendment, done: Callable[[bool | None], None]) -> None:
        self._answer(self.memory.revocations.amend, key, amendment, done)

    def restore(
        self,
        epochs: Mapping[str, int],
        amendments: Mapping[str, Amendment],
        revision: int,
        done: Callable[[int | None], None],
    ) -> None:
        restore = self.memory.revocations.restore
        self._answer(restore, epochs, amendments, revision, done, at_once=self.admitting)

    def _answer(
        self, ask: Callable[..., None], *arguments: Any, nothing: tuple[Any, ...] = (None,), at_once: bool = False
    ) -> None:
        *asked, done = arguments
        answer = [nothing]
        if not self.away:
            ask(*asked, lambda *values: answer.__setitem__(0, values))
        if not at_once and (self.holding or self.held):
            self.held.append(lambda: done(*answer[0]))
        else:
            done(*answer[0])


class FetchingStore(SwitchedStore):
    """One that has the identities beside the cells."""

    def admit_and_fetch(
        self,
        clients: Sequence[Client],
        quantities: Sequence[int],
        rows: Sequence[int],
        wanted: Sequence[Wanted],
        done: Callable[[int, Sequence[int] | None, Sequence[Fetched | None]], None],
    ) -> None:
        self.admissions.append([(each.key, quantity) for each, quantity in zip(clients, quantities, strict=True)])
        admit = self.memory.admit_and_fetch
        self._answer(admit, clients, quantities, rows, wanted, done, nothing=(0, None, ()), at_once=self.admitting)
