"""The rate-limit headers, parsed by http-sf (RFC 9651)."""

import http_sf
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arsenal_fast.ratelimit import gcra, headers
from arsenal_fast.ratelimit.headers import (
    MAX_QUOTAS,
    LimitLines,
    Plan,
    PolicyLines,
    retry_after_line,
    state_at,
    tightest,
)
from arsenal_fast.ratelimit.quota import MAX_WINDOW, Quota

HOURLY = Quota(100, 3600)

WINDOWS = st.integers(1, MAX_WINDOW)
QUOTAS = WINDOWS.flatmap(lambda window: st.builds(Quota, st.integers(1, window * 1_000_000), st.just(window)))
NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


def named(quota: Quota, name: str) -> Quota:
    return Quota(quota.limit, quota.window, name)


def fields(lines: bytes) -> dict[bytes, bytes]:
    assert lines.endswith(b"\r\n")
    rows = [line.split(b": ", 1) for line in lines[:-2].split(b"\r\n")]
    assert all(len(row) == 2 for row in rows)
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1] for row in rows}


def test_the_lines_are_those_of_the_design() -> None:
    assert LimitLines(HOURLY).lines(99, 36) == (
        b"X-RateLimit-Limit: 100\r\n"
        b"X-RateLimit-Remaining: 99\r\n"
        b"X-RateLimit-Reset: 36\r\n"
        b'RateLimit-Policy: "default";q=100;w=3600\r\n'
        b'RateLimit: "default";r=99;t=36\r\n'
    )


@given(QUOTAS, NAMES, st.integers(0, MAX_WINDOW * 1_000_000), WINDOWS)
@example(HOURLY, 'a "quoted" \\ name; r=1, x', 0, 0)
@example(HOURLY, "", 0, 3600)
def test_the_structured_fields_read_back_as_what_was_meant(quota: Quota, name: str, remaining: int, reset: int) -> None:
    found = fields(LimitLines(named(quota, name)).lines(remaining, reset))
    policy = http_sf.parse(found[b"RateLimit-Policy"], tltype="list")
    limit = http_sf.parse(found[b"RateLimit"], tltype="list")
    assert policy == [(name, {"q": quota.limit, "w": quota.window})]
    assert limit == [(name, {"r": remaining, "t": reset})]
    assert int(found[b"X-RateLimit-Limit"]) == quota.limit
    assert int(found[b"X-RateLimit-Remaining"]) == remaining
    assert int(found[b"X-RateLimit-Reset"]) == reset


@pytest.mark.parametrize(
    "name",
    ["a\r\nSet-Cookie: x", "\n", "\x00", "\x1f", "\x7f", "\x80", "\xe9", "\u2028", "\ud800", "\U0001f3c6"],
)
def test_a_name_that_could_leave_its_string_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        LimitLines(named(HOURLY, name))


def test_the_largest_quota_fits_a_structured_field() -> None:
    assert Quota(MAX_WINDOW * 1_000_000, MAX_WINDOW).limit <= 999_999_999_999_999


def test_the_lines_of_the_first_hits_of_an_idle_client_are_kept_and_no_others() -> None:
    """A client that sends more than its rate has another backlog each time; what was kept of those would never end."""
    quota = Quota(1_000_000, 3600)
    lines = LimitLines(quota)
    for hits in range(1, 3 * headers._FIRST_HITS):
        for late_us in (0, 1, quota.interval - 1):
            backlog = hits * quota.interval - late_us
            assert lines.after(backlog) == lines.lines(gcra.remaining(backlog, quota), gcra.reset_after(backlog))
    assert sorted(lines.by_backlog) == [hits * quota.interval for hits in range(1, headers._FIRST_HITS + 1)]
    assert all(lines.after(backlog) == kept for backlog, kept in lines.by_backlog.items())


@pytest.mark.parametrize(("seconds", "line"), [(1, b"Retry-After: 1\r\n"), (3600, b"Retry-After: 3600\r\n")])
def test_retry_after_is_in_whole_seconds(seconds: int, line: bytes) -> None:
    assert retry_after_line(seconds) == line


