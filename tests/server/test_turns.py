"""The queue of connections that wait for a turn of the loop."""

from collections.abc import Callable

import pytest

from arsenal_fast.server.turns import OF_CONNECTION, OF_TURN, Turns


class Loop:
    """Callbacks, turn by turn."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def turn(self) -> None:
        callbacks, self.soon[:] = self.soon[:], []
        for callback in callbacks:
            callback()


class Client:
    """Has so much to do, and does ``OF_CONNECTION`` of it a turn."""

    def __init__(self, name: str, units: int, turns: Turns, log: list[str]) -> None:
        self.name, self.units, self.turns, self.log = name, units, turns, log

    def take_turn(self) -> int:
        self.log.append(self.name)
        cost = min(self.units, OF_CONNECTION)
        self.units -= cost
        if self.units:
            self.turns.join(self)
        return cost


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_connections_take_turns_and_a_turn_of_the_loop_is_bounded(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append), list[str]()
    clients = [Client(name, 3 * OF_CONNECTION, turns, log) for name in "abcdef"]
    for client in clients:
        turns.join(client)
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
    turns, log = Turns(loop.soon.append), list[str]()
    turns.join(Client("a", 2 * OF_CONNECTION, turns, log))
    loop.turn()
    assert log == ["a"]
    loop.turn()
    assert log == ["a", "a"]
    assert not loop.soon


def test_the_others_have_their_turn_when_one_fails(loop: Loop) -> None:
    turns, log = Turns(loop.soon.append), list[str]()

    class Failing(Client):
        def take_turn(self) -> int:
            raise ZeroDivisionError

    turns.join(Failing("x", 1, turns, log))
    turns.join(Client("a", 1, turns, log))
    with pytest.raises(ZeroDivisionError):
        loop.turn()
    loop.turn()
    assert log == ["a"]
