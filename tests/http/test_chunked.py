"""Chunked bodies: the same content for every split, and a bound on each length."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.errors import MessageError
from arsenal_fast.http.chunked import ChunkedBody
from arsenal_fast.http.limits import Limits

SMALL = Limits(body=20, chunk_line=16, chunk_extensions=24, trailer=32, fields=2)
END = b"0\r\n\r\n"

# name, bytes, content
GOOD = [
    ("empty", END, b""),
    ("one chunk", b"3\r\nabc\r\n" + END, b"abc"),
    ("two chunks", b"1\r\na\r\n2\r\nbc\r\n" + END, b"abc"),
    ("hexadecimal in both cases", b"a\r\n0123456789\r\nA\r\n0123456789\r\n" + END, b"0123456789" * 2),
    ("leading zeros", b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
    ("CRLF within the data", b"4\r\n\r\n\r\n\r\n" + END, b"\r\n\r\n"),
    ("an extension", b'3;a=b;c="d"\r\nabc\r\n' + END, b"abc"),
    ("a trailer", b"0\r\nA: b\r\nC: d\r\n\r\n", b""),
    ("the longest body", b"14\r\n" + b"x" * 20 + b"\r\n" + END, b"x" * 20),
]

# name, bytes, status
BAD = [
    ("no size", b"\r\n", 400),
    ("a size that is no number", b"g\r\n", 400),
    ("a sign", b"+3\r\nabc\r\n", 400),
    ("a prefix", b"0x3\r\nabc\r\n", 400),
    ("a bare LF behind the size", b"3\nabc\r\n", 400),
    ("a blank before the size", b" 3\r\nabc\r\n", 400),
    ("a byte too many", b"3\r\nabcd\r\n", 400),
    ("a bare LF behind the data", b"3\r\nabc\n0\r\n\r\n", 400),
    ("a size line without an end", b"3;" + b"a" * 14, 400),
    ("too many extensions", b"1;aaaaaaaaaa\r\nx\r\n" * 3, 400),
    ("a body that is too long by its first chunk", b"15\r\n", 413),
    ("a body that is too long by its last chunk", b"14\r\n" + b"x" * 20 + b"\r\n1\r\n", 413),
    ("a size of many digits", b"ffffffffffffff\r\n", 413),
    ("a trailer field without a colon", b"0\r\nA b\r\n", 400),
    ("a folded trailer field", b"0\r\nA: b\r\n c\r\n", 400),
    ("too many trailer fields", b"0\r\nA: b\r\nC: d\r\nE: f\r\n", 431),
    ("a trailer that is too long", b"0\r\nA: " + b"b" * 40, 431),
]


def decode(pieces: list[bytes]) -> tuple[ChunkedBody, bytes]:
    """Feed pieces as they come; what is left behind the body."""
    body, buffer = ChunkedBody(SMALL), b""
    for piece in pieces:
        buffer += piece
        buffer = buffer[body.take(buffer, 0) :]
    return body, buffer


def one_by_one(octets: bytes) -> list[bytes]:
    return [octets[position : position + 1] for position in range(len(octets))]


@pytest.mark.parametrize(("octets", "content"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
@pytest.mark.parametrize("behind", [b"", b"GET / HTTP/1.1\r\n"], ids=["alone", "with trailing data"])
def test_a_body_is_the_same_whole_and_octet_by_octet_and_ends_where_it_ends(
    octets: bytes, content: bytes, behind: bytes
) -> None:
    for pieces in ([octets + behind], one_by_one(octets + behind)):
        body, left = decode(pieces)
        assert (bytes(body.content), body.done, left) == (content, True, behind)


@pytest.mark.parametrize("octets", [row[1] for row in GOOD], ids=[row[0] for row in GOOD])
def test_a_body_is_not_done_before_its_last_octet(octets: bytes) -> None:
    for end in range(len(octets)):
        assert not decode([octets[:end]])[0].done


@pytest.mark.parametrize(("octets", "status"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_fault_has_one_status_however_it_comes(octets: bytes, status: int) -> None:
    for pieces in ([octets], [octets + END], one_by_one(octets)):
        with pytest.raises(MessageError) as caught:
            decode(pieces)
        assert caught.value.status == status


@pytest.mark.parametrize("pieces", [[b"3\r\nabc", b"\n"], [b"3\r\nabc\r", b"x"], [b"3\r\nab", b"cd"]])
def test_data_without_its_end_is_a_fault_with_the_octet_that_proves_it(pieces: list[bytes]) -> None:
    decode(pieces[:1])
    with pytest.raises(MessageError) as caught:
        decode(pieces)
    assert caught.value.status == 400


def test_what_stands_before_the_body_is_not_touched() -> None:
    body = ChunkedBody(SMALL)
    octets = b"head" + GOOD[1][1] + b"next"
    assert body.take(octets, 4) == len(octets) - 4
    assert body.content == b"abc"


def test_a_body_that_is_done_takes_no_more() -> None:
    body = ChunkedBody(SMALL)
    body.take(END, 0)
    assert body.take(b"3\r\nabc\r\n", 0) == 0
    assert body.content == b""


@given(st.lists(st.binary(min_size=1, max_size=5), max_size=4), st.lists(st.integers(0, 60), max_size=6))
def test_any_chunks_cut_anywhere_are_their_content(chunks: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + END
    places = sorted({0, *(min(cut, len(octets)) for cut in cuts), len(octets)})
    body, left = decode([octets[start:end] for start, end in pairwise(places)])
    assert (bytes(body.content), body.done, left) == (b"".join(chunks), True, b"")