@given(st.integers(1, 200), st.integers(1, 7200), st.integers(0, 300))
def test_the_lines_after_a_hit_say_what_is_left_of_the_quota(limit: int, window: int, hits: int) -> None:
    quota = Quota(limit, window)
    lines = LimitLines(quota)
    backlog = min(hits, limit) * quota.interval
    for _ in range(2):
        assert lines.after(backlog) == lines.lines(gcra.remaining(backlog, quota), gcra.reset_after(backlog))
    assert lines.by_backlog == ({backlog: lines.after(backlog)} if min(hits, limit) <= headers._FIRST_HITS else {})


def test_two_policies_are_lists_and_the_customary_lines_are_of_the_one_that_stops_first() -> None:
    quotas = bot, user = Quota(1000, 3600, "token"), Quota(10, 60, "subject")
    plan = Plan(quotas, shadows=(Quota(1, 60, "hidden"),))
    assert plan.lines([10 * bot.interval, user.interval]) == (
        b"X-RateLimit-Limit: 10\r\n"
        b"X-RateLimit-Remaining: 9\r\n"
        b"X-RateLimit-Reset: 6\r\n"
        b'RateLimit-Policy: "token";q=1000;w=3600, "subject";q=10;w=60\r\n'
        b'RateLimit: "token";r=990;t=36, "subject";r=9;t=6\r\n'
    )
    used_up = fields(plan.lines([bot.tolerance, user.tolerance]))
    assert used_up[b"X-RateLimit-Limit"] == b"1000", "of two that are used up, the one that takes longer"


@given(st.lists(st.tuples(QUOTAS, NAMES, st.floats(0, 1)), min_size=2, max_size=4))
@example([(HOURLY, "100%d", 0.5), (HOURLY, '%%,"', 1.0)])
def test_several_policies_read_back_as_what_was_meant(given: list[tuple[Quota, str, float]]) -> None:
    quotas = [named(quota, name) for quota, name, _ in given]
    backlogs = [int(part * quota.tolerance) for quota, (_, _, part) in zip(quotas, given, strict=True)]
    found = fields(Plan(tuple(quotas)).lines(backlogs))
    policies = http_sf.parse(found[b"RateLimit-Policy"], tltype="list")
    limits = http_sf.parse(found[b"RateLimit"], tltype="list")
    states = list(map(state_at, backlogs, quotas))
    assert policies == [(quota.policy, {"q": quota.limit, "w": quota.window}) for quota in quotas]
    assert limits == [(quota.policy, {"r": remaining, "t": reset}) for quota, remaining, reset in states]
    first = tightest(states)
    customary = [int(found[b"X-RateLimit-" + name]) for name in (b"Limit", b"Remaining", b"Reset")]
    assert customary == [first.quota.limit, first.remaining, first.reset]


def test_the_makers_of_lines_are_cached_in_bounded_memory() -> None:
    kept = PolicyLines(HOURLY)
    for limit in range(1, 600):
        quota = Quota(limit, 60, "token")
        assert kept.of(Quota(limit, 60, "token")) is kept.of(quota)
        assert b'"token";q=%d;w=60' % limit in kept.of(quota).lines(1, 1)
    assert len(kept._by_quota) <= MAX_QUOTAS


def test_the_lines_of_a_plan_are_cached_by_backlogs_in_bounded_memory() -> None:
    plan = Plan((HOURLY, Quota(10, 60, "burst")))
    for backlog in range(0, 300_000_000, 1_000_000):
        assert plan.after((backlog, 0)) == plan.by_backlogs[backlog, 0] == plan.lines((backlog, 0))
        assert len(plan.by_backlogs) <= headers._PLAN_MEMO_SIZE


def test_a_plan_of_shadow_policies_alone_has_no_lines() -> None:
    assert Plan((), (HOURLY,)).lines([]) == b""


def test_what_is_left_is_told_in_requests_whatever_one_costs() -> None:
    batch = Quota(100, 3600, cost=10)
    state = fields(Plan((batch,)).lines([batch.step]))
    assert (state[b"X-RateLimit-Limit"], state[b"X-RateLimit-Remaining"]) == (b"100", b"90")
