"""Quotas: their derived figures and their ranges."""

from dataclasses import FrozenInstanceError

import pytest

from arsenal_fast.ratelimit.quota import MAX_WINDOW, Quota


@pytest.mark.parametrize(
    ("limit", "window", "interval", "tolerance"),
    [
        (100, 3600, 36_000_000, 3_600_000_000),
        (1, 1, 1_000_000, 1_000_000),
        (7, 10, 1_428_571, 9_999_997),
        (1_000_000, 1, 1, 1_000_000),
        (1, MAX_WINDOW, MAX_WINDOW * 1_000_000, MAX_WINDOW * 1_000_000),
    ],
)
def test_interval_and_tolerance_are_whole_microseconds(limit: int, window: int, interval: int, tolerance: int) -> None:
    quota = Quota(limit, window)
    assert (quota.interval, quota.tolerance) == (interval, tolerance)


@pytest.mark.parametrize(("limit", "window"), [(0, 60), (-1, 60), (1, 0), (1, -1), (1, MAX_WINDOW + 1), (1_000_001, 1)])
def test_a_quota_out_of_range_is_refused(limit: int, window: int) -> None:
    with pytest.raises(ValueError, match=r"of a quota must be from 1 to \d+"):
        Quota(limit, window)


def test_quotas_are_equal_by_value_and_frozen() -> None:
    quota = Quota(100, 3600)
    quota.keep_encoded(b"anything")
    assert quota == Quota(100, 3600)
    assert len({quota, Quota(100, 3600), Quota(100, 60)}) == 2
    with pytest.raises(FrozenInstanceError):
        quota.limit = 5  # type: ignore[misc]


def test_an_adapters_encoding_stays_with_the_quota() -> None:
    quota = Quota(100, 3600)
    assert quota.encoded is None
    assert quota.keep_encoded(b"wire") == b"wire"
    assert quota.encoded == b"wire"
