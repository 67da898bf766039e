"""Round trips to Redis are counted by their duration."""

import pytest

from arsenal_fast.observability.metrics import ROUND_TRIP_BUCKETS
from arsenal_fast.stores.counters import Counters


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0.0, 0),
        (0.0005, 0),
        (0.00051, 1),
        (0.25, len(ROUND_TRIP_BUCKETS) - 1),
        (0.2501, len(ROUND_TRIP_BUCKETS)),
        (9, 9),
    ],
)
def test_a_bound_belongs_to_what_it_ends(seconds: float, bucket: int) -> None:
    counters = Counters()
    counters.round_trip(seconds)
    assert [index for index, count in enumerate(counters.round_trip_buckets) if count] == [bucket]
    assert (counters.round_trips, counters.round_trip_seconds_sum) == (1, seconds)


def test_all_counts_begin_at_0_and_workers_share_none() -> None:
    one, other = Counters(), Counters()
    one.round_trip(0.1)
    one.commands += 1
    for name in Counters.__slots__:
        value = getattr(other, name)
        assert value == (0 if name != "round_trip_buckets" else [0] * (len(ROUND_TRIP_BUCKETS) + 1)), name
