"""A store under the test's control, for faults that a real database can't show on request.

``ScriptedStore`` is a fake (it settles lives, in memory), a spy (it counts) and a stub (it raises or stands
still when set so). What is unreal about it: nothing is durable, and a new connection sees what the old one left.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.errors import Refused, StoreError
from arsenal_fast.ledger.model import AuditPage, AuditQuery, LedgerRecord, settle
from arsenal_fast.ledger.store import Answer, Item, Lives, Run, Store


class ScriptedStore(Store):
    """Handed out by ``open`` as often as it is asked for."""

    def __init__(self) -> None:
        super().__init__(None)
        self.fault: StoreError | Exception | None = None
        """Raised by everything, ``open`` included."""
        self.faults_once: StoreError | None = None
        """Raised by the next call alone."""
        self.poison = ""
        """A caller whose rows are refused."""
        self.gate = threading.Event()
        """While it is clear, a write or look-up that has begun waits."""
        self.gate.set()
        self.begun = threading.Event()
        self.groups: list[list[Item]] = []
        self.known: dict[str, LedgerRecord] = {}
        self.opened = self.closed = self.pings = self.finds = self.audits = self.prunings = 0

    def open(self, purpose: str) -> "ScriptedStore":
        if self.fault is not None:
            raise self.fault
        self.opened += 1
        return self

    def close(self) -> None:
        self.closed += 1

    def ping(self) -> None:
        self.pings += 1
        self._pass()

    def write(self, items: Sequence[Item]) -> list[Answer]:
        self._pass()
        rows = [row for item in items if isinstance(item, Lives) for row in item.rows]
        if self.poison and any(row.caller == self.poison for row in rows):
            raise Refused("poison")
        self.groups.append(list(items))
        return [self._lives(item) if isinstance(item, Lives) else 0 for item in items]

    def find(self, ids: Sequence[str]) -> list[LedgerRecord | None]:
        self.finds += 1
        self._pass()
        if self.poison in ids:
            raise Refused("poison")
        return [self.known.get(each) for each in ids]

    def epochs(self) -> dict[str, int]:
        self._pass()
        return {}

    def audit(self, query: AuditQuery) -> AuditPage:
        self.audits += 1
        self._pass()
        if query.caller == self.poison:
            raise Refused("poison")
        return AuditPage([], None)

    def pruning(self, before: int) -> Iterator[int]:
        for _ in range(3):
            self._pass()
            self.prunings += 1
            yield 1

    def trim(self, keep: int, now: int) -> tuple[int, int]:
        self._pass()
        return 0, 0

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def writing(self, alone: bool = False) -> AbstractContextManager[None]:
        return nullcontext()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        raise AssertionError("There is no database.")

    def write_lives(self, run: Run) -> list[Life]:
        raise AssertionError("``write`` settles them.")

    def look_up(self, ids: Sequence[str]) -> dict[str, LedgerRecord]:
        return self.known

    def _lives(self, item: Lives) -> list[Life]:
        answers = []
        for row in item.rows:
            settled = settle(self.known.get(row.id, LedgerRecord(None, 0)), 0, row.life, item.late)
            self.known[row.id] = settled.record
            answers.append(settled.life)
        return answers

    def _pass(self) -> None:
        fault, self.faults_once = self.faults_once, None
        if fault is not None:
            raise fault
        if self.fault is not None:
            raise self.fault
        self.begun.set()
        self.gate.wait()
