"""The room for received bytes: bounds, order, and that one client can always continue."""

import random

import pytest

from arsenal_fast.server.room import READ, ReadDecision, Room

MB = 1_000_000
TOTAL, OF_CLIENT = 8 * MB, 2 * MB


class Holder:
    """A connection; counts how often reading was resumed."""

    def __init__(self) -> None:
        self.told = 0

    def read_on(self) -> None:
        self.told += 1


@pytest.fixture
def room() -> Room:
    return Room(TOTAL, OF_CLIENT)


def test_what_fits_goes_on_and_is_counted(room: Room) -> None:
    one, other = Holder(), Holder()
    assert room.hold(one, b"a", 10) is ReadDecision.GO_ON
    assert room.hold(other, b"a", 20) is ReadDecision.GO_ON
    assert room.hold(one, b"a", 15) is ReadDecision.GO_ON
    assert room.size_bytes == 35
    room.release(one)
    room.release(one)
    assert room.size_bytes == 20
    room.release(other)
    assert (room.size_bytes, room._shares, room._where, room._waiting) == (0, {}, {}, {})


def test_a_client_over_its_bound_waits_and_others_do_not(room: Room) -> None:
    first, second, other = Holder(), Holder(), Holder()
    assert room.hold(first, b"a", 2 * MB) is ReadDecision.GO_ON
    assert room.hold(second, b"a", MB) is ReadDecision.WAIT
    assert room.hold(other, b"b", MB) is ReadDecision.GO_ON
    room.release(first)
    assert (second.told, other.told) == (1, 0)


def test_the_oldest_goes_on_whatever_the_sums_are(room: Room) -> None:
    holders = [Holder() for _ in range(12)]
    verdicts = [room.hold(holder, b"%d" % number, 600_000) for number, holder in enumerate(holders)]
    assert verdicts[:11] == [ReadDecision.GO_ON] * 11
    assert verdicts[11] is ReadDecision.WAIT
    assert room.hold(holders[0], b"0", MB) is ReadDecision.GO_ON


def test_the_oldest_of_a_client_goes_on_over_its_bound_but_not_over_the_workers(room: Room) -> None:
    assert room.hold(Holder(), b"other", 6_900_000) is ReadDecision.GO_ON
    oldest, second = Holder(), Holder()
    assert room.hold(oldest, b"a", 100_000) is ReadDecision.GO_ON
    assert room.hold(oldest, b"a", 200_000) is ReadDecision.WAIT
    assert room.hold(second, b"a", MB) is ReadDecision.REFUSE


def test_what_was_read_beyond_the_whole_room_is_refused(room: Room) -> None:
    for number in range(7):
        assert room.hold(Holder(), b"%d" % number, MB) is ReadDecision.GO_ON
    assert room.hold(Holder(), b"7", MB) is ReadDecision.WAIT, "the last eighth is for what had been read"
    assert room.hold(Holder(), b"8", 1) is ReadDecision.REFUSE


def test_those_that_wait_are_woken_as_far_as_there_is_room(room: Room) -> None:
    full = [Holder() for _ in range(7)]
    for number, holder in enumerate(full):
        room.hold(holder, b"%d" % number, MB)
    waiting = [Holder() for _ in range(10)]
    for number, holder in enumerate(waiting):
        assert room.hold(holder, b"w%d" % number, 0, MB) is ReadDecision.WAIT
    room.hold(full[1], b"1", MB - 3 * READ)
    assert [holder.told for holder in waiting] == [1, 1, 1] + [0] * 7, "each brings as much as one read"
    room.release(full[2])
    assert sum(holder.told for holder in waiting) == 10


def test_room_is_kept_for_what_is_read_next_as_far_as_it_is_known(room: Room) -> None:
    assert room.hold(Holder(), b"a", 0, 10) is ReadDecision.GO_ON
    assert room.size_bytes == 10
    assert [room.hold(Holder(), b"a", 0, MB) for _ in range(31)] == [ReadDecision.GO_ON] * 30 + [ReadDecision.WAIT]
    assert room.size_bytes == 10 + 30 * READ


def test_a_proxys_connection_holds_for_one_client_after_the_other(room: Room) -> None:
    proxy = Holder()
    room.hold(proxy, b"a", MB)
    room.hold(proxy, b"b", 10)
    assert room.size_bytes == 10
    assert room.hold(Holder(), b"a", 2 * MB) is ReadDecision.GO_ON


@pytest.mark.parametrize("seed", range(5))
def test_everybody_finishes_in_the_end_and_the_bounds_hold(seed: int) -> None:
    """300 bodies of a megabyte, read in random pieces; a connection that waits reads nothing, and none is refused."""
    draw = random.Random(seed)
    room = Room(TOTAL, OF_CLIENT)
    held = {Holder(): 0 for _ in range(300)}
    client = {holder: b"%d" % draw.randrange(20) for holder in held}
    waits = {holder for holder in held if room.hold(holder, client[holder], 0, MB) is ReadDecision.WAIT}
    most = 0
    while held:
        able = [holder for holder in held if holder not in waits or holder.told]
        assert able, "one connection can continue"
        holder = draw.choice(able)
        waits.discard(holder)
        holder.told = 0
        held[holder] += draw.randrange(1, READ + 1)
        if held[holder] >= MB:
            room.release(holder)
            del held[holder]
            continue
        verdict = room.hold(holder, client[holder], held[holder], MB - held[holder])
        assert verdict is not ReadDecision.REFUSE
        if verdict is ReadDecision.WAIT:
            waits.add(holder)
        most = max(most, room.size_bytes)
    assert room.size_bytes == 0
    assert most <= TOTAL - TOTAL // 8 + MB, "the bound, and the body of the oldest"
