"""The queue of connections that wait for a turn of the loop."""

from collections.abc import Callable

import pytest

from arsenal_fast.server.turns import OF_ARRIVAL, OF_CONNECTION, OF_LONG_TURN, OF_TURN, UNITS_A_SECOND, Turns


class Loop:
    """Callbacks, turn by turn."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.worked_s = 1000.0

    def thread_time(self) -> float:
        return self.worked_s

    def turn(self) -> None:
        callbacks, self.soon[:] = self.soon[:], []
        for callback in callbacks:
            callback()


class Client:
    """Has so much to do, and does as much of it in a turn as it may."""

    def __init__(self, name: str, units: int, turns: Turns, log: list[str]) -> None:
        self.name, self.units, self.turns, self.log = name, units, turns, log

    def take_turn(self, units: int) -> int:
        self.log.append(self.name)
        cost = min(self.units, units)
        self.units -= cost
        if self.units:
            self.turns.join(self, self.name)
        return cost


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_connections_take_turns_and_a_turn_of_the_loop_is_bounded(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()
    clients = [Client(name, 3 * OF_CONNECTION, turns, log) for name in "abcdef"]
    for client in clients:
        turns.join(client, client.name)
    of_turn = OF_TURN // OF_CONNECTION
    seen = []
    while loop.soon:
        assert len(loop.soon) == 1, "one callback for all"
        before = len(log)
        loop.turn()
        assert len(log) - before <= of_turn
        seen.append("".join(log[before:]))
    assert "".join(seen) == "abcdef" * 3
    assert seen[0] == "abcd"


def test_one_connection_alone_has_one_turn_at_a_time(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()
    turns.join(Client("a", 2 * OF_CONNECTION, turns, log), "a")
    loop.turn()
    assert log == ["a"]
    loop.turn()
    assert log == ["a", "a"]
    loop.turn()
    assert (turns.left, loop.soon) == (OF_TURN, []), "once all is done the loop is left alone"


def test_the_others_have_their_turn_when_one_fails(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()

    class Failing(Client):
        def take_turn(self, units: int) -> int:
            raise ZeroDivisionError

    turns.join(Failing("x", 1, turns, log), "x")
    turns.join(Client("a", 1, turns, log), "a")
    with pytest.raises(ZeroDivisionError):
        loop.turn()
    loop.turn()
    assert log == ["a"]


def test_what_arrives_has_few_units_before_those_that_wait_and_long_pipelines_get_on(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()
    for name in "AB":
        turns.join(Client(name, 100 * OF_CONNECTION, turns, log), name)
    for number in range(100):
        turns.arrive(Client(str(number), OF_ARRIVAL, turns, log), str(number))
    arrivals = (OF_TURN - OF_CONNECTION) // OF_ARRIVAL
    loop.turn()
    assert log == [*map(str, range(arrivals)), "A"]
    log.clear()
    loop.turn()
    assert log == [*map(str, range(arrivals, 2 * arrivals)), "B"]


def test_who_arrives_with_much_waits_behind_all_others_with_the_rest_of_it(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()
    turns.join(Client("first", OF_CONNECTION, turns, log), "first")
    turns.arrive(Client("new", OF_ARRIVAL + OF_CONNECTION, turns, log), "new")
    loop.turn()
    assert log == ["new", "first", "new"]


def test_what_is_begun_on_its_arrival_counts_in_its_turn_only(loop: Loop) -> None:
    turns = Turns(loop.soon.append, loop.thread_time)
    turns.spend(OF_TURN)
    turns.spend(OF_TURN)
    assert turns.left < 0
    loop.turn()
    assert turns.left == OF_TURN


def test_clients_take_turns_however_many_connections_each_has(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()
    for number in range(100):
        turns.arrive(Client(f"many{number}", OF_ARRIVAL, turns, log), "192.0.2.1")
    turns.arrive(Client("one", OF_ARRIVAL, turns, log), "192.0.2.2")
    turns.arrive(Client("two", OF_ARRIVAL, turns, log), "192.0.2.3")
    loop.turn()
    assert log[:5] == ["many0", "one", "two", "many1", "many2"]
    while loop.soon:
        loop.turn()
    assert len(log) == 102


def test_what_a_turn_itself_spends_counts_too(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()

    class Spending(Client):
        def take_turn(self, units: int) -> int:
            self.turns.spend(OF_TURN)
            return super().take_turn(units)

    for name in "ab":
        turns.arrive(Spending(name, 1, turns, log), name)
    loop.turn()
    assert log == ["a"]


@pytest.mark.parametrize(
    ("other_work_s", "units"),
    [(0.0, OF_TURN), (0.001, OF_TURN), (0.015625, UNITS_A_SECOND // 64), (10.0, OF_LONG_TURN)],
)
def test_what_waits_gets_as_long_as_the_other_work_of_a_turn(loop: Loop, other_work_s: float, units: int) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()
    for number in range(2 * OF_LONG_TURN):
        turns.arrive(Client(str(number), 1, turns, log), "10.0.0.1")
    loop.turn()
    assert len(log) == OF_TURN, "the first turn follows a pause"
    loop.worked_s += other_work_s
    loop.turn()
    assert len(log) == OF_TURN + units


def test_what_was_begun_on_its_arrival_is_no_other_work(loop: Loop) -> None:
    """It was counted as such, and each turn took twice as long as the one before, up to the longest."""
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()
    for number in range(20):
        turns.arrive(Client(str(number), 1, turns, log), "10.0.0.1")
        loop.turn()
        assert turns.left == OF_TURN - 1
        loop.worked_s += (OF_TURN // 2 + turns.left) / UNITS_A_SECOND
        turns.spend(turns.left)


def test_a_pause_is_no_other_work(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append, loop.thread_time), list[str]()
    turns.arrive(Client("a", 1, turns, log), "10.0.0.1")
    while loop.soon:
        loop.turn()
    loop.worked_s += 10.0
    for number in range(OF_LONG_TURN):
        turns.arrive(Client(str(number), 1, turns, log), "10.0.0.1")
    loop.turn()
    assert len(log) == 1 + OF_TURN
