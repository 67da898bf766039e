"""Several workers of one service: rigs over one store, one ledger and one pair of clocks.

Each has its own connection to the store and to the ledger, so that its answers can be held while the others' come.
"""

from typing import Any

from tests.support.ledgers import Book, SwitchedLedger
from tests.support.rig import Rig


class Replicas:
    """``rigs`` share everything that is shared in production; ``settings`` are those of all."""

    def __init__(self, count: int = 2, *, ledger: bool = False, settings: dict[str, Any] | None = None) -> None:
        self.book = Book()
        self.ledgers = [SwitchedLedger(self.book) for _ in range(count if ledger else 0)]
        self.rigs = [
            Rig(settings=dict(settings or {}), switched=True, ledger=self.ledgers[index] if ledger else None)
            for index in range(count)
        ]
        self.flush()

    def flush(self) -> None:
        """The store loses its data without notice."""
        memory = self.rigs[0].memory()
        for rig in self.rigs:
            rig.shared.memory = memory

    def advance(self, seconds: float) -> None:
        for rig in self.rigs:
            rig.advance(seconds)
