"""The parser on whole streams: what is a request, which status has what is none, and that no cut changes either.

Each row is run whole, byte by byte and with a request behind it; ``hypothesis`` adds random cuts of the rows and of
mutated rows.
"""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arsenal_fast.errors import MessageError
from arsenal_fast.http.parser import Limits, RequestParser
from arsenal_fast.http.request import Request

Summary = tuple[bytes, bytes, bytes]
"""Method, target and body."""


class Outcome(NamedTuple):
    """Everything that a stream of bytes leads to."""

    requests: tuple[tuple[object, ...], ...]
    status: int | None
    idle: bool
    in_body: bool

    @property
    def summaries(self) -> tuple[tuple[object, ...], ...]:
        return tuple((request[0], request[1], request[-1]) for request in self.requests)


def facts(request: Request) -> tuple[object, ...]:
    fields = tuple(getattr(request.fields, name) for name in type(request.fields).__slots__)
    return (
        request.method,
        request.target,
        request.path,
        request.query,
        request.minor,
        request.keep_alive,
        fields,
        request.body,
    )


def run(parts: list[bytes], limits: Limits | None = None) -> Outcome:
    parser = RequestParser(limits or Limits())
    requests: list[tuple[object, ...]] = []
    status = None
    for part in parts:
        parser.feed(part)
        try:
            while (request := parser.next_request()) is not None:
                requests.append(facts(request))
        except MessageError as error:
            assert status is None, "an error is raised once"
            status = error.status
            assert parser.next_request() is None
    return Outcome(tuple(requests), status, parser.idle, parser.in_body)


def one_by_one(octets: bytes) -> list[bytes]:
    return [octets[i : i + 1] for i in range(len(octets))]


HOST = b"Host: a\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: n\r\n\r\n"


def line(request_line: bytes) -> bytes:
    return request_line + b"\r\n" + HOST + b"\r\n"


def head(*lines: bytes, request_line: bytes = b"GET / HTTP/1.1") -> bytes:
    return request_line + b"\r\n" + HOST + b"".join(field + b"\r\n" for field in lines) + b"\r\n"


