"""The arithmetic of GCRA: the table of moments, a token bucket as oracle, and its properties."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.ratelimit.gcra import (
    allowed,
    backlog_at,
    charge,
    remaining,
    reset_after,
    whole_seconds,
)
from arsenal_fast.ratelimit.quota import Quota
from tests.ratelimit.moments import SECOND, T0, TABLE, THREE, Moment

quotas = st.builds(Quota, st.integers(1, 200), st.integers(1, 7200))


def retry_after(backlog: int, quota: Quota) -> int:
    """The us until one hit would pass, 0 if it would now."""
    return max(backlog + quota.interval - quota.tolerance, 0)


@pytest.mark.parametrize("moments", TABLE.values(), ids=list(TABLE))
def test_the_table_of_moments(moments: list[Moment]) -> None:
    tat = 0
    for now, quantity, quota, backlog, passes in moments:
        before, tat = charge(tat, now, quantity, quota)
        assert (before, allowed(before, quantity, quota)) == (backlog, passes)


class TokenBucket:
    """A brute-force model: tokens drip in continuously; a hit takes a whole one, or is refused."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.tokens = Fraction(quota.limit)
        self.now = 0

    def hit(self, now: int) -> bool:
        dripped = Fraction(now - self.now, self.quota.interval)
        self.tokens = min(self.tokens + dripped, Fraction(self.quota.limit))
        self.now = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@given(quotas, st.lists(st.tuples(st.integers(0, 40 * SECOND), st.integers(0, 30)), max_size=40))
def test_gcra_passes_just_what_a_token_bucket_passes(quota: Quota, steps: list[tuple[int, int]]) -> None:
    bucket, tat, now = TokenBucket(quota), 0, T0
    for step, quantity in steps:
        now += step
        backlog, tat = charge(tat, now, quantity, quota)
        passed = [bucket.hit(now) for _ in range(quantity)]
        assert passed == [backlog + (hit + 1) * quota.interval <= quota.tolerance for hit in range(quantity)]
        assert sum(passed) == allowed(backlog, quantity, quota)


@given(quotas, st.integers(0, 7200 * SECOND), st.integers(1, 50))
def test_retry_after_is_the_truth(quota: Quota, ahead: int, quantity: int) -> None:
    """One microsecond less and the hit would be refused; at that moment it passes."""
    _, tat = charge(T0 + ahead, T0, quantity, quota)
    backlog = backlog_at(tat, T0, quota)
    wait = retry_after(backlog, quota)
    assert allowed(backlog_at(tat, T0 + wait, quota), 1, quota) == 1
    if wait:
        assert allowed(backlog_at(tat, T0 + wait - 1, quota), 1, quota) == 0
        assert remaining(backlog, quota) == 0
    else:
        assert remaining(backlog, quota) >= 1


@given(quotas, st.integers(0, 7200 * SECOND))
def test_after_reset_everything_is_there_again(quota: Quota, ahead: int) -> None:
    backlog = backlog_at(T0 + ahead, T0, quota)
    reset = reset_after(backlog)
    later = backlog_at(T0 + backlog, T0 + reset * SECOND, quota)
    assert remaining(later, quota) == quota.limit
    assert reset <= quota.window


@pytest.mark.parametrize(("microseconds", "seconds"), [(0, 0), (1, 1), (SECOND - 1, 1), (SECOND, 1), (SECOND + 1, 2)])
def test_seconds_are_rounded_up(microseconds: int, seconds: int) -> None:
    assert whole_seconds(microseconds) == seconds


def test_remaining_counts_down_to_zero() -> None:
    assert [remaining(hits * THREE.interval, THREE) for hits in range(4)] == [3, 2, 1, 0]


def test_an_untouched_cell_need_not_be_written() -> None:
    """A look, or a refusal, hands back the very tat, so that a store can see that nothing changed."""
    tat = T0 + 30 * SECOND
    assert charge(tat, T0, 0, THREE) == (30 * SECOND, tat)
    assert charge(tat, T0, 1, THREE) == (30 * SECOND, tat)
