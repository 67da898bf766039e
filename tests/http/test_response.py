"""Responses from prepared parts."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.http import response
from arsenal_fast.http.response import JSON, PHRASES, STATUS_LINES, ResponseHeads, http_date, line, tail, without_body


@given(st.integers(0, 253_402_300_799))
def test_a_date_is_what_the_mail_library_reads(second: int) -> None:
    assert parsedate_to_datetime(http_date(second).decode()) == datetime.fromtimestamp(second, UTC)


def test_a_start_moves_with_the_second_and_not_within_it() -> None:
    heads = ResponseHeads(b"X: y\r\n")
    heads.at(1_763_805_600)
    first = heads.ok
    assert first == b"HTTP/1.1 200 OK\r\nDate: Sat, 22 Nov 2025 10:00:00 GMT\r\nX: y\r\n"
    heads.at(1_763_805_600)
    assert heads.ok == first
    heads.at(1_763_805_601)
    assert heads.ok == first.replace(b"10:00:00", b"10:00:01")
    assert heads.head(404) == heads.ok.replace(b"200 OK", b"404 Not Found")


def test_a_reason_phrase_is_the_one_of_rfc_9110_whatever_the_version_of_python() -> None:
    assert STATUS_LINES[413] == b"HTTP/1.1 413 Content Too Large\r\n"
    assert STATUS_LINES[414] == b"HTTP/1.1 414 URI Too Long\r\n"
    renamed = {413, 414, 416, 422}  # since RFC 7231; http.HTTPStatus follows from Python 3.13 on
    assert {status: phrase for status, phrase in PHRASES.items() if status not in renamed} == {
        status.value: status.phrase for status in HTTPStatus if status in PHRASES and status not in renamed
    }


def test_every_status_that_the_source_names_has_a_phrase() -> None:
    """Of what raises or answers with a literal status."""
    source = Path(response.__file__).parents[1]
    call = re.compile(r"(?:respond|problem|_probe|[A-Za-z]*Error|start|_refuse)\(\s*(?:exchange, )?([1-5][0-9]{2})\b")
    named = {int(status) for path in source.rglob("*.py") for status in call.findall(path.read_text("utf-8"))}
    assert len(named) > 12
    assert named <= PHRASES.keys()


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "\0", "\x7f", "a\x1fb"])
def test_a_control_character_never_becomes_part_of_a_line(value: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        line("X-Request-Id", value)


def test_a_tail_announces_the_length_of_its_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + tail(JSON, b'{"a":1}')
    assert answer.endswith(b'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}')
    assert without_body(answer) == answer.removesuffix(b'{"a":1}')