def bare(*lines: bytes, request_line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A head whose Host, if any, is among ``lines``."""
    return request_line + b"\r\n" + b"".join(field + b"\r\n" for field in lines) + b"\r\n"


def chunked(body: bytes) -> bytes:
    return head(b"Transfer-Encoding: chunked", request_line=b"POST /c HTTP/1.1") + body


def sized(length: bytes, body: bytes) -> bytes:
    return head(b"Content-Length: " + length, request_line=b"POST /s HTTP/1.1") + body


ROOT: Summary = (b"GET", b"/", b"")

# Complete and good: name, bytes, what the requests are.
ACCEPTED: list[tuple[str, bytes, list[Summary]]] = [
    ("the least there is", bare(b"Host:"), [ROOT]),
    ("a later minor version", line(b"GET / HTTP/1.9"), [ROOT]),
    ("one leading CRLF", b"\r\n" + line(b"GET / HTTP/1.1"), [ROOT]),
    ("a CRLF between two", (b"\r\n" + line(b"GET / HTTP/1.1")) * 2, [ROOT, ROOT]),
    ("a query with question marks", line(b"GET /a?b?c HTTP/1.1"), [(b"GET", b"/a?b?c", b"")]),
    ("octets that no URI holds and nobody confuses",
     line(b'GET /"<>\\^`{|} HTTP/1.1'), [(b"GET", b'/"<>\\^`{|}', b"")]),
    ("absolute-form", line(b"GET http://b.example/p?q HTTP/1.1"), [(b"GET", b"http://b.example/p?q", b"")]),
    ("asterisk-form", line(b"OPTIONS * HTTP/1.1"), [(b"OPTIONS", b"*", b"")]),
    *[
        (method.decode(), line(method + b" / HTTP/1.1"), [(method, b"/", b"")])
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH")
    ],
    ("the longest target", line(b"GET /" + b"a" * 8191 + b" HTTP/1.1"), [(b"GET", b"/" + b"a" * 8191, b"")]),
    ("a hundred fields", head(*[b"n: v"] * 99), [ROOT]),
    ("the longest section", head(b"n:" + b"v" * (16384 - len(HOST) - 6)), [ROOT]),
    ("obs-text in a value", head(b"n: \x80\xff\xc3\xa4"), [ROOT]),
    ("HTAB in a value", head(b"n:\ta\tb\t"), [ROOT]),
    ("an empty value", head(b"n:"), [ROOT]),
    ("a name of every tchar", head(b"!#$%&'*+-.^_`|~09azAZ: v"), [ROOT]),
    ("Content-Length of a GET", head(b"Content-Length: 3") + b"abc", [(b"GET", b"/", b"abc")]),
    ("Content-Length of nothing", sized(b"0", b""), [(b"POST", b"/s", b"")]),
    ("Content-Length with zeros in front", sized(b"000003", b"abc"), [(b"POST", b"/s", b"abc")]),
    ("a body that looks like a request", sized(b"%d" % len(NEXT), NEXT), [(b"POST", b"/s", NEXT)]),
    ("a chunk", chunked(b"3\r\nabc\r\n0\r\n\r\n"), [(b"POST", b"/c", b"abc")]),
    ("no chunk", chunked(b"0\r\n\r\n"), [(b"POST", b"/c", b"")]),
    ("chunk sizes in hexadecimal",
     chunked(b"a\r\n0123456789\r\nB\r\n0123456789a\r\n000\r\n\r\n"), [(b"POST", b"/c", b"01234567890123456789a")]),
    ("chunk data that looks like framing",
     chunked(b"7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n"), [(b"POST", b"/c", b"0\r\n\r\n\r\n")]),
    ("chunk extensions",
     chunked(b'1;a\r\nx\r\n1 ; b = c;d="e;\\"\xff"\r\ny\r\n0;z\r\n\r\n'), [(b"POST", b"/c", b"xy")]),
    ("trailer fields", chunked(b"1\r\nx\r\n0\r\nContent-Length: 9\r\nn: v\r\n\r\n"), [(b"POST", b"/c", b"x")]),
    ("trailer fields up to their bound",
     chunked(b"0\r\nn:" + b"v" * (8192 - 6) + b"\r\n\r\n"), [(b"POST", b"/c", b"")]),
    ("pipelined with bodies", sized(b"2", b"ab") + chunked(b"1\r\nc\r\n0\r\n\r\n") + line(b"GET / HTTP/1.1"),
     [(b"POST", b"/s", b"ab"), (b"POST", b"/c", b"c"), ROOT]),
    ("100-continue with its body", head(b"Expect: 100-Continue", b"Content-Length: 1") + b"x", [(b"GET", b"/", b"x")]),
    ("Host of an IPv6 address", bare(b"Host: [2001:db8::1]:8080"), [ROOT]),
    ("HTTP/1.0 without Host", bare(b"Connection: keep-alive", request_line=b"GET / HTTP/1.0"), [ROOT]),
]  # fmt: skip

# Faults: name, bytes, status. One test puts a complete valid request before each, another one behind it.
REFUSED: list[tuple[str, bytes, int]] = [
    ("two CRLFs in front", b"\r\n\r\n" + line(b"GET / HTTP/1.1"), 400),
    ("a bare LF in front", b"\n" + line(b"GET / HTTP/1.1"), 400),
    ("a bare CR in front", b"\r" + line(b"GET / HTTP/1.1"), 400),
    ("a space in front", b" " + line(b"GET / HTTP/1.1"), 400),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
    ("no version", b"GET /\r\n\r\n", 400),
    ("no target", b"GET  HTTP/1.1\r\n\r\n", 400),
    ("no method", b"/ HTTP/1.1\r\n\r\n", 400),
    ("an empty method", line(b" / HTTP/1.1"), 400),
    ("one word", b"GET\r\n\r\n", 400),
    ("two spaces behind the method", line(b"GET  / HTTP/1.1"), 400),
    ("two spaces before the version", line(b"GET /  HTTP/1.1"), 400),
    ("a space behind the version", line(b"GET / HTTP/1.1 "), 400),
    ("HTAB for a space", line(b"GET\t/ HTTP/1.1"), 400),
    ("four parts", line(b"GET / a HTTP/1.1"), 400),
    ("a bare LF behind the request line", b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    ("a bare CR behind the request line", b"GET / HTTP/1.1\r" + HOST + b"\r\n", 400),
    ("a short version and LF", b"GET / HTTP/1\n", 400),
    ("a method of no token", line(b"G(T / HTTP/1.1"), 400),
    ("an unknown method", line(b"BREW / HTTP/1.1"), 501),
    ("a method in lower case", line(b"get / HTTP/1.1"), 501),
    ("a method that only begins like a known one", line(b"GETS / HTTP/1.1"), 501),
    ("a method without end", b"A" * 33, 501),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/3", line(b"GET / HTTP/3.0"), 505),
    ("HTTP/0.9", line(b"GET / HTTP/0.9"), 400),
    ("HTTP/1", line(b"GET / HTTP/1"), 400),
    ("HTTP/1.", line(b"GET / HTTP/1."), 400),
    ("HTTP/1.10", line(b"GET / HTTP/1.10"), 400),
    ("HTTP/01.1", line(b"GET / HTTP/01.1"), 400),
    ("http/1.1", line(b"GET / http/1.1"), 400),
    ("HTTP/1.x", line(b"GET / HTTP/1.x"), 400),
    ("HTTP/1,1", line(b"GET / HTTP/1,1"), 400),
    ("another digit of Unicode", line("GET / HTTP/1.١".encode()), 400),
    ("RTSP", line(b"OPTIONS / RTSP/1.0"), 400),
    ("a long target", b"GET /" + b"a" * 8192, 414),
    ("a long target with all behind it", line(b"GET /" + b"a" * 8192 + b" HTTP/1.1"), 414),
    ("a long query", line(b"GET /?" + b"a" * 8191 + b" HTTP/1.1"), 414),
    ("a long target that is bad behind its bound", b"GET /" + b"a" * 8192 + b"\x00", 414),
    ("a long target that is bad before its bound", b"GET /\x00" + b"a" * 8192, 400),
    ("a fragment", line(b"GET /a#b HTTP/1.1"), 400),
    ("a fragment behind a query", line(b"GET /a?b#c HTTP/1.1"), 400),
    ("UTF-8 in the target", line("GET /ä HTTP/1.1".encode()), 400),
    ("NUL in the target", line(b"GET /\x00 HTTP/1.1"), 400),
    ("DEL in the target", line(b"GET /\x7f HTTP/1.1"), 400),
    ("CR in the target", line(b"GET /\ra HTTP/1.1"), 400),
    ("a target without slash", line(b"GET a HTTP/1.1"), 400),
    ("asterisk-form of GET", line(b"GET * HTTP/1.1"), 400),
    ("an asterisk and more", line(b"OPTIONS *a HTTP/1.1"), 400),
    ("authority-form of GET", line(b"GET a:80 HTTP/1.1"), 400),
    *[
        (f"CONNECT {target}", line(f"CONNECT {target} HTTP/1.1".encode()), 501)
        for target in ("a.example:443", "[::1]:443", "/", "/p?q", "http://a.example/", "*", "a", "a:", ":1", "a:65536")
    ],
    ("absolute-form of ftp", line(b"GET ftp://a/ HTTP/1.1"), 400),
    ("absolute-form without host", line(b"GET http:///a HTTP/1.1"), 400),
    ("absolute-form with a port alone", line(b"GET http://:80/ HTTP/1.1"), 400),
    ("absolute-form with userinfo", line(b"GET http://u:p@a/ HTTP/1.1"), 400),
    ("absolute-form with a bad host", line(b"GET http://a[/ HTTP/1.1"), 400),
    ("absolute-form with a fragment", line(b"GET http://a/#b HTTP/1.1"), 400),
    ("absolute-form without Host", bare(request_line=b"GET http://a/ HTTP/1.1"), 400),
    ("a hundred and one fields", head(*[b"n: v"] * 100), 431),
    ("a hundred and one fields, and no end", head(*[b"n: v"] * 100)[:-2], 431),
    ("a bad field, then too many", head(b"n v", *[b"n: v"] * 100), 400),
    ("too many fields, then a bad one", head(*[b"n: v"] * 100, b"n v"), 431),
    ("a section one byte too long", head(b"n:" + b"v" * (16385 - len(HOST) - 6)), 431),
    ("a field line without end", b"GET / HTTP/1.1\r\nn:" + b"v" * 16382, 431),
    ("a field name without end", b"GET / HTTP/1.1\r\n" + b"n" * 16384, 431),
    ("a section that ends where its empty line should", b"GET / HTTP/1.1\r\nn:" + b"v" * 16380 + b"\r\n", 431),
    ("a bad field, then a section without end", head(b"n v")[:-2] + b"n" * 16384, 400),
    ("a bare LF behind a field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    ("bare LFs at the end", b"GET / HTTP/1.1\r\nHost: a\n\n", 400),
    ("a bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("a bare CR in a value", head(b"n: a\rb"), 400),
    ("two CRs", head(b"n: a\r"), 400),
    ("a bare LF in a value", head(b"n: a\nb: c"), 400),
    ("NUL in a value", head(b"n: a\x00b"), 400),
    ("VT before a value", head(b"n:\x0bv"), 400),
    ("DEL in a value", head(b"n: \x7f"), 400),
    ("NUL in a name", head(b"n\x00: v"), 400),
    ("obs-fold", head(b"n: a", b" b: c"), 400),
    ("obs-fold with HTAB", head(b"n: a", b"\tb"), 400),
    ("a space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("a line of spaces", head(b"  "), 400),
    ("a space before the colon", head(b"n : v"), 400),
    ("HTAB before the colon", head(b"n\t: v"), 400),
    ("Transfer-Encoding with a space before the colon", head(b"Transfer-Encoding : chunked"), 400),
    ("no name", head(b": v"), 400),
    ("no colon", head(b"nv"), 400),
    ("a name of no token", head(b"n(a): v"), 400),
    ("a name in UTF-8", head("nä: v".encode()), 400),
    ("no Host", bare(), 400),
    ("two Hosts", head(b"Host: a"), 400),
    ("two Hosts in HTTP/1.0", head(b"host: b", request_line=b"GET / HTTP/1.0"), 400),
    ("Host with userinfo", bare(b"Host: a@b"), 400),
    ("Host with a space", bare(b"Host: a b"), 400),
    ('Host with "', bare(b'Host: a"'), 400),
    ("Host with <", bare(b"Host: <"), 400),
    ("Host with a path", bare(b"Host: a/"), 400),
    ("Content-Length twice", head(b"Content-Length: 1", b"Content-Length: 1") + b"x", 400),
    ("Content-Length listed", sized(b"1, 1", b"x"), 400),
    ("Content-Length negative", sized(b"-1", b"x"), 400),
    ("Content-Length signed", sized(b"+1", b"x"), 400),
    ("Content-Length empty", sized(b"", b""), 400),
    ("Content-Length in hexadecimal", sized(b"0x1", b"x"), 400),
    ("Content-Length with an underscore", sized(b"1_0", b"x" * 10), 400),
    ("Content-Length beyond the bound", sized(b"1048577", b""), 413),
    ("Content-Length of 2**64", sized(b"18446744073709551616", b""), 413),
    ("Content-Length of 2**64 and one", sized(b"18446744073709551617", b"x"), 413),
    ("Content-Length of 5,000 digits", sized(b"9" * 5000, b""), 413),
    ("Content-Length beyond the bound, asking for 100", head(b"Expect: 100-continue", b"Content-Length: 1048577"), 413),
    ("Content-Length and Transfer-Encoding",
     head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    ("Transfer-Encoding and Content-Length",
     head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n", 400),
    ("Transfer-Encoding in HTTP/1.0",
     head(b"Transfer-Encoding: chunked", request_line=b"POST / HTTP/1.0") + b"0\r\n\r\n", 400),
    ("chunked twice", head(b"Transfer-Encoding: chunked, chunked"), 400),
    ("chunked in two lines", head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    ("gzip, chunked", head(b"Transfer-Encoding: gzip, chunked"), 501),
    ("identity", head(b"Transfer-Encoding: identity"), 501),
    ("another expectation", head(b"Expect: 200-ok"), 417),
    ("a chunk size of nothing", chunked(b"\r\n"), 400),
    ("a chunk size of no digit", chunked(b"g\r\n"), 400),
    ("a chunk size with a sign", chunked(b"+1\r\nx\r\n0\r\n\r\n"), 400),
    ("a chunk size with 0x", chunked(b"0x1\r\nx\r\n0\r\n\r\n"), 400),
    ("a chunk size with an underscore", chunked(b"1_0\r\n"), 400),
    ("a chunk size with a space", chunked(b"1 \r\nx\r\n0\r\n\r\n"), 400),
    ("a chunk size of 17 digits", chunked(b"00000000000000001\r\nx\r\n"), 400),
    ("a chunk size and a bare LF", chunked(b"1\nx\r\n0\r\n\r\n"), 400),
    ("a chunk extension with NUL", chunked(b"1;a=\x00\r\nx\r\n0\r\n\r\n"), 400),
    ("a chunk extension with CR", chunked(b"1;a\rb\r\nx\r\n0\r\n\r\n"), 400),
    ("a chunk extension with LF", chunked(b'1;a="\n"\r\nx\r\n0\r\n\r\n'), 400),
    ("a chunk extension without end", chunked(b"1;" + b"a" * 1022), 400),
    ("chunk extensions without end",
     chunked(b"1;" + b"a" * 1000 + b"\r\nx\r\n") + (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 17, 400),
    ("a chunk longer than said", chunked(b"1\r\nxy\r\n0\r\n\r\n"), 400),
    ("a chunk shorter than said", chunked(b"3\r\nx\r\n0\r\n\r\n"), 400),
    ("a chunk and a bare LF", chunked(b"1\r\nx\n0\r\n\r\n"), 400),
    ("a chunk and a bare CR", chunked(b"1\r\nx\r0\r\n\r\n"), 400),
    ("a chunk beyond the bound", chunked(b"100001\r\n"), 413),
    ("a chunk of 2**64 - 1", chunked(b"ffffffffffffffff\r\n"), 413),
    ("a bad trailer field", chunked(b"0\r\nn v\r\n\r\n"), 400),
    ("a folded trailer field", chunked(b"0\r\nn: v\r\n w\r\n\r\n"), 400),
    ("a trailer field with a bare LF", chunked(b"0\r\nn: v\n\r\n"), 400),
    ("a bare LF for the last line", chunked(b"0\r\n\n"), 400),
    ("a trailer section without end", chunked(b"0\r\nn:" + b"v" * 8190), 431),
    ("a trailer section one byte too long", chunked(b"0\r\nn:" + b"v" * (8193 - 6) + b"\r\n\r\n"), 431),
    ("too many trailer fields", chunked(b"0\r\n" + b"n:\r\n" * 101), 431),
    ("Authorization twice", head(b"Authorization: a", b"Authorization: b"), 400),
    ("Origin twice", head(b"Origin: a", b"Origin: b"), 400),
    ("Content-Type twice", head(b"Content-Type: a", b"Content-Type: b"), 400),
    ("a bad escape of a host", bare(b"Host: %zz"), 400),
]  # fmt: skip

# Not complete, and nothing wrong so far: name, bytes, whether the head is complete, whether the parser is idle.
UNFINISHED: list[tuple[str, bytes, bool, bool]] = [
    ("nothing", b"", False, True),
    ("half a CRLF", b"\r", False, True),
    ("a CRLF", b"\r\n", False, True),
    ("a CRLF behind a request", line(b"GET / HTTP/1.1") + b"\r\n", False, True),
    ("a request", line(b"GET / HTTP/1.1"), False, True),
    ("a first letter", b"G", False, False),
    ("a first letter behind a CRLF", b"\r\nG", False, False),
    ("a method", b"GET ", False, False),
    ("a letter of no method, which may be the line's fault yet", b"get ", False, False),
    ("half a target", b"GET /a", False, False),
    ("half a version", b"GET / HTTP/1.", False, False),
    ("a request line", b"GET / HTTP/1.1\r\n", False, False),
    ("half a field", b"GET / HTTP/1.1\r\nHost", False, False),
    ("a head without its empty line", head()[:-2], False, False),
    ("a head without its last byte", head()[:-1], False, False),
    ("a head with a body to come", sized(b"1", b""), True, False),
    ("half a body", sized(b"2", b"x"), True, False),
    ("a chunked head", chunked(b""), True, False),
    ("half a chunk size", chunked(b"1"), True, False),
    ("half a chunk", chunked(b"2\r\nx"), True, False),
    ("a chunk without its CRLF", chunked(b"1\r\nx"), True, False),
    ("a chunk with half its CRLF", chunked(b"1\r\nx\r"), True, False),
    ("the last chunk without its empty line", chunked(b"0\r\n"), True, False),
    ("a trailer field", chunked(b"0\r\nn: v\r\n"), True, False),
]


@pytest.mark.parametrize(("octets", "requests"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_accepted(octets: bytes, requests: list[Summary]) -> None:
    """A good message is read as itself: whole, byte by byte and with a request behind it."""
    whole = run([octets])
    assert (whole.summaries, whole.status, whole.idle, whole.in_body) == (tuple(requests), None, True, False)
    assert run(one_by_one(octets)) == whole
    followed = run([octets + NEXT])
    assert followed == run(one_by_one(octets + NEXT)) == run([octets, NEXT])
    assert followed.requests[:-1] == whole.requests
    assert followed.summaries[-1] == (b"GET", b"/next", b"")


@pytest.mark.parametrize(("octets", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(octets: bytes, status: int) -> None:
    """A fault has its status for every split, nothing behind it is a request, and no request before it is lost."""
    assert run([octets]) == ((), status, True, False)
    assert run(one_by_one(octets)) == ((), status, True, False)
    assert run([octets + NEXT]) == ((), status, True, False)
    assert run([octets, NEXT, NEXT]) == ((), status, True, False)
    behind = run([NEXT + octets])
    if octets[:1] != b"\r":
        assert behind == run(one_by_one(NEXT + octets))
        assert (behind.summaries, behind.status) == (((b"GET", b"/next", b""),), status)


@pytest.mark.parametrize(
    ("octets", "in_body", "idle"), [row[1:] for row in UNFINISHED], ids=[row[0] for row in UNFINISHED]
)
def test_unfinished(octets: bytes, in_body: bool, idle: bool) -> None:
    """Of an unfinished message it is known whether anything of it came and whether its head is complete."""
    whole = run([octets])
    assert (whole.status, whole.in_body, whole.idle) == (None, in_body, idle)
    assert run(one_by_one(octets)) == whole


ENDING = [
    (b"GET / HTTP/1.1", b"Connection: close", False),
    (b"GET / HTTP/1.1", b"connection: a, CLOSE", False),
    (b"GET / HTTP/1.1", b"Connection: a\r\nConnection: close", False),
    (b"GET / HTTP/1.1", b"Connection: keep-alive, close", False),
    (b"GET / HTTP/1.1", b"Connection: keep-alive", True),
    (b"GET / HTTP/1.1", b"n: close", True),
    (b"GET / HTTP/1.0", b"n: v", False),
    (b"GET / HTTP/1.0", b"Connection: Keep-Alive", True),
    (b"GET / HTTP/1.0", b"Connection: Keep-Alive, close", False),
    (b"GET / HTTP/1.7", b"n: v", True),
]


@pytest.mark.parametrize(("request_line", "field", "keep_alive"), ENDING)
def test_nothing_behind_a_request_that_ends_the_connection_is_read(
    request_line: bytes, field: bytes, keep_alive: bool
) -> None:
    for behind in (NEXT, b"\x00garbage"):
        octets = head(field, request_line=request_line) + behind
        outcome = run([octets])
        assert outcome == run(one_by_one(octets))
        assert outcome.requests[0][5] is keep_alive
        if not keep_alive:
            assert (len(outcome.requests), outcome.status, outcome.idle) == (1, None, True)


TARGETS = [
    (b"GET", b"/a/b?c=d&e", b"/a/b", b"c=d&e", b"a"),
    (b"GET", b"/?", b"/", b"", b"a"),
    (b"GET", b"//x?/y", b"//x", b"/y", b"a"),
    (b"GET", b"http://b.example:8080/p?q", b"/p", b"q", b"b.example:8080"),
    (b"GET", b"HTTPS://b", b"/", b"", b"b"),
    (b"GET", b"http://[::1]?q", b"/", b"q", b"[::1]"),
    (b"POST", b"http://b/", b"/", b"", b"b"),
    (b"OPTIONS", b"*", b"*", b"", b"a"),
    (b"OPTIONS", b"/x", b"/x", b"", b"a"),
]


@pytest.mark.parametrize(("method", "target", "path", "query", "host"), TARGETS)
def test_a_target_in_each_form_gives_path_query_and_host(
    method: bytes, target: bytes, path: bytes, query: bytes, host: bytes
) -> None:
    octets = line(method + b" " + target + b" HTTP/1.1")
    for parts in ([octets], one_by_one(octets)):
        parser = RequestParser(Limits())
        requests = []
        for part in parts:
            parser.feed(part)
            requests.append(parser.next_request())
        request = requests[-1]
        assert request is not None
        assert (request.method, request.target, request.path, request.query) == (method, target, path, query)
        assert request.fields.host == host


EARLY = [
    ("a target as soon as it is too long", b"GET /" + b"a" * 8191, b"a", 414),
    ("a method as soon as it is too long", b"A" * 32, b"A", 501),
    ("fields as soon as they are too long", b"GET / HTTP/1.1\r\nn:" + b"v" * 16381, b"v", 431),
    ("fields as soon as they are too many", head(*[b"n: v"] * 99)[:-2] + b"n: v\r", b"\n", 431),
    ("a length as soon as the head is complete", sized(b"1048577", b"")[:-1], b"\n", 413),
    ("a chunk as soon as its size is there", chunked(b"100001\r"), b"\n", 413),
    ("a chunk's end at its first wrong byte", chunked(b"1\r\nx"), b"\n", 400),
    ("a request line at its first wrong byte", b"", b"\x16", 400),
    ("a target at its first wrong byte", b"GET /", b"\xc3", 400),
    ("a bare LF behind the version", b"GET / HTTP/1.1", b"\n", 400),
    ("an unknown method at its line's end", b"BREW / HTTP/1.1\r", b"\n", 501),
    ("a later version at its line's end", b"GET / HTTP/2.0\r", b"\n", 505),
    ("a bare LF behind a field", b"GET / HTTP/1.1\r\nHost: a", b"\n", 400),
    ("a folded field at its line's end", b"GET / HTTP/1.1\r\nHost: a\r\n b\r", b"\n", 400),
]


@pytest.mark.parametrize(("before", "byte", "status"), [row[1:] for row in EARLY], ids=[row[0] for row in EARLY])
def test_a_fault_is_raised_with_the_octet_that_proves_it(before: bytes, byte: bytes, status: int) -> None:
    assert run([before]).status is None
    assert run([before, byte]).status == status
    assert run([before + byte]).status == status


def after(octets: bytes, limits: Limits | None = None) -> RequestParser:
    parser = RequestParser(limits or Limits())
    parser.feed(octets)
    assert parser.next_request() is None
    return parser


def expecting(*lines: bytes, minor: int = 1) -> bytes:
    return head(b"Expect: 100-continue", *lines, request_line=b"POST / HTTP/1.%d" % minor)


@pytest.mark.parametrize("framing", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
def test_100_is_asked_for_once_when_the_head_is_complete_and_nothing_of_the_body_came(framing: bytes) -> None:
    parser = after(expecting(framing))
    assert [parser.take_continue(), parser.take_continue()] == [True, False]


@pytest.mark.parametrize("cut", [1, 7, 30, 55])
def test_100_is_asked_for_after_a_head_in_pieces(cut: int) -> None:
    octets = expecting(b"Content-Length: 2")
    parser = after(octets[:cut])
    assert not parser.take_continue()
    parser.feed(octets[cut:])
    assert parser.next_request() is None
    assert parser.take_continue()


NO_CONTINUE = [
    ("the head is not complete", expecting(b"Content-Length: 2")[:-1]),
    ("a byte of the body came", expecting(b"Content-Length: 2") + b"x"),
    ("a byte of a chunk came", expecting(b"Transfer-Encoding: chunked") + b"1"),
    ("it is HTTP/1.0", expecting(b"Content-Length: 2", minor=0)),
    ("nothing is expected", head(b"Content-Length: 2")),
]


@pytest.mark.parametrize("octets", [row[1] for row in NO_CONTINUE], ids=[row[0] for row in NO_CONTINUE])
def test_100_is_not_asked_for(octets: bytes) -> None:
    assert not after(octets).take_continue()


def test_100_is_not_asked_for_when_the_body_came_after_all() -> None:
    parser = after(expecting(b"Content-Length: 2"))
    parser.feed(b"x")
    assert not parser.take_continue()
    parser = after(expecting(b"Content-Length: 2"))
    parser.feed(b"x")
    parser.next_request()
    assert not parser.take_continue()


@pytest.mark.parametrize("octets", [expecting(), expecting(b"Content-Length: 0")])
def test_100_is_not_asked_for_without_a_body(octets: bytes) -> None:
    parser = RequestParser(Limits())
    parser.feed(octets)
    assert parser.next_request() is not None
    assert not parser.take_continue()


def test_an_equal_block_shares_its_fields_and_another_does_not() -> None:
    parser = RequestParser(Limits())
    requests = []
    for octets in (head(b"n: v"), head(b"n: v"), head(b"n: w"), head(b"n: v", b"o: p"), head(b"n: v")):
        parser.feed(octets)
        requests.append(parser.next_request())
    fields = [request.fields for request in requests if request is not None]
    assert fields[0] is fields[1]
    assert len({id(item) for item in fields}) == 4
    assert [item.block for item in fields] == [
        HOST + extra + b"\r\n" for extra in (b"n: v\r\n", b"n: v\r\n", b"n: w\r\n", b"n: v\r\no: p\r\n", b"n: v\r\n")
    ]


def test_a_block_that_http_1_0_may_have_is_judged_again_for_http_1_1() -> None:
    first = bare(b"Connection: keep-alive", request_line=b"GET / HTTP/1.0")
    assert run([first, bare(b"Connection: keep-alive")]).status == 400
    assert run([first + bare(b"Connection: keep-alive")]).status == 400
    second = head(b"Transfer-Encoding: chunked") + b"0\r\n\r\n"
    assert run([second, second.replace(b"1.1", b"1.0")]).status == 400


def test_a_long_block_is_not_remembered() -> None:
    parser = RequestParser(Limits())
    fields = []
    for _ in range(2):
        parser.feed(head(b"n: " + b"v" * 2048))
        request = parser.next_request()
        assert request is not None
        fields.append(request.fields)
    assert fields[0] is not fields[1]


def test_the_limits_are_those_given() -> None:
    limits = Limits(target=9, head=40, fields=2, body=3, chunk_line=8, chunk_extensions=6, trailer=12)
    rows: list[tuple[bytes, int | None]] = [
        (line(b"GET /12345678 HTTP/1.1"), None),
        (line(b"GET /123456789 HTTP/1.1"), 414),
        (head(b"n: v"), None),
        (head(b"n: v", b"n: v"), 431),
        (head(b"n: " + b"v" * 24), None),
        (head(b"n: " + b"v" * 25), 431),
        (sized(b"3", b"abc"), None),
        (sized(b"4", b"abcd"), 413),
    ]
    for octets, status in rows:
        assert run([octets], limits).status == run(one_by_one(octets), limits).status == status
    limits = Limits(body=3, chunk_line=8, chunk_extensions=6, trailer=12)
    rows = [
        (chunked(b"3\r\nabc\r\n0\r\nn: vwxy\r\n\r\n"), None),
        (chunked(b"3\r\nabc\r\n0\r\nn: vwxyz1\r\n\r\n"), 431),
        (chunked(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), 413),
        (chunked(b"1;abcd\r\nx\r\n0\r\n\r\n"), None),
        (chunked(b"1;abcde\r\nx\r\n0\r\n\r\n"), 400),
        (chunked(b"1;ab\r\nx\r\n1;ab\r\nx\r\n0\r\n\r\n"), None),
        (chunked(b"1;ab\r\nx\r\n1;abc\r\nx\r\n0\r\n\r\n"), 400),
    ]
    for octets, status in rows:
        assert run([octets], limits).status == run(one_by_one(octets), limits).status == status


def test_the_largest_legal_head_may_come_byte_by_byte_and_the_largest_body_in_small_pieces() -> None:
    octets = line(b"GET /" + b"a" * 8191 + b" HTTP/1.1")[:-2]
    octets += b"".join(b"%02d: " % i + b"v" * 158 + b"\r\n" for i in range(99)) + b"\r\n"
    assert run(one_by_one(octets)).summaries == ((b"GET", b"/" + b"a" * 8191, b""),)
    body = bytes(range(256)) * 4096
    for message in (sized(b"1048576", body), chunked(b"100000\r\n" + body + b"\r\n0\r\n\r\n")):
        pieces = [message[i : i + 97] for i in range(0, len(message), 97)]
        assert run(pieces).requests[0][-1] == body


def test_a_body_is_not_held_twice() -> None:
    """The received part of a body is in one growing buffer, which is not joined at each feed."""
    for octets in (sized(b"1000000", b""), chunked(b"f0000\r\n")):
        parser = after(octets)
        for _ in range(100):
            parser.feed(b"x" * 1000)
            assert parser.next_request() is None
            assert parser._data == b""


def test_an_error_is_raised_once_and_then_nothing_more_comes() -> None:
    parser = RequestParser(Limits())
    parser.feed(NEXT + b"\x00")
    assert parser.next_request() is not None
    with pytest.raises(MessageError):
        parser.next_request()
    parser.feed(NEXT)
    assert parser.next_request() is None
    assert parser.ended
    assert parser.idle


def test_a_parser_is_untouched_only_in_front_of_a_message_of_which_nothing_came() -> None:
    parser = RequestParser(Limits())
    seen = [parser.untouched]
    for octets in (line(b"GET / HTTP/1.1"), b"\r", b"\n", b"G", line(b"ET / HTTP/1.1")):
        parser.feed(octets)
        parser.next_request()
        seen.append(parser.untouched)
    assert seen == [True, True, False, False, False, True]


# --- cuts ---------------------------------------------------------------------------------------------------------

CORPUS = [row[1] for row in ACCEPTED] + [row[1] for row in REFUSED] + [row[1] for row in UNFINISHED]
SHORT = [octets for octets in CORPUS if len(octets) < 400]
FRAGMENTS = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b";", b",", b"\x00", b"\xff", b"#", b"?", b"0", b"1", b"f",
    b"\r\n ", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/1.0", b"GET ", b"POST ", b"Host: b\r\n", b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n",
    b"1\r\nx\r\n",
]  # fmt: skip
SMALL = Limits(target=40, head=120, fields=5, body=20, chunk_line=16, chunk_extensions=12, trailer=30)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One or two rows with fragments put in, bytes taken out or changed."""
    octets = b"".join(draw(st.lists(st.sampled_from(SHORT), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(octets)))
        gone = draw(st.integers(0, 3))
        octets = octets[:at] + draw(st.sampled_from(FRAGMENTS) | st.just(b"")) + octets[at + gone :]
    return octets


def cut(octets: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(octets) + 1) for place in at), len(octets)]
    return [octets[start:end] for start, end in pairwise(places)]


