"""Content negotiation by ``Accept``."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.api.handlers.pages import admits_gzip, matches
from arsenal_fast.http.accept import MAX_BYTES, MAX_MEMBERS, prefers, quality
from tests.support.rig import Rig, request

OPENMETRICS = ("application/openmetrics-text", "1.0.0")
PLAIN = ("text/plain", "0.0.4")
HTML = ("text/html", "")

# Accept, (media type, version), quality.
QUALITIES = [
    # RFC 9110 12.5.1: no Accept, everything is acceptable.
    ("", HTML, 1.0),
    (" , ,", HTML, 1.0),
    ("text/html", HTML, 1.0),
    ("TEXT/HTML", HTML, 1.0),
    ("text/html", PLAIN, 0.0),
    ("text/html;q=0.5", HTML, 0.5),
    ("text/html;q=0", HTML, 0.0),
    ("text/html ; q=0.125", HTML, 0.125),
    ("text/html; Q=0.5", HTML, 0.5),
    ("text/html;q=1.000", HTML, 1.0),
    # The most specific range decides, at any place.
    ("*/*;q=0.8,text/html;q=0.1", HTML, 0.1),
    ("text/html;q=0,*/*", HTML, 0.0),
    ("text/*;q=0.3,*/*;q=0.8", HTML, 0.3),
    ("text/plain;version=0.0.4;q=0.2,text/plain;q=0.9", PLAIN, 0.2),
    ("text/*;q=0.3", OPENMETRICS, 0.0),
    # Another version is another thing; other parameters are no matter.
    ("application/openmetrics-text;version=1.0.0", OPENMETRICS, 1.0),
    ('application/openmetrics-text; version="1.0.0"', OPENMETRICS, 1.0),
    ("application/openmetrics-text;version=0.0.1", OPENMETRICS, 0.0),
    ("application/openmetrics-text", OPENMETRICS, 1.0),
    ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6", OPENMETRICS, 0.6),
    ("text/html;level=1;charset=utf-8", HTML, 1.0),
    # What can't be read is passed over.
    ("text/html;q=2", HTML, 0.0),
    ("text/html;q=0.1234", HTML, 0.0),
    ("text/html;q=", HTML, 0.0),
    ("text/html;q=-1,*/*;q=0.5", HTML, 0.5),
    ("text/html;q=nan", HTML, 0.0),
    ("text/html;q=\xb2", HTML, 0.0),
    ("*", HTML, 0.0),
    ("*/html", HTML, 0.0),
    ("text/htmlx", HTML, 0.0),
    (";;;=,=;", HTML, 0.0),
]


@pytest.mark.parametrize(("accept", "wanted", "expected"), QUALITIES)
def test_the_most_specific_range_says_how_much_a_type_is_wanted(
    accept: str, wanted: tuple[str, str], expected: float
) -> None:
    assert quality(accept.encode("latin-1"), *wanted) == expected


# Accept, whether HTML is preferred to JSON.
PREFERENCES = [
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),  # browsers
    ("*/*", False),  # curl
    ("", False),
    ("application/json, text/plain, */*", False),  # axios
    ("text/html, application/json", False),
    ("text/html;q=0.4, application/json;q=0.5", False),
    ("text/html;q=0.5, application/json;q=0.4", True),
]


@pytest.mark.parametrize(("accept", "expected"), PREFERENCES)
def test_html_is_for_who_wants_it_more_than_json(accept: str, expected: bool) -> None:
    assert prefers(accept.encode(), "text/html", to="application/json") is expected


@given(st.binary(max_size=60) | st.text('*/;,=.q01 texhml"', max_size=60).map(str.encode))
def test_whatever_comes_there_is_an_answer(accept: bytes) -> None:
    assert 0 <= quality(accept, *HTML) <= 1


TOO_LONG = [
    b"text/html;q=0.1,*/*" + b" " * MAX_BYTES,
    b"text/html," * MAX_MEMBERS,
    b",".join([b"text/html;q=0.1;version=1"] * 600),
    b"," * 16_000,
]


@pytest.mark.parametrize("accept", TOO_LONG, ids=len)
def test_a_field_that_is_too_long_counts_as_absent(accept: bytes) -> None:
    assert quality(accept, *HTML) == 1.0
    assert not prefers(accept, "text/html", to="application/json")
    assert not admits_gzip(b"gzip," * MAX_MEMBERS)
    assert admits_gzip(b"gzip," * (MAX_MEMBERS - 1))
    assert not matches(b'"a",' * MAX_MEMBERS, b'"a"')
    assert matches(b'"a"' + b',"b"' * (MAX_MEMBERS - 1), b'"a"')


def test_a_field_of_the_largest_size_is_read() -> None:
    accept = b",".join([b"text/html;q=0.1"] * MAX_MEMBERS).ljust(MAX_BYTES)
    assert quality(accept, *HTML) == 0.1


def test_no_more_is_read_of_a_huge_field_than_of_a_small_one() -> None:
    """Steps of the interpreter, which don't depend on what else the machine does."""

    def steps(**fields: str) -> int:
        client = Rig(fast_path=False).connect()
        octets = request("GET", "/api/health", **fields)
        client.send(octets)
        count = 0

        def trace(_frame: object, event: str, _argument: object) -> object:
            nonlocal count
            count += event == "line"
            return trace

        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            client.send(octets)
        finally:
            sys.settrace(None)
        return count

    for octets in ("*/*;q=0.1,", "a/b;version=1,", ","):
        assert steps(Accept=octets * (15_000 // len(octets))) < steps(Accept=octets * (5_000 // len(octets))) + 20
