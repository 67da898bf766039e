"""GCRA by the table: the same moments run through gcra.py and through gcra.lua in a real Redis.

A moment is (now in us, quantity, quota, backlog before the hits in us, hits that pass).
"""

from typing import Final

from arsenal_fast.ratelimit.quota import Quota

Moment = tuple[int, int, Quota, int, int]

SECOND: Final = 1_000_000
T0: Final = 1_795_000_000 * SECOND  # as large as real clocks are: doubles must hold it

THREE = Quota(3, 30)  # interval 10 s, tolerance 30 s
HOURLY = Quota(100, 3600)  # interval 36 s
ODD = Quota(7, 10)  # interval 1,428,571 us, tolerance 9,999,997 us
SHORT = Quota(2, 4)  # interval 2 s, tolerance 4 s

TABLE: Final[dict[str, list[Moment]]] = {
    "an idle client has its whole burst, and then one hit each interval": [
        (T0, 1, THREE, 0, 1),
        (T0, 1, THREE, 10 * SECOND, 1),
        (T0, 1, THREE, 20 * SECOND, 1),
        (T0, 1, THREE, 30 * SECOND, 0),
        (T0 + 10 * SECOND, 1, THREE, 20 * SECOND, 1),
        (T0 + 10 * SECOND, 1, THREE, 30 * SECOND, 0),
    ],
    "one microsecond before its time a hit does not pass": [
        (T0, 3, THREE, 0, 3),
        (T0 + 10 * SECOND - 1, 1, THREE, 20 * SECOND + 1, 0),
        (T0 + 10 * SECOND, 1, THREE, 20 * SECOND, 1),
    ],
    "refused hits do not prolong the wait": [
        (T0, 3, THREE, 0, 3),
        (T0 + 1, 1000, THREE, 30 * SECOND - 1, 0),
        (T0 + 2, 1000, THREE, 30 * SECOND - 2, 0),
        (T0 + 10 * SECOND, 1, THREE, 20 * SECOND, 1),
    ],
    "of a row with more hits than are left the first ones pass": [
        (T0, 2, THREE, 0, 2),
        (T0, 5, THREE, 20 * SECOND, 1),
        (T0, 5, THREE, 30 * SECOND, 0),
    ],
    "a quantity of zero only looks": [
        (T0, 0, THREE, 0, 0),
        (T0, 2, THREE, 0, 2),
        (T0, 0, THREE, 20 * SECOND, 0),
        (T0, 0, THREE, 20 * SECOND, 0),
        (T0, 1, THREE, 20 * SECOND, 1),
    ],
    "a client that was away long enough has everything again, and no more": [
        (T0, 3, THREE, 0, 3),
        (T0 + 30 * SECOND - 1, 0, THREE, 1, 0),
        (T0 + 30 * SECOND, 0, THREE, 0, 0),
        (T0 + 3000 * SECOND, 9, THREE, 0, 3),
    ],
    "a limit that does not divide its window gives its whole burst": [
        (T0, 7, ODD, 0, 7),
        (T0, 1, ODD, 9_999_997, 0),
        (T0 + 1_428_570, 1, ODD, 8_571_427, 0),
        (T0 + 1_428_571, 1, ODD, 8_571_426, 1),
    ],
    "the hundredth hit of an hour passes, the next one does not": [
        (T0, 99, HOURLY, 0, 99),
        (T0, 2, HOURLY, 99 * 36 * SECOND, 1),
        (T0 + 36 * SECOND, 2, HOURLY, 99 * 36 * SECOND, 1),
    ],
    "under a smaller quota a long backlog is cut to it, and drains from there": [
        (T0, 90, HOURLY, 0, 90),
        (T0, 1, SHORT, 4 * SECOND, 0),
        (T0 + 2 * SECOND, 1, SHORT, 2 * SECOND, 1),
    ],
    "only looking under a smaller quota lets it drain, too": [
        (T0, 90, HOURLY, 0, 90),
        (T0, 0, SHORT, 4 * SECOND, 0),
        (T0 + 4 * SECOND, 2, SHORT, 0, 2),
    ],
    "when the clock steps back an hour nobody waits longer than the window": [
        (T0, 3, THREE, 0, 3),
        (T0 - 3600 * SECOND, 1, THREE, 30 * SECOND, 0),
        (T0 - 3590 * SECOND, 1, THREE, 20 * SECOND, 1),
    ],
}
