"""Who wants what, by ``Accept``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.service.negotiation import prefers, quality

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
    # The most specific range decides, wherever it stands.
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
