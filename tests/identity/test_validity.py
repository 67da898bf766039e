"""Lifetimes, times and their text. The oracle for timestamps is datetime."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arsenal_fast.identity import validity
from arsenal_fast.identity.validity import Life, Mode, Outcome, parse_ttl, timestamp, ttl_fault

MOMENTS = st.integers(0, validity.LAST_MOMENT)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_000, "1970-01-01T00:00:01.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_795_341_600_000, "2026-11-22T10:00:00.000Z"),
        (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        (validity.LAST_MOMENT, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_is_written_in_rfc_3339_with_milliseconds(ms: int, text: str) -> None:
    assert timestamp(ms) == text


@given(MOMENTS)
@example(1_482_182_400_000)
def test_timestamps_agree_with_datetime(ms: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert timestamp(ms) == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@given(MOMENTS, MOMENTS)
def test_timestamps_sort_as_their_moments_do(one: int, other: int) -> None:
    assert (one < other) == (timestamp(one) < timestamp(other))


@pytest.mark.parametrize("ms", [-1, validity.LAST_MOMENT + 1, 10**30])
def test_a_moment_beyond_four_digit_years_is_refused(ms: int) -> None:
    with pytest.raises(ValueError, match="1970 to 9999"):
        timestamp(ms)


@pytest.mark.parametrize(
    ("generated", "expires", "renew_at"),
    [
        # A quarter of an hour left is still enough; one ms less is not.
        (0, 3_600_000, 2_700_001),
        (1_000, 3_601_000, 2_701_001),
        (0, 1_000, 751),
        (0, 4, 4),
        (0, 5, 4),
        (0, 6, 5),
        (0, 7, 6),
        (0, 8, 7),
        (0, 1, 1),
    ],
)
def test_a_life_is_renewed_from_where_less_than_a_quarter_is_left(generated: int, expires: int, renew_at: int) -> None:
    assert Life(generated, expires).renew_at == renew_at


@given(st.integers(0, 2**41), st.integers(1, validity.MAX_TTL * 1000), st.integers(-3, 3))
def test_renew_at_is_the_first_moment_of_the_condition(generated: int, ttl: int, offset: int) -> None:
    span = Life(generated, generated + ttl)
    now = span.renew_at + offset
    assert span.ttl == ttl
    assert (now >= span.renew_at) == (4 * (span.expires - now) < ttl)


@pytest.mark.parametrize(("text", "ttl"), [("1", 1), ("60", 60), ("3600", 3600), ("2592000", 2_592_000)])
def test_a_decimal_number_within_the_range_is_a_ttl(text: str, ttl: int) -> None:
    assert parse_ttl(text) == ttl
    assert ttl_fault(ttl) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "-5", "+5", "2592001", "9999999", "99999999999", "9" * 5000, "1e3", "60.0", "abc", "0x10"),
        *(" 60", "60 ", "60\n", "\n60", "6_0", "060", "00", "6 0", "60\x00", "true", "NaN", "\ud800"),
        *("\u0663\u0660", "\uff16\uff10", "6\xb2", "\u2166"),
    ],
)
def test_any_other_text_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"from 1 to 2592000\.$"):
        parse_ttl(text)


@pytest.mark.parametrize(
    "value", [0, -1, 2_592_001, 10**30, True, False, None, 60.0, 0.5, float("nan"), "60", [60], {}, b"60"]
)
def test_any_other_json_value_is_refused_with_the_range(value: object) -> None:
    assert ttl_fault(value) == validity.TTL_RANGE


def test_the_modes_are_the_numbers_that_the_script_is_asked_with() -> None:
    assert [(mode.name, mode.value) for mode in Mode] == [("PLAIN", 0), ("ASSERT", 2), ("CONFIRM", 3)]


def test_the_outcomes_are_the_numbers_that_the_script_answers_with() -> None:
    assert [(outcome.name, outcome.value) for outcome in Outcome] == [
        ("FOUND", 0),
        ("ISSUED", 1),
        ("RENEWED", 2),
        ("PROVISIONAL", 4),
        ("REVOKED", 5),
    ]
