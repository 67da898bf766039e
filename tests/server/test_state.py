"""The states, the moves between them and their deadlines, without a socket."""

from itertools import product

import pytest

from arsenal_fast.server.state import ACTIVE, LINGER_S, LOOKS, MOVES, State, StateMachine, time_limits

LIMITS = time_limits(header=10, body=30, keep_alive=75, write=40)
WRITE = LIMITS[State.BACK_PRESSURED]
RATE = 1000


def machine(state: State = State.NEW, at: float = 0.0) -> StateMachine:
    """A machine in a state that was entered at a moment."""
    made = StateMachine(LIMITS)
    if state is not State.NEW:
        made.enter(state, at)
    return made


def test_a_new_connection_is_looked_at_in_the_next_sweep() -> None:
    assert (machine().entered, machine().deadline_s) == (State.NEW, ACTIVE)


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        (State.IDLE, 75),
        (State.READING_HEAD, 10),
        (State.READING_BODY, 30),
        (State.RESPONDING, 0),
        (State.STALLED, 0),
        (State.BACK_PRESSURED, 40),
        (State.LINGERING, LINGER_S),
        (State.CLOSED, float("inf")),
    ],
)
def test_each_state_has_one_deadline(state: State, seconds: float) -> None:
    made = machine(state, at=100.0)
    assert (made.entered, made.since_s, made.deadline_s) == (state, 100.0, 100.0 + seconds)


def test_every_state_has_its_moves_and_its_time() -> None:
    assert set(MOVES) == set(State) == set(LIMITS)
    assert State.NEW not in set().union(*(MOVES[state] for state in State if state is not State.NEW))
    assert MOVES[State.CLOSED] == frozenset()
    assert all(State.CLOSED in MOVES[state] for state in State if state is not State.CLOSED)


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_only_the_moves_of_the_table_are_made(before: State, after: State) -> None:
    made = machine(before)
    if after in MOVES[before]:
        made.enter(after, 1.0)
        assert made.entered is after
    else:
        with pytest.raises(AssertionError, match="does not lead to"):
            made.enter(after, 1.0)
        assert made.entered is before


def test_a_state_is_over_at_its_deadline_and_not_before() -> None:
    made = machine(State.READING_BODY, at=5.0)
    assert not made.is_over(34.9)
    assert made.deadline_s == 35.0
    assert made.is_over(35.0)
    assert made.is_over(6.0, 1.0), "with another limit"


def test_a_message_behind_another_has_its_own_time() -> None:
    made = machine(State.READING_HEAD, at=0.0)
    made.enter(State.READING_HEAD, 9.0)
    assert made.deadline_s == 19.0


# Writing


def written(unread: int) -> StateMachine:
    made = machine(State.RESPONDING)
    made.enter_writing(unread, 0.0)
    return made


def outcome(made: StateMachine, unread_at: dict[int, int]) -> float | None:
    """Look at the client whenever it is time; the moment at which it is stuck, if it ever is."""
    unread = made.mark
    for now in sorted(unread_at):
        unread = unread_at[now]
        if now >= made.deadline_s and made.is_stuck(unread, now, RATE):
            return now
    return None


def test_who_reads_nothing_is_stuck_after_the_time_for_writing() -> None:
    assert outcome(written(500_000), dict.fromkeys(range(100), 500000)) == WRITE


def test_who_reads_steadily_is_never_stuck() -> None:
    steady = {second: 2_000_000 - 20_000 * second for second in range(100)}
    assert outcome(written(2_000_000), steady) is None


def test_who_reads_an_octet_a_second_is_stuck() -> None:
    assert outcome(written(500_000), {second: 500_000 - second for second in range(100)}) == WRITE


def test_who_stops_reading_has_the_time_from_then_on() -> None:
    reads = {second: max(500_000 - 50_000 * second, 300_000) for second in range(200)}
    stuck = outcome(written(500_000), reads)
    assert stuck is not None
    assert WRITE < stuck <= WRITE + WRITE / LOOKS + 4


def test_further_answers_are_no_reading() -> None:
    growing = {second: 100_000 + 1000 * second for second in range(100)}
    assert outcome(written(100_000), growing) == WRITE
