"""The clock of the responses: it reads the time once a turn, and the Date once a second."""

import pytest

from arsenal_fast.api.clock import STAMP_BYTES, ResponseClock
from arsenal_fast.http.response import ResponseHeads, http_date


class Wall:
    """A wall clock that the test sets."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def clock(self) -> ResponseClock:
        return ResponseClock(lambda: self.now_s, ResponseHeads(b"X-Common: y\r\n"))


def test_a_look_holds_until_the_next_one() -> None:
    wall = Wall(1000.25)
    clock = wall.clock()
    ok, stamp = clock.ok, clock.stamp()
    wall.now_s = 2000.5
    assert (clock.now_s, clock.ok, clock.stamp()) == (1000.25, ok, stamp)
    clock.refresh()
    assert clock.now_s == 2000.5
    assert clock.ok == b"HTTP/1.1 200 OK\r\nDate: " + http_date(2000) + b"\r\nX-Common: y\r\n"
    assert clock.stamp() != stamp


@pytest.mark.parametrize(
    ("first_s", "then_s", "same"), [(10.0, 10.999, True), (10.999, 11.0, False), (10.0, 9.999, False)]
)
def test_the_head_is_made_again_when_the_second_is_another_also_an_earlier_one(
    first_s: float, then_s: float, same: bool
) -> None:
    wall = Wall(first_s)
    clock = wall.clock()
    head = clock.ok
    wall.now_s = then_s
    clock.refresh()
    assert (clock.ok is head) is same
    assert http_date(int(then_s)) in clock.ok


@pytest.mark.parametrize(
    ("now_s", "stamp"),
    [
        (0.0, b'1970-01-01T00:00:00.000Z"}'),
        (1_763_805_600.999, b'2025-11-22T10:00:00.999Z"}'),
        (1_763_805_600.9999, b'2025-11-22T10:00:00.999Z"}'),
    ],
)
def test_the_stamp_ends_a_body_with_the_millisecond(now_s: float, stamp: bytes) -> None:
    clock = Wall(now_s).clock()
    assert clock.stamp() == stamp
    assert len(stamp) == STAMP_BYTES
    assert clock.stamp() is clock.stamp(), "made once a look"


def test_each_status_has_the_date_of_the_last_look() -> None:
    wall = Wall(1000.0)
    clock = wall.clock()
    clock.head(404)
    wall.now_s = 1001.0
    clock.refresh()
    assert clock.head(404) == b"HTTP/1.1 404 Not Found\r\nDate: " + http_date(1001) + b"\r\nX-Common: y\r\n"
