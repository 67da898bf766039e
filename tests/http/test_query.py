"""Parsing of the query."""

from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.errors import ProblemError
from arsenal_fast.http.query import MAX_UNKNOWN, names_of, parse_query, unescape

KNOWN = ("prefix", "run")
IGNORED = names_of(["utm*", "_"])

READ = [
    (b"", {}),
    (b"prefix=a&run=b", {"prefix": "a", "run": "b"}),
    (b"prefix=", {"prefix": ""}),
    (b"prefix", {"prefix": ""}),
    (b"prefix=a=b", {"prefix": "a=b"}),
    (b"prefix=a+b", {"prefix": "a b"}),
    (b"prefix=%61%2B", {"prefix": "a+"}),
    (b"%70refix=a", {"prefix": "a"}),
    (b"prefix=%C3%A9", {"prefix": "é"}),
    (b"prefix=%0D%0A%00", {"prefix": "\r\n\0"}),
    (b"&&prefix=a&", {"prefix": "a"}),
    (b"utm=x&utm=y&_=1", {}),
    (b"=a&=b", {}),
]

REFUSED = [
    (b"prefix=a&prefix=a", "prefix"),
    (b"prefix=a&%70refix=b", "prefix"),
    (b"prefix=%", "prefix"),
    (b"prefix=%4", "prefix"),
    (b"prefix=%4g", "prefix"),
    (b"prefix=%u0041", "prefix"),
    (b"run=%FF", "run"),
    (b"run=%C0%AF", "run"),
    (b"run=%ED%A0%80", "run"),
    (b"%FF=a", None),
]


@pytest.mark.parametrize(("query", "found"), READ)
def test_a_sound_query_is_read(query: bytes, found: dict[str, str]) -> None:
    assert parse_query(query, KNOWN, IGNORED) == found


@pytest.mark.parametrize(("query", "parameter"), REFUSED)
def test_an_ambiguous_query_is_refused_by_name(query: bytes, parameter: str | None) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_query(query, KNOWN, IGNORED)
    assert caught.value.status == 400
    assert [fault.get("parameter") for fault in caught.value.faults] == ([parameter] if parameter else [])


UNKNOWN = [
    (b"prefx=a", "prefx", "is prefix meant? "),
    (b"prefix=a&Run=b", "Run", "is run meant? "),
    (b"%72%75n%73=b&run=a", "runs", "is run meant? "),
    (b"x=1&run=a&x=2", "x", ""),
    (b"__=1", "__", ""),
    (b"ut=1", "ut", ""),
    (b"xutm_source=1", "xutm_source", ""),
    (b"%0D%0A=1", "\r\n", ""),
    (b"y" * 8000, "y" * 64, ""),
]


@pytest.mark.parametrize(("query", "parameter", "proposal"), UNKNOWN)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(query: bytes, parameter: str, proposal: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_query(query, KNOWN, IGNORED)
    assert (caught.value.status, caught.value.kind) == (400, "unknown-parameter")
    detail = f"is not known; {proposal}Known are prefix, run."
    assert caught.value.faults == ({"parameter": parameter, "detail": detail},)


def test_a_response_names_a_bounded_number_of_unknown_names() -> None:
    with pytest.raises(ProblemError) as caught:
        parse_query(b"&".join(b"x%d=1" % number for number in range(1000)), KNOWN, IGNORED)
    assert [fault["parameter"] for fault in caught.value.faults] == [f"x{number}" for number in range(MAX_UNKNOWN)]


def test_without_patterns_no_name_is_ignored() -> None:
    assert not any(map(names_of([]), ("", "x", "_")))


@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_what_a_client_library_encodes_is_what_is_read(value: str, plus: bool) -> None:
    query = urlencode({"run": value}, quote_via=quote_plus if plus else quote)
    assert parse_query(query.encode("ascii"), KNOWN, IGNORED) == {"run": value}


@given(st.binary())
def test_unescape_gives_text_or_a_value_error(octets: bytes) -> None:
    try:
        text = unescape(octets)
    except ValueError:
        return
    text.encode()
