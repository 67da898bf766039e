"""The gate for requests about many rows: bounds, order, fairness, and time."""

from collections.abc import Callable

import pytest

from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.metrics import Metrics
from arsenal_fast.service.gate import Gate, GateBounds, Place

BOUNDS = GateBounds(rows=100, rows_of_client=50, rows_of_turn=1000, waiting=6, waiting_of_client=4, wait_s=10)
QUOTA = Quota(1, 1)


class Rig:
    """A gate, the loop's callbacks, and what has happened."""

    def __init__(self, bounds: GateBounds = BOUNDS) -> None:
        self.soon: list[Callable[[], None]] = []
        self.now = 0.0
        self.metrics = Metrics()
        self.gate = Gate(bounds, call_soon=self.soon.append, monotonic=lambda: self.now, metrics=self.metrics)
        self.begun: list[str] = []
        self.away: list[str] = []

    def turn(self) -> None:
        callbacks, self.soon[:] = self.soon[:], []
        for callback in callbacks:
            callback()

    def settle(self) -> None:
        while self.soon:
            self.turn()

    def enter(self, name: str, rows: int) -> "Request":
        """A request; the first letter of its name is its client's."""
        request = Request(self, name)
        if self.gate.admits(request, rows):
            request.work()
        return request


class Request:
    def __init__(self, rig: Rig, name: str) -> None:
        self.rig, self.name = rig, name
        self.client = Client(name[0].encode(), QUOTA)
        self.place: Place | None = None
        self.abandoned = False

    def work(self) -> None:
        self.rig.begun.append(self.name)

    def turn_away(self) -> None:
        self.rig.away.append(self.name)

    def leave(self) -> None:
        assert self.place is not None
        self.rig.gate.leave(self.place)


def test_what_fits_begins_at_once() -> None:
    rig = Rig()
    requests = [rig.enter(name, 25) for name in ("a1", "a2", "b1")]
    assert rig.begun == ["a1", "a2", "b1"]
    rig.gate.sweep(0.0)
    assert (rig.gate.rows, rig.metrics.rows_in_work) == (75, 75)
    for request in requests:
        request.leave()
    rig.settle()
    rig.gate.sweep(0.0)
    assert (rig.gate.rows, rig.gate._shares, rig.gate._waiting, rig.metrics.rows_in_work) == (0, {}, 0, 0)


def test_a_client_waits_at_its_own_bound_and_others_do_not_wait_for_it() -> None:
    rig = Rig()
    first, second = rig.enter("a1", 30), rig.enter("a2", 30)
    rig.settle()
    rig.enter("b1", 50)
    rig.settle()
    assert rig.begun == ["a1", "b1"]
    first.leave()
    assert rig.begun == ["a1", "b1"], "not within the call that made the room"
    rig.settle()
    assert rig.begun == ["a1", "b1", "a2"]
    second.leave()


def test_one_that_is_larger_than_a_bound_begins_alone() -> None:
    rig = Rig()
    large = rig.enter("a1", 500)
    rig.enter("b1", 500)
    rig.settle()
    assert rig.begun == ["a1"]
    large.leave()
    rig.settle()
    assert rig.begun == ["a1", "b1"]


def test_clients_take_turns_whoever_has_more() -> None:
    rig = Rig()
    running = [rig.enter("x1", 50), rig.enter("y1", 50)]
    for name in ("a1", "a2", "a3", "b1", "c1"):
        rig.enter(name, 50)
    for request in running:
        request.leave()
    rig.settle()
    assert rig.begun[2:] == ["a1", "b1"]


def test_a_turn_of_the_loop_begins_few_rows() -> None:
    rig = Rig(GateBounds(rows=1000, rows_of_client=1000, rows_of_turn=20))
    for number in range(10):
        rig.enter(f"a{number}", 10)
    assert len(rig.begun) == 2
    for turn in range(1, 5):
        rig.turn()
        assert len(rig.begun) == 2 + 2 * turn
    rig.settle()
    assert rig.begun == [f"a{number}" for number in range(10)]


def test_too_many_that_wait_are_turned_away() -> None:
    rig = Rig()
    for name in ("a1", "b1"):
        rig.enter(name, 50)
    for name in ("a2", "a3", "a4", "a5", "a6", "b2", "c1", "d1"):
        rig.enter(name, 50)
    assert rig.away == ["a6", "d1"], "four of a client, six in all"
    assert rig.metrics.rows_refused == 2


def test_what_waits_too_long_is_turned_away() -> None:
    rig = Rig()
    rig.enter("a1", 50)
    rig.enter("a2", 10)
    rig.now = 5.0
    rig.enter("a3", 10)
    rig.gate.sweep(9.9)
    assert rig.away == []
    rig.gate.sweep(10.0)
    assert rig.away == ["a2"]
    rig.gate.sweep(15.0)
    assert rig.away == ["a2", "a3"]


def test_nothing_is_done_for_a_client_that_has_gone() -> None:
    rig = Rig()
    first, gone = rig.enter("a1", 50), rig.enter("a2", 50)
    rig.enter("a3", 50)
    gone.abandoned = True
    first.leave()
    rig.settle()
    assert rig.begun == ["a1", "a3"]


@pytest.mark.parametrize("unread", [False, True])
def test_a_hundred_batches_never_pass_the_bound(unread: bool) -> None:
    rig = Rig(GateBounds())
    requests = [rig.enter(f"a{number}", 1000) for number in range(100)]
    most = 0
    while rig.soon:
        rig.turn()
        most = max(most, rig.gate.rows)
        for request in requests:
            if not unread and request.place is not None:
                request.leave()
                request.place = None
    assert most <= GateBounds().rows_of_client
    assert len(rig.begun) == (4 if unread else 100)
