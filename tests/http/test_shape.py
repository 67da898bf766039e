"""A block fits a shape only where the parser would read the same fields with other values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.errors import MessageError
from arsenal_fast.http.parser import Limits, RequestParser
from arsenal_fast.http.request import Fields
from arsenal_fast.http.shape import BlockShape, Holes

INGRESS = (
    b"Host: id.example\r\nX-Request-ID: 0af7651916cd43dd8448eb211c80319c\r\nX-Real-IP: 198.51.100.7\r\n"
    b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
)

FITS = [
    (INGRESS, Holes(b"198.51.100.7", b"0af7651916cd43dd8448eb211c80319c")),
    (
        INGRESS.replace(b"198.51.100.7", b"2001:db8::1, 10.0.0.1"),
        Holes(b"2001:db8::1, 10.0.0.1", b"0af7651916cd43dd8448eb211c80319c"),
    ),
    (
        INGRESS.replace(b"X-Request-ID: 0af7651916cd43dd8448eb211c80319c", b"X-Request-ID: x"),
        Holes(b"198.51.100.7", b"x"),
    ),
]

DOES_NOT_FIT = [
    INGRESS.replace(b"curl/8.5.0", b"curl/8.5.1"),
    INGRESS.replace(b"Host: id.example", b"Host: id.example:80"),
    INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: "),
    INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: 198.51.100.7 "),
    INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For:  198.51.100.7"),
    INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 10.0.0.1"),
    INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: 198.51.100.7\r\nContent-Length: 5"),
    INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: 198.51.100.7\nContent-Length: 5"),
    INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: 198.51.100.7\rx"),
    INGRESS.replace(b"198.51.100.7", b"198.51.100.7\0"),
    INGRESS.replace(b"198.51.100.7", b"198.51.100.7\x80"),
    INGRESS.replace(b"198.51.100.7", b"198.51.100.7\tx"),
    INGRESS + b"GET / HTTP/1.1\r\n\r\n",
    INGRESS[:-2],
    INGRESS[:-1],
    b"",
    b"\r\n",
]


def parsed(block: bytes) -> Fields | None:
    parser = RequestParser(Limits())
    parser.feed(b"GET / HTTP/1.1\r\n" + block)
    try:
        request = parser.next_request()
    except MessageError:
        return None
    return request.fields if request is not None and parser.idle else None


def shape_of(block: bytes) -> BlockShape:
    fields = parsed(block)
    assert fields is not None
    return BlockShape(fields)


@pytest.mark.parametrize(("block", "holes"), FITS)
def test_a_block_with_other_values_in_its_holes_fits(block: bytes, holes: Holes) -> None:
    assert shape_of(INGRESS).match(b"GET / HTTP/1.1\r\n" + block, 16) == holes


@pytest.mark.parametrize("block", DOES_NOT_FIT)
def test_all_else_is_left_to_the_parser(block: bytes) -> None:
    assert shape_of(INGRESS).match(block, 0) is None


def test_a_block_without_changing_fields_or_with_one_of_them_twice_has_no_holes() -> None:
    assert shape_of(b"Host: a\r\nAccept: */*\r\n\r\n").holes == 0
    twice = b"Host: a\r\nX-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n\r\n"
    assert shape_of(twice).holes == 0


NAMES = st.sampled_from(
    [b"X-Forwarded-For", b"x-request-id", b"X-Real-IP", b"Traceparent", b"Accept", b"Via", b"Expect"]
)
VALUES = st.binary(max_size=12) | st.sampled_from([b"1.2.3.4", b"a b", b"100-continue", b"x\r\nContent-Length: 5", b""])
LINES = st.lists(st.tuples(NAMES, VALUES), max_size=5)


@given(LINES, st.lists(VALUES, min_size=5, max_size=5))
def test_whatever_fits_is_what_the_parser_reads(lines: list[tuple[bytes, bytes]], others: list[bytes]) -> None:
    def block_of(values: list[bytes]) -> bytes:
        fields = b"".join(name + b": " + value + b"\r\n" for (name, _), value in zip(lines, values, strict=False))
        return b"Host: a\r\n" + fields + b"\r\n"

    first = block_of([value for _, value in lines])
    known = parsed(first)
    if known is None:
        return
    block = block_of(others)
    holes = BlockShape(known).match(block, 0)
    if holes is None:
        return
    fields = parsed(block)
    assert fields is not None
    assert (fields.forwarded_for, fields.request_id) == holes
    for name in Fields.__slots__:
        if name not in {"block", "forwarded_for", "request_id", "traceparent"}:
            assert getattr(fields, name) == getattr(known, name), name
