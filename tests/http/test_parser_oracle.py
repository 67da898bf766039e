"""h11 as the oracle: what its server takes as one well-formed message and what we take is the same, or the difference
is a row of ``DEPARTURES``, with its reason and an example that keeps the row honest.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.errors import MessageError
from arsenal_fast.http.parser import Limits, RequestParser
from tests.http.test_parser import ACCEPTED, NEXT, REFUSED, bare, chunked, head, line, mutated, sized


class Message(NamedTuple):
    method: bytes
    target: bytes
    body: bytes
    length: int
    """How many bytes of the stream it takes."""


def read_by_h11(octets: bytes) -> Message | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(octets)
    request = None
    body = b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    assert request is not None
    return Message(request.method, request.target, body, len(octets) - len(connection.trailing_data[0]))


def read_by_us(octets: bytes) -> Message | None:
    parser = RequestParser(Limits())
    for i in range(len(octets)):
        parser.feed(octets[i : i + 1])
        try:
            request = parser.next_request()
        except MessageError:
            return None
        if request is not None:
            return Message(request.method, request.target, request.body, i + 1)
    return None


class Departure(NamedTuple):
    """Where we differ on purpose: ``seen_in`` is true of the messages it is about."""

    name: str
    reason: str
    stricter: bool
    seen_in: Callable[[bytes], object]
    example: bytes


def with_pattern(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern, re.DOTALL).search


def repeated(name: bytes) -> Callable[[bytes], object]:
    return with_pattern(rb"(?i)\n" + name + rb":.*\n" + name + rb":")


def unusual_target(octets: bytes) -> bool:
    """No origin-form, or none that the method may have."""
    target = octets.split(b" ", 2)[1:2]
    return not target or not target[0].startswith(b"/")


def unusual_host(octets: bytes) -> bool:
    hosts = re.findall(rb"(?i)\nhost:[ \t]*([^\r\n]*)", octets)
    return any(re.fullmatch(rb"[a-z0-9.\-]*(:[0-9]*)?[ \t]*", host) is None for host in hosts)


KNOWN = rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|PATCH) "

DEPARTURES = [
    Departure(
        "a bare LF ends no line",
        "RFC 9112 2.2 allows it to end one; two readers that differ in this are how requests are smuggled.",
        True,
        with_pattern(rb"(?<!\r)\n"),
        b"GET / HTTP/1.1\nHost: a\n\n",
    ),
    Departure(
        "obs-fold is refused",
        "RFC 9112 5.2 lets a server refuse or unfold it.",
        True,
        with_pattern(rb"\r\n[ \t]"),
        head(b"n: a", b" b"),
    ),
    Departure(
        "a field value holds no control but HTAB",
        "RFC 9110 5.5 calls them invalid; h11 keeps all but NUL and white space, for cookies seen in the wild.",
        True,
        with_pattern(rb"[\x01-\x08\x0e-\x1f\x7f]"),
        head(b"n: \x01"),
    ),
    Departure(
        "Content-Length comes once, with one value",
        "RFC 9110 8.6 allows equal values to be merged or refused.",
        True,
        with_pattern(rb"(?i)\ncontent-length:[^\n]*,|\ncontent-length:.*\ncontent-length:"),
        sized(b"1, 1", b"x"),
    ),
    Departure(
        "Content-Length and Transfer-Encoding exclude each other",
        "RFC 9112 6.1 allows either to be refused; h11 lets Transfer-Encoding win.",
        True,
        with_pattern(rb"(?i)\ncontent-length:.*\ntransfer-encoding:|\ntransfer-encoding:.*\ncontent-length:"),
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    Departure(
        "Transfer-Encoding in HTTP/1.0 is refused",
        "RFC 9112 6.1: such a message's framing has to be taken as faulty.",
        True,
        with_pattern(rb"(?i)HTTP/1\.0\r\n.*transfer-encoding"),
        head(b"Transfer-Encoding: chunked", request_line=b"POST / HTTP/1.0") + b"0\r\n\r\n",
    ),
    Departure(
        "a target has no fragment",
        "RFC 9112 3.2 has none in any form of a target.",
        True,
        with_pattern(rb"\A(?:\r\n)?[^ ]* [^ ]*#"),
        line(b"GET /a#b HTTP/1.1"),
    ),
    Departure(
        "a target has a form that its method allows",
        "RFC 9112 3.2; h11 leaves the target to the application.",
        True,
        unusual_target,
        line(b"GET * HTTP/1.1"),
    ),
    Departure(
        "an unknown method is 501",
        "RFC 9110 15.6.2; h11 leaves the method to the application.",
        True,
        lambda octets: re.match(rb"(?:\r\n)?" + KNOWN, octets) is None,
        line(b"BREW / HTTP/1.1"),
    ),
    Departure(
        "only HTTP/1.x is spoken, and Host is asked of every version from 1.1 on",
        "RFC 9110 2.5 and 15.6.6; h11 takes any digits and asks for Host in 1.1 alone.",
        True,
        with_pattern(rb" HTTP/(?!1\.[01])[0-9]\.[0-9]\r\n"),
        line(b"GET / HTTP/2.0"),
    ),
    Departure(
        "Host is a uri-host with an optional port",
        "RFC 9112 3.2 asks for 400; h11 leaves the value to the application.",
        True,
        unusual_host,
        bare(b"Host: a@b"),
    ),
    Departure(
        "an unknown expectation is 417",
        "RFC 9110 10.1.1; h11 leaves it to the application.",
        True,
        with_pattern(rb"(?i)\nexpect:"),
        head(b"Expect: 200-ok"),
    ),
    *[
        Departure(
            f"{name.decode()} comes once",
            "RFC 9110 5.3: it is no list; two readers could take different ones.",
            True,
            repeated(name),
            head(name + b": a", name + b": b"),
        )
        for name in (b"Authorization", b"Content-Type", b"Origin")
    ],
    Departure(
        "a chunk's size line follows the grammar",
        "RFC 9112 7.1: 16 digits suffice, no white space ends the line, extensions are tokens and quoted strings.",
        True,
        with_pattern(rb"\n[0-9A-Fa-f]+[ \t;]|\n0[0-9A-Fa-f]{16}"),
        chunked(b"1 \r\nx\r\n0\r\n\r\n"),
    ),
    Departure(
        "white space may stand before a chunk extension",
        "RFC 9112 7.1.1: a recipient MUST parse and remove such bad white space; h11 takes it at the line's end only.",
        False,
        with_pattern(rb"\n[0-9A-Fa-f]+[ \t]+;"),
        chunked(b"1 ;a\r\nx\r\n0\r\n\r\n"),
    ),
    Departure(
        "a CRLF in front of a request is ignored",
        "RFC 9112 2.2 asks for it; h11 refuses it.",
        False,
        with_pattern(rb"\A\r\n[^\r]"),
        b"\r\n" + line(b"GET / HTTP/1.1"),
    ),
    Departure(
        "trailer fields are dropped unread",
        "RFC 9110 6.5.1; h11 judges framing fields in a trailer section as if they were in the head.",
        False,
        with_pattern(rb"(?i)\n0[^\n]*\n.*(?:content-length|transfer-encoding):"),
        chunked(b"0\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ),
    Departure(
        "zeros before a length mean nothing",
        "RFC 9110 8.6 is 1*DIGIT; h11 bounds the digits at 20.",
        False,
        with_pattern(rb"(?i)\ncontent-length:[ \t]*0[0-9]{20}"),
        sized(b"0" * 30 + b"1", b"x"),
    ),
]


def departure_of(octets: bytes, *, stricter: bool) -> Departure | None:
    return next((row for row in DEPARTURES if row.stricter is stricter and row.seen_in(octets)), None)


def check(octets: bytes) -> None:
    ours, theirs = read_by_us(octets), read_by_h11(octets)
    if ours is None or theirs is None:
        if ours is not theirs:
            assert departure_of(octets, stricter=ours is None), f"ours {ours}, theirs {theirs}, of {octets!r}"
    else:
        assert ours == theirs


@pytest.mark.parametrize("departure", DEPARTURES, ids=[row.name for row in DEPARTURES])
def test_each_departure_is_one(departure: Departure) -> None:
    """The row's example is read by one side and refused by the other, and by no row before it excused."""
    ours, theirs = read_by_us(departure.example), read_by_h11(departure.example)
    assert (ours is None, theirs is None) == (departure.stricter, not departure.stricter)
    assert departure_of(departure.example, stricter=departure.stricter) is departure


