"""Answers put together from parts."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.http.responses import JSON, Starts, http_date, line, tail, without_body


@given(st.integers(0, 253_402_300_799))
def test_a_date_is_what_the_mail_library_reads(second: int) -> None:
    assert parsedate_to_datetime(http_date(second).decode()) == datetime.fromtimestamp(second, UTC)


def test_a_start_moves_with_the_second_and_not_within_it() -> None:
    starts = Starts(b"X: y\r\n")
    starts.at(1_763_805_600)
    first = starts.ok
    assert first == b"HTTP/1.1 200 OK\r\nDate: Sat, 22 Nov 2025 10:00:00 GMT\r\nX: y\r\n"
    starts.at(1_763_805_600)
    assert starts.ok is first
    starts.at(1_763_805_601)
    assert starts.ok == first.replace(b"10:00:00", b"10:00:01")
    assert starts.start(404) == starts.ok.replace(b"200 OK", b"404 Not Found")


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "\0", "\x7f", "a\x1fb"])
def test_a_control_character_never_becomes_part_of_a_line(value: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        line("X-Request-Id", value)


def test_a_tail_announces_the_length_of_its_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + tail(JSON, b'{"a":1}')
    assert answer.endswith(b'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}')
    assert without_body(answer) == answer.removesuffix(b'{"a":1}')
