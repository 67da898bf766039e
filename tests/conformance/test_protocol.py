"""HTTP/1.1 as the RFCs have it, on a running service: bytes in, statuses out, and whether the connection lives on.

Each row is sent over plain TCP and over TLS: whole, byte by byte, and with another request behind it in the same
write. A row names the section that decides it. What a client can be slow or deaf in is tests/integration/.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Final, NamedTuple

import pytest

from tests.support.raw_client import RawClient
from tests.support.transports import TRANSPORTS, Service, service_over

pytestmark = pytest.mark.integration

ENV: Final = {"RATE_LIMIT_REQUESTS": "0", "ACCESS_LOG": "off"}
NEXT: Final = b"GET /api/health/live HTTP/1.1\r\nHost: next\r\n\r\n"
ONE_BY_ONE: Final = 600  # bytes at the beginning and at the end of a message that are sent one by one


class Row(NamedTuple):
    """``statuses``: of the final responses, in order; ``closes``: the service ends the connection behind them."""

    authority: str
    name: str
    octets: bytes
    statuses: tuple[int, ...]
    closes: bool = False


def get(*fields: bytes, line: bytes = b"GET /api/health/live HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    """A request without a body; ``host`` empty: without that field."""
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""])


def target(value: bytes, method: bytes = b"GET") -> bytes:
    return get(line=b"%b %b HTTP/1.1" % (method, value))


BODY: Final = b'{"identity":"player-1@sports.api.yourbook.com/v1:id"}'
VALIDATE: Final = b"POST /api/v1/validate HTTP/1.1"


def sized(length: bytes, body: bytes = BODY, *fields: bytes) -> bytes:
    return get(b"Content-Length: " + length, *fields, line=VALIDATE) + body


def chunked(body: bytes, *fields: bytes, coding: bytes = b"chunked") -> bytes:
    return get(b"Transfer-Encoding: " + coding, *fields, line=VALIDATE) + body


def json(body: bytes, *fields: bytes) -> bytes:
    return sized(b"%d" % len(body), body, *fields)


CHUNKS: Final = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LIVE: Final = get()
LONG: Final = b"a" * 8193

GOOD: Final = [
    Row("RFC 9112 3", "a request", LIVE, (200,)),
    Row("RFC 9112 2.2", "a CRLF in front of it", b"\r\n" + LIVE, (200,)),
    Row("RFC 9112 2.3", "a later minor version", get(line=b"GET /api/health/live HTTP/1.2"), (200,)),
    Row("RFC 9112 9.3.2", "three pipelined", LIVE + sized(b"%d" % len(BODY)) + LIVE, (200, 200, 200)),
    Row("RFC 9112 3.2", "an empty Host", get(host=b"Host:"), (200,)),
    Row("RFC 9112 3.2.2", "absolute-form", target(b"http://b.example/api/health/live"), (200,)),
    Row("RFC 9112 3.2.4", "OPTIONS *", target(b"*", b"OPTIONS"), (204,)),
    Row("RFC 9110 5.5", "obs-text in a value", get(b"X: \x80\xff"), (200,)),
    Row("RFC 9110 5.1", "names in any case", get(b"hOST: a", host=b""), (200,)),
    Row("RFC 9112 5", "white space around a value", get(b"Connection: \t keep-alive \t "), (200,)),
    Row("RFC 9112 6.2", "Content-Length", sized(b"%d" % len(BODY)), (200,)),
    Row("RFC 9110 8.6", "zeros before a length", sized(b"000%d" % len(BODY)), (200,)),
    Row("RFC 9112 7.1", "chunks", chunked(CHUNKS), (200,)),
    Row("RFC 9112 7", "the coding in any case", chunked(CHUNKS, coding=b"CHUNKED"), (200,)),
    Row("RFC 9112 7.1", "each byte a chunk",
        chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"), (200,)),
    Row("RFC 9112 7.1.1", "chunk extensions are ignored",
        chunked(b'%x;a=b ; c="d;\\""\r\n%b\r\n0;e\r\n\r\n' % (len(BODY), BODY)), (200,)),
    Row("RFC 9110 6.5.1", "trailer fields change no framing",
        chunked(CHUNKS[:-2] + b"Content-Length: 9\r\nConnection: close\r\n\r\n"), (200,)),
    Row("RFC 9110 9.3.2", "HEAD", target(b"/api/health/live", b"HEAD"), (200,)),
    Row("RFC 9110 15.5.6", "a known method that is not allowed", target(b"/api/health/live", b"DELETE"), (405,)),
    Row("RFC 9110 15.5.5", "a path that is not there", target(b"/api/none"), (404,)),
    Row("RFC 9112 9.3", "Connection: close", get(b"Connection: close"), (200,), closes=True),
    Row("RFC 9110 7.6.1", "close in any case and in a list", get(b"Connection: a, CLOSE"), (200,), closes=True),
    Row("RFC 9110 5.3", "close in a second line", get(b"Connection: a", b"Connection: close"), (200,), closes=True),
    Row("RFC 9112 9.3", "HTTP/1.0", get(line=b"GET /api/health/live HTTP/1.0"), (200,), closes=True),
    Row("RFC 9112 3.2", "HTTP/1.0 without Host", get(line=b"GET /api/health/live HTTP/1.0", host=b""), (200,),
        closes=True),
    Row("RFC 9112 9.3", "HTTP/1.0 that asks to go on",
        get(b"Connection: keep-alive", line=b"GET /api/health/live HTTP/1.0"), (200,)),
    Row("RFC 9112 9.6", "garbage behind the last request", get(b"Connection: close") + b"\0\0", (200,), closes=True),
]  # fmt: skip

FRAMING: Final = [
    ("RFC 9112 6.3 (5)", "Content-Length with letters", sized(b"5a"), 400),
    ("RFC 9110 8.6", "Content-Length with a sign", sized(b"+5"), 400),
    ("RFC 9110 8.6", "Content-Length below zero", sized(b"-5"), 400),
    ("RFC 9110 8.6", "Content-Length in hexadecimal", sized(b"0x5"), 400),
    ("RFC 9110 8.6", "Content-Length with an underscore", sized(b"5_0"), 400),
    ("RFC 9110 8.6", "Content-Length in digits of another script", sized("\u0665".encode()), 400),
    ("RFC 9110 8.6", "an empty Content-Length", sized(b""), 400),
    ("RFC 9112 6.3 (5)", "two values of Content-Length", sized(b"53, 53"), 400),
    ("RFC 9112 6.3 (5)", "two lines of Content-Length", sized(b"53", BODY, b"Content-Length: 54"), 400),
    ("RFC 9110 15.5.14", "a length of 2**64 and some", sized(b"18446744073709551669"), 413),
    ("RFC 9112 6.1", "Content-Length and Transfer-Encoding", chunked(CHUNKS, b"Content-Length: 5"), 400),
    ("RFC 9112 6.1", "chunks in HTTP/1.0", chunked(CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    ("RFC 9112 7.1", "chunked twice", chunked(CHUNKS, coding=b"chunked, chunked"), 400),
    ("RFC 9112 7.1", "chunked in two lines", chunked(CHUNKS, b"Transfer-Encoding: chunked"), 400),
    ("RFC 9112 6.1", "a coding that we don't know", chunked(CHUNKS, coding=b"gzip, chunked"), 501),
    ("RFC 9112 6.1", "identity", chunked(CHUNKS, coding=b"identity"), 501),
    ("RFC 9112 7.1", "a chunk size without a digit", chunked(b"\r\n"), 400),
    ("RFC 9112 7.1", "a chunk size with 0x", chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    ("RFC 9112 7.1", "a chunk size of 17 digits", chunked(b"00000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    ("RFC 9112 7.1", "a chunk longer than its size", chunked(b"2\r\nhello\r\n0\r\n\r\n"), 400),
    ("RFC 9112 7.1", "a chunk with a bare LF", chunked(b"5\nhello\r\n0\r\n\r\n"), 400),
    ("RFC 9110 15.5.14", "a chunk of 2**64 - 1", chunked(b"ffffffffffffffff\r\n"), 413),
    ("RFC 9112 7.1.1", "a chunk extension without end", chunked(b"5;" + b"a" * 2000), 400),
    ("RFC 6585 5", "a trailer without end", chunked(b"0\r\nX: " + b"a" * 9000), 431),
    ("RFC 9112 7.1.2", "a trailer field without a colon", chunked(b"0\r\nX\r\n\r\n"), 400),
]  # fmt: skip

HEADS: Final = [
    ("RFC 9112 3.2", "no Host", get(host=b""), 400),
    ("RFC 9112 3.2", "two Hosts", get(b"Host: a"), 400),
    *(("RFC 9112 3.2", f"Host with {value.decode()}", get(host=b"Host: " + value), 400)
      for value in (b"a@b", b'a"', b"a<b", b"a b", b"a/b", b"a:b")),
    ("RFC 9112 5.1", "a space before the colon", get(b"X : a"), 400),
    ("RFC 9112 5.1", "a space before the colon of Content-Length", get(b"Content-Length : 5") + b"hello", 400),
    ("RFC 9112 5.2", "obs-fold", get(b"X: a", b" b"), 400),
    ("RFC 9112 2.2", "white space before the first field", get(host=b" Host: a"), 400),
    ("RFC 9110 5.5", "NUL in a value", get(b"X: a\0b"), 400),
    ("RFC 9110 5.5", "a bare CR in a value", get(b"X: a\rb"), 400),
    ("RFC 9112 2.2", "a bare LF behind a field", get(b"X: a\nY: b"), 400),
    ("RFC 9112 2.2", "bare LFs only", LIVE.replace(b"\r", b""), 400),
    ("RFC 9112 2.2", "bare CRs only", LIVE.replace(b"\n", b""), 400),
    ("RFC 9110 5.1", "a name that is no token", get(b"X(: a"), 400),
    ("RFC 9110 5.1", "no name", get(b": a"), 400),
    ("RFC 9112 5", "no colon", get(b"X"), 400),
    ("RFC 9112 3", "two spaces", get(line=b"GET  /api/health/live HTTP/1.1"), 400),
    ("RFC 9112 3", "a tab for a space", get(line=b"GET\t/api/health/live HTTP/1.1"), 400),
    ("RFC 9112 3", "no version", get(line=b"GET /api/health/live"), 400),
    ("RFC 9112 3", "four parts", get(line=b"GET /api/health /live HTTP/1.1"), 400),
    ("RFC 9112 2.3", "two digits", get(line=b"GET /api/health/live HTTP/1.10"), 400),
    ("RFC 9112 2.3", "http in lower case", get(line=b"GET /api/health/live http/1.1"), 400),
    ("RFC 9112 2.3", "a digit of another script", get(line="GET /api/health/live HTTP/1.\u0661".encode()), 400),
    ("RFC 9110 15.6.6", "HTTP/2.0", get(line=b"GET /api/health/live HTTP/2.0"), 505),
    ("RFC 9113 3.4", "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("RFC 9110 9.1", "an unknown method", target(b"/", b"BREW"), 501),
    ("RFC 9110 9.1", "a method in lower case", target(b"/", b"get"), 501),
    ("RFC 9110 9.3.6", "CONNECT", target(b"a:443", b"CONNECT"), 501),
    ("RFC 9112 3.2", "a fragment", target(b"/#a"), 400),
    ("RFC 9112 3.2.4", "an asterisk for GET", target(b"*"), 400),
    ("RFC 9110 4.2.4", "userinfo", target(b"http://u:p@a/"), 400),
    ("RFC 3986 2", "a byte beyond ASCII", target(b"/\xe4"), 400),
    ("RFC 9110 15.5.15", "a target that is too long", target(b"/" + LONG), 414),
    ("RFC 9110 15.5.15", "a target without end", b"GET /" + LONG, 414),
    ("RFC 6585 5", "fields that are too long", get(b"X: " + LONG, b"Y: " + LONG), 431),
    ("RFC 6585 5", "fields that are too many", get(*[b"X: a"] * 101), 431),
    ("RFC 6585 5", "a field without end", get(b"X: " + LONG * 2)[:-4], 431),
    ("RFC 9112 2.2", "empty lines in front", b"\r\n" * 3 + LIVE, 400),
    ("RFC 9110 10.1.1", "an expectation that we don't know", get(b"Expect: tea"), 417),
    ("RFC 9110 10.1.1", "100-continue for too much", sized(b"9999999", b"", b"Expect: 100-continue"), 413),
    ("RFC 8446 5.1", "TLS where HTTP is spoken", b"\x16\x03\x01\x02\0\x01\0\x01\xfc", 400),
]  # fmt: skip

INPUT: Final = [
    Row("RFC 3986 2.1", "an escape that is broken", target(b"/api/v1/id?prefix=%zz"), (400,)),
    Row("RFC 3629 3", "a query that is no UTF-8", target(b"/api/v1/id?prefix=%ff"), (400,)),
    Row("WHATWG URL 5.1", "a plus is a space, which no prefix has", target(b"/api/v1/id?prefix=a+b"), (400,)),
    Row("RFC 9457 3", "a parameter twice", target(b"/api/v1/id?prefix=a&prefix=b"), (400,)),
    Row("RFC 8259 8.1", "JSON that is no UTF-8", json(b'{"identity":"\xff"}'), (400,)),
    Row("RFC 8259 6", "NaN", json(b'{"identity":NaN}'), (400,)),
    Row("RFC 8259 9", "JSON that is too deep", json(b"[" * 5000 + b"]" * 5000), (400,)),
    Row("RFC 8259 6", "a number that is too big", json(b'{"identity":1e999}'), (400,)),
    Row("RFC 8259 8.2", "a lone surrogate", json(b'{"identity":"\\ud800"}'), (400,)),
    Row("RFC 8259 4", "a member twice", json(b'{"identity":"a","identity":"b"}'), (400,)),
    Row("RFC 8259 2", "no JSON", json(b"identity"), (400,)),
    Row("RFC 9110 15.5.16", "another media type", json(BODY, b"Content-Type: text/plain"), (415,)),
    Row("RFC 9110 15.5.16", "a content coding", json(BODY, b"Content-Encoding: gzip"), (415,)),
    Row("RFC 9110 5.5", "quotes and escapes in X-Request-Id", get(b'X-Request-Id: "\\%0d%0aX: a'), (200,)),
]

ROWS: Final = [
    *GOOD,
    *(Row(authority, name, octets, (status,), closes=True) for authority, name, octets, status in FRAMING + HEADS),
    *(Row("RFC 9112 9.3.2", f"behind a good one: {name}", LIVE + octets, (200, status), closes=True)
      for _, name, octets, status in (FRAMING + HEADS)[::7]),
    *INPUT,
]  # fmt: skip


def connect(service: Service) -> RawClient:
    return RawClient(service.process.port, service.tls)


@pytest.fixture(scope="module", params=TRANSPORTS)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service_over(request.param, tmp_path_factory.mktemp("tls"), **ENV) as service:
        yield service


def checked(response: bytes) -> int:
    """The status of a response that is what every response has to be."""
    head, _, _ = response.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3}) [A-Z]", head)
    assert found is not None, response
    assert re.search(rb"\r\nDate: [A-Z][a-z]{2}, \d\d ", head), "RFC 9110 6.6.1: no Date"
    assert (b"\r\nContent-Length: " in head) == (found[1] != b"204"), "RFC 9110 8.6"
    assert b"Transfer-Encoding" not in head, "RFC 9112 6.1: an answer to HTTP/1.0 has none either"
    assert found[1] < b"400" or b"\r\nContent-Type: application/problem+json" in head, "RFC 9457"
    assert found[1] != b"405" or b"\r\nAllow: " in head, "RFC 9110 15.5.6"
    assert found[1] != b"415" or re.search(rb"\r\nAccept(-Encoding)?: ?", head), "RFC 9110 15.5.16"
    assert found[1] < b"500" or found[1] in (b"501", b"505"), response
    return int(found[1])


def judge(client: RawClient, row: Row) -> None:
    """All final responses have come, in order; then the end where the row has one."""
    found = []
    for _ in row.statuses:
        response = client.response(head=row.octets.startswith(b"HEAD "))
        found.append(checked(response))
        assert (b"\r\nConnection: close" in response) == (row.closes and len(found) == len(row.statuses))
    assert tuple(found) == row.statuses
    if row.closes:
        assert client.response() == b"", "nothing behind it is answered"


@pytest.fixture(params=ROWS, ids=[f"{row.authority}: {row.name}" for row in ROWS])
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


def test_a_message_whole(service: Service, row: Row) -> None:
    with closing(connect(service)) as client:
        client.send(row.octets)
        judge(client, row)
        if not row.closes:
            assert checked(client.ask(NEXT)) == 200


def test_a_message_octet_by_octet(service: Service, row: Row) -> None:
    """A long one in its middle by pieces: it is long because of one part, which has no seams."""
    octets, ends = row.octets, ONE_BY_ONE // 2
    middle = max(len(octets) - 2 * ends, 0)
    sizes = [1] * min(ends, len(octets)) + [1000] * (middle // 1000) + [middle % 1000] + [1] * ends
    with closing(connect(service)) as client:
        at = 0
        for size in sizes:
            if size and octets[at : at + size]:
                client.send(octets[at : at + size])
            at += size
        judge(client, row)
        if not row.closes:
            assert checked(client.ask(NEXT)) == 200


def test_a_message_with_another_one_behind_it(service: Service, row: Row) -> None:
    with closing(connect(service)) as client:
        client.send(row.octets + NEXT)
        judge(client, row)
        if not row.closes:
            assert checked(client.response()) == 200


HALF_CLOSED: Final = [row for row in ROWS if row.octets.endswith(b"\r\n\r\n")]


@pytest.mark.parametrize("service", ["plain"], indirect=True)
@pytest.mark.parametrize("row", HALF_CLOSED, ids=[f"{row.authority}: {row.name}" for row in HALF_CLOSED])
def test_a_client_that_has_half_closed_gets_its_answers(service: Service, row: Row) -> None:
    """RFC 9112 9.6. Over TLS a half-close is close_notify, which tests/server/test_tls.py sends."""
    with closing(connect(service)) as client:
        client.send(row.octets)
        client.half_close()
        for status in row.statuses:
            assert checked(client.response(head=row.octets.startswith(b"HEAD "))) == status
        assert client.response() == b""


EXPECTING: Final = get(b"Content-Length: %d" % len(BODY), b"Expect: 100-continue", line=VALIDATE)


def test_100_is_sent_when_the_body_has_not_come(service: Service) -> None:
    """RFC 9110 10.1.1."""
    with closing(connect(service)) as client:
        client.send(EXPECTING)
        assert client.interim() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert checked(client.ask(BODY)) == 200


@pytest.mark.parametrize(
    "octets", [EXPECTING + BODY, EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") + BODY, get(b"Expect: 100-continue")]
)
def test_no_100_is_sent_with_the_body_there_to_http_1_0_and_without_a_body(service: Service, octets: bytes) -> None:
    """RFC 9110 10.1.1."""
    with closing(connect(service)) as client:
        response = client.ask(octets)
        assert b" 100 " not in response
        assert checked(response) == 200


def test_head_has_the_header_of_get(service: Service) -> None:
    """RFC 9110 9.3.2."""
    with closing(connect(service)) as client:
        heads = [client.ask(target(b"/api/docs", method)).partition(b"\r\n\r\n")[0] for method in (b"GET", b"HEAD")]
    own = rb"(Date|X-Request-Id): .*"  # of each response
    assert re.sub(own, b"", heads[0]) == re.sub(own, b"", heads[1])