@pytest.mark.parametrize("octets", [row[1] for row in ACCEPTED if len(row[1]) < 2000])
def test_h11_agrees_with_the_rows_that_are_accepted(octets: bytes) -> None:
    check(octets)
    check(octets + NEXT)


@pytest.mark.parametrize("octets", [row[1] for row in REFUSED if len(row[1]) < 400])
def test_h11_agrees_with_the_rows_that_are_refused(octets: bytes) -> None:
    check(octets)


def mostly(good: list[bytes], rare: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(good * 3 + rare)


REQUEST_LINE = st.tuples(
    mostly([b"GET", b"POST", b"HEAD", b"DELETE"], [b"get", b"", b"BREW", b"G T", b"G:", b"OPTIONS"]),
    mostly([b" "], [b"  ", b"\t", b""]),
    mostly([b"/", b"/a?b=c", b"/%41"], [b"", b"*", b"a", b"http://a/", b"/a b", b"/\xe4", b"/a#b", b"/\x7f"]),
    mostly([b" "], [b"  ", b"\t", b""]),
    mostly([b"HTTP/1.1", b"HTTP/1.0"], [b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.", b"HTTP/1.1 ", b""]),
    mostly([b"\r\n"], [b"\n", b"\r", b"\r\r\n", b"\r\n "]),
).map(b"".join)

FIELD = st.one_of(
    mostly([b"Accept: */*\r\n", b"N:\r\n", b"a: b\tc \r\n", b"x: \xff\r\n"], [b"n : v\r\n", b"nv\r\n", b" n: v\r\n"]),
    mostly([b"Connection: close\r\n", b"Connection: keep-alive\r\n"], [b"n: v\n", b"n: a\rb\r\n", b"n: a\x00b\r\n"]),
    mostly([b"Expect: 100-continue\r\n"], [b"Expect: x\r\n", b": v\r\n", b"n\xff: v\r\n", b"n: a\x0bb\r\n"]),
)
HOST = mostly([b"Host: a\r\n", b"host: a:80\r\n", b"HOST:\r\n"], [b"", b"Host: a\r\nHost: a\r\n", b"Host: a@b\r\n"])
LENGTH = mostly(
    [b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"content-length:03 \r\n"],
    [
        b"Content-Length: %b\r\n" % value
        for value in (b"", b"-3", b"+3", b"3 3", b"3,3", b"0x3", b"3_", b"\xb3", b"3.0")
    ],
)
CODING = mostly(
    [b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:\tCHUNKED\r\n"],
    [
        b"Transfer-Encoding: %b\r\n" % value
        for value in (b"", b"gzip, chunked", b"chunked, chunked", b"x", b"\x0bchunked")
    ],
)
CHUNKS = st.tuples(
    mostly(
        [b"3\r\nabc\r\n", b"", b"A\r\n0123456789\r\n"], [b"3\nabc\r\n", b"3\r\nabcd\r\n", b"+3\r\nabc\r\n", b"\r\n"]
    ),
    mostly(
        [b"1;a=b\r\nx\r\n", b""], [b"1 \r\nx\r\n", b"1;\r\nx\r\n", b"0x1\r\nx\r\n", b"1\r\nx\n", b"g\r\n", b"1_0\r\n"]
    ),
    mostly([b"0\r\n", b"00\r\n"], [b"0\n", b"", b"-0\r\n"]),
    mostly([b"", b"n: v\r\n"], [b"n v\r\n", b"n: v\n", b" n: v\r\n", b"n: \x00\r\n"]),
    mostly([b"\r\n"], [b"\n", b"", b"x"]),
).map(b"".join)
BODY = st.sampled_from([b"", b"abc", b"abcdef", NEXT]) | CHUNKS


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message out of pieces, each of them good most of the time; one with framing mostly gets a fitting body."""
    fields = draw(st.lists(FIELD, max_size=3))
    body = b""
    framing = draw(st.sampled_from(["none", "none", "length", "chunks", "any"]))
    if framing == "length":
        fields.append(draw(LENGTH))
        body = b"abc"
    elif framing == "chunks":
        fields.append(draw(CODING))
        body = draw(CHUNKS)
    elif framing == "any":
        fields += draw(st.lists(LENGTH | CODING, max_size=2))
        body = draw(BODY)
    fields.append(draw(HOST))
    section = b"".join(draw(st.permutations(fields)))
    end = draw(mostly([b"\r\n"], [b"\n", b"", b"\r"]))
    return draw(REQUEST_LINE) + section + end + body + draw(st.sampled_from([b"", NEXT]))


@settings(max_examples=800, deadline=None)
@given(messages())
def test_h11_agrees_with_messages_out_of_pieces(octets: bytes) -> None:
    check(octets)


@settings(max_examples=200, deadline=None)
@given(mutated())
def test_h11_agrees_with_mutated_rows(octets: bytes) -> None:
    check(octets)
