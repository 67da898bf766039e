"""The embedded store beyond the conformance suite: moments, bounds, clean-up."""

from collections.abc import Sequence

import pytest

from arsenal_fast.identity.validity import EXPIRED_RETENTION, MAX_TTL, Issued, IssueRow, Life, Outcome, StoreRecord
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.gcra import allowed
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.memory import MemoryBackend
from tests.ratelimit.moments import TABLE, Moment

QUOTA = Quota(10, 10)  # interval 1 s
ID = "player-1@a.example/v1:id"


class Memory(MemoryBackend):
    """The backend with clocks that a test sets."""

    def __init__(self, cells: int = 1000, identities: int = 1000) -> None:
        self.us = 0
        self.ms = 0
        super().__init__(lambda: self.us, lambda: self.ms, cells=cells, identities=identities)

    def hit(self, key: str, quantity: int = 1, quota: Quota = QUOTA) -> int:
        """The backlog before the hits."""
        answers: list[Sequence[int] | None] = []
        self.limiter.admit([Client(key.encode(), quota)], [quantity], lambda _, backlogs: answers.append(backlogs))
        assert answers[0] is not None
        return answers[0][0]

    def issue_row(self, row: IssueRow) -> Issued:
        answers: list[Sequence[Issued] | None] = []
        self.identities.issue([row], answers.append)
        assert answers[0] is not None
        return answers[0][0]

    def life_of(self, identity: str) -> Life | None:
        answers: list[Sequence[StoreRecord | None] | None] = []
        self.identities.find([identity], answers.append)
        assert answers[0] is not None
        found = answers[0][0]
        return found and found.life


@pytest.mark.parametrize("moments", TABLE.values(), ids=list(TABLE))
def test_the_limiter_follows_the_table_of_moments(moments: list[Moment]) -> None:
    memory = Memory()
    for now, quantity, quota, backlog, passes in moments:
        memory.us = now
        assert memory.hit("client", quantity, quota) == backlog
        assert allowed(backlog, quantity, quota) == passes


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (1000, Outcome.FOUND),
        (1075, Outcome.FOUND),  # just a quarter is left
        (1076, Outcome.RENEWED),
        (1099, Outcome.RENEWED),
        (1100, Outcome.ISSUED),
        (1100 + EXPIRED_RETENTION, Outcome.ISSUED),
    ],
)
def test_a_life_by_the_millisecond(now: int, outcome: Outcome) -> None:
    memory = Memory()
    memory.ms = 1000
    memory.issue_row(IssueRow(ID, 100))
    memory.ms = now
    issued = memory.issue_row(IssueRow(ID, 200))
    expected = Life(1000, 1100) if outcome is Outcome.FOUND else Life(now, now + 200)
    assert issued == (outcome, expected)


def test_a_record_is_readable_until_its_retention_is_over() -> None:
    memory = Memory()
    memory.ms = 1000
    memory.issue_row(IssueRow(ID, 100))
    memory.ms = 1099 + EXPIRED_RETENTION
    assert memory.life_of(ID) == Life(1000, 1100)
    memory.ms = 1100 + EXPIRED_RETENTION
    assert memory.life_of(ID) is None


def test_a_floor_is_kept_until_no_life_that_it_killed_could_last() -> None:
    memory = Memory()
    memory.ms = 1000
    memory.issue_row(IssueRow(ID, 100))
    memory.revocations.revoke(ID, None, lambda _: None)
    memory.ms = 1000 + MAX_TTL * 1000 + EXPIRED_RETENTION - 1
    assert memory.life_of(ID) == Life(1000, 1100)
    memory.ms += 1
    assert memory.life_of(ID) is None


def test_cells_that_are_over_leave_as_others_come() -> None:
    memory = Memory(cells=100_000)
    for number in range(1000):
        memory.hit(f"old {number}")
    assert len(memory.cells) == 1000
    memory.us = 1_000_001
    for number in range(1000):
        memory.hit(f"new {number}")
    assert len(memory.cells) == 1000
    assert memory.counters.evictions == 0


def test_records_that_are_over_leave_as_others_come() -> None:
    memory = Memory(identities=100_000)
    memory.ms = 1000
    for number in range(1000):
        memory.issue_row(IssueRow(f"old-{number}", 100))
    memory.ms = 1100 + EXPIRED_RETENTION
    for number in range(1000):
        memory.issue_row(IssueRow(f"new-{number}", 100))
    assert len(memory.records) == 1000


def test_tables_never_grow_above_their_capacity() -> None:
    memory = Memory(cells=50, identities=20)
    for number in range(5000):
        memory.hit(f"c{number}")
        memory.issue_row(IssueRow(f"p-{number}", 1000))
        assert len(memory.cells) <= 50
        assert len(memory.records) <= 20
    assert memory.counters.evictions == 5000 - 50 + 5000 - 20


def test_a_full_table_drops_who_has_the_least_left() -> None:
    """With as many cells as are compared at an eviction, it is exactly the one that ends first."""
    memory = Memory(cells=4)
    for key, hits in [("heavy", 10), ("light", 1), ("middle", 5), ("other", 7)]:
        memory.hit(key, hits)
    memory.hit("newcomer", 3)
    left = {key: memory.hit(key, 0) // QUOTA.interval for key in ("heavy", "light", "middle", "newcomer", "other")}
    assert left == {"heavy": 10, "light": 0, "middle": 5, "newcomer": 3, "other": 7}


def test_the_newcomer_itself_is_never_the_one_to_go() -> None:
    memory = Memory(cells=1)
    memory.hit("heavy", 10)
    memory.hit("light", 1)
    assert memory.hit("light", 0) == QUOTA.interval


def test_looking_stores_nothing() -> None:
    memory = Memory()
    for number in range(100):
        memory.hit(f"c{number}", 0)
        assert memory.life_of(f"p-{number}") is None
    assert len(memory.cells) == len(memory.records) == 0


def test_a_table_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity of at least 1"):
        Memory(cells=0)


def test_it_is_never_away() -> None:
    memory = Memory()
    assert (memory.healthy, memory.status, memory.fault) == (True, "embedded", "")