CUTS = st.lists(st.integers(0, 30_000), max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CORPUS), CUTS)
def test_random_cuts_of_the_rows_change_nothing(octets: bytes, at: list[int]) -> None:
    assert run(cut(octets, at)) == run([octets])


@settings(max_examples=400, deadline=None)
@given(mutated(), CUTS, st.sampled_from([Limits(), SMALL]))
def test_random_cuts_of_mutated_messages_change_nothing(octets: bytes, at: list[int], limits: Limits) -> None:
    whole = run([octets], limits)
    assert run(cut(octets, at), limits) == whole
    assert run(one_by_one(octets), limits) == whole


STATUSES = {400, 413, 414, 417, 431, 501, 505}


@settings(max_examples=300, deadline=None)
@given(mutated(), st.integers(1, 3), CUTS, st.sampled_from([Limits(), SMALL]))
@example(b"GET /" + b"a" * 30 + b" HTTP/1.1\r\nHost: a\r\nn: " + b"v" * 200, 1, [], SMALL)
def test_what_is_held_and_answered_stays_within_its_bounds(
    octets: bytes, copies: int, at: list[int], limits: Limits
) -> None:
    """One client over and over, with another Host each time."""
    stream = b"".join(octets.replace(b"Host: a", b"Host: a%d" % number) for number in range(copies))
    # A method, a target and a version, then the fields; a body is not held in the buffer.
    bound = 32 + limits.target + 16 + limits.head
    parser, ended = RequestParser(limits), False
    faults: list[tuple[bool, int]] = []
    for part in cut(stream, at) if at else one_by_one(stream):
        parser.feed(part)
        try:
            while (request := parser.next_request()) is not None:
                assert not ended, "a request came after the end"
                assert len(request.body) <= limits.body
        except MessageError as error:
            faults.append((ended, error.status))
        assert len(parser._data) - parser._position <= bound
        ended = parser.ended
        assert parser.idle or not ended
    assert all(not late and status in STATUSES for late, status in faults)
    assert len(faults) <= 1
