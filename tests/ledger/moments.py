"""Numbered cases of a new life of a known identity; the tests of both stores run them, too.

The held life lasts from T0 for 1000 ms, so that less than a quarter is left after T0 + 750. Life(0) is none.
"""

from typing import NamedTuple

from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.model import LedgerRecord
from tests.support.ledger import T0


class Case(NamedTuple):
    name: str
    held: LedgerRecord | None
    epoch: int
    life: Life
    late: bool
    answer: Life
    newest: Life
    event: bool


def new(after: int) -> Life:
    return Life(T0 + after, T0 + after + 1000)


HELD = new(0)
LATER = new(2000)


CASES = [
    Case("nothing is known", None, 0, new(5), False, new(5), new(5), True),
    Case("only a floor is known", LedgerRecord(None, T0 + 4), 0, new(5), False, new(5), new(5), True),
    Case("it lives", LedgerRecord(HELD, 0), 0, new(5), False, HELD, HELD, False),
    Case("exactly a quarter is left", LedgerRecord(HELD, 0), 0, new(750), False, HELD, HELD, False),
    Case("less than a quarter is left", LedgerRecord(HELD, 0), 0, new(751), False, new(751), new(751), True),
    Case("it is about to end", LedgerRecord(HELD, 0), 0, new(999), False, new(999), new(999), True),
    Case("it is over", LedgerRecord(HELD, 0), 0, new(1000), False, new(1000), new(1000), True),
    Case("the same life again", LedgerRecord(HELD, 0), 0, HELD, False, HELD, HELD, False),
    Case("the same life again, revoked", LedgerRecord(HELD, 0), T0 + 1, HELD, False, HELD, HELD, False),
    Case("revoked by its floor", LedgerRecord(HELD, T0), 0, new(5), False, new(5), new(5), True),
    Case("its floor is the moment of its birth", LedgerRecord(new(3), T0 + 3), 0, new(5), False, new(5), new(5), True),
    Case("its floor is before its birth", LedgerRecord(new(3), T0 + 2), 0, new(5), False, new(3), new(3), False),
    Case("the epoch is after its birth", LedgerRecord(HELD, 0), T0 + 1, new(5), False, new(5), new(5), True),
    Case("the epoch is its birth", LedgerRecord(new(3), 0), T0 + 3, new(5), False, new(3), new(3), False),
    Case("a newer one lives", LedgerRecord(LATER, 0), 0, new(5), False, LATER, LATER, False),
    Case("a newer one is revoked", LedgerRecord(LATER, T0 + 2001), 0, new(5), False, new(5), LATER, True),
    Case("late, nothing is known", None, 0, new(5), True, new(5), new(5), True),
    Case("late, it lives", LedgerRecord(HELD, 0), 0, new(5), True, new(5), new(5), True),
    Case("late, a newer one lives", LedgerRecord(LATER, 0), 0, new(5), True, new(5), LATER, True),
    Case("late, the same life again", LedgerRecord(HELD, 0), 0, HELD, True, HELD, HELD, False),
]
