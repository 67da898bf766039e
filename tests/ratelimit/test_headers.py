"""The rate-limit headers, parsed by http-sf (RFC 9651)."""

import http_sf
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arsenal_fast.ratelimit import gcra, headers
from arsenal_fast.ratelimit.headers import LimitLines, retry_after_line
from arsenal_fast.ratelimit.quota import MAX_WINDOW, Quota

HOURLY = Quota(100, 3600)

WINDOWS = st.integers(1, MAX_WINDOW)
QUOTAS = WINDOWS.flatmap(lambda window: st.builds(Quota, st.integers(1, window * 1_000_000), st.just(window)))
NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


def fields(lines: bytes) -> dict[bytes, bytes]:
    assert lines.endswith(b"\r\n")
    rows = [line.split(b": ", 1) for line in lines[:-2].split(b"\r\n")]
    assert all(len(row) == 2 for row in rows)
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1] for row in rows}


def test_the_lines_are_those_of_the_design() -> None:
    assert LimitLines(HOURLY, "default").lines(99, 36) == (
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
    found = fields(LimitLines(quota, name).lines(remaining, reset))
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
        LimitLines(HOURLY, name)


def test_the_largest_quota_fits_a_structured_field() -> None:
    assert Quota(MAX_WINDOW * 1_000_000, MAX_WINDOW).limit <= 999_999_999_999_999


def test_remembered_lines_are_those_that_would_be_made() -> None:
    """Twice over more pairs than are remembered, with pairs that a careless key would take for one."""
    kept = LimitLines(HOURLY, "default")
    pairs = [(remaining, reset) for remaining in range(90) for reset in range(70)]
    assert len(pairs) > headers._MEMO_SIZE
    for remaining, reset in pairs * 2:
        assert kept.lines(remaining, reset) == LimitLines(HOURLY, "default").lines(remaining, reset)


def test_the_same_pair_is_made_once() -> None:
    kept = LimitLines(HOURLY, "default")
    assert kept.lines(99, 36) is kept.lines(99, 36)


def test_the_same_pair_is_made_once_again_after_the_memory_was_full() -> None:
    kept = LimitLines(HOURLY, "default")
    for reset in range(headers._MEMO_SIZE + 1):
        kept.lines(99, reset)
    first = kept.lines(98, 36)
    kept.lines(97, 72)
    assert kept.lines(98, 36) is first


def test_the_memory_is_bounded() -> None:
    kept = LimitLines(Quota(1_000_000, 3600), "default")
    for remaining in range(3 * headers._MEMO_SIZE):
        kept.lines(remaining, remaining % 7)
        if remaining % 512 == 0:
            assert sum(map(len, kept._made.values())) <= headers._MEMO_SIZE


@pytest.mark.parametrize(("seconds", "line"), [(1, b"Retry-After: 1\r\n"), (3600, b"Retry-After: 3600\r\n")])
def test_retry_after_is_in_whole_seconds(seconds: int, line: bytes) -> None:
    assert retry_after_line(seconds) == line


@given(st.integers(1, 200), st.integers(1, 7200), st.integers(0, 300))
def test_the_lines_after_a_hit_say_what_is_left_of_the_quota(limit: int, window: int, hits: int) -> None:
    quota = Quota(limit, window)
    lines = LimitLines(quota, "default")
    backlog = min(hits, limit) * quota.interval
    for _ in range(2):
        assert lines.after(backlog) == lines.lines(gcra.remaining(backlog, quota), gcra.reset_after(backlog))
    assert lines.by_backlog == {backlog: lines.after(backlog)}
