"""A message matches a template only if the parser would read the same request, with other values in the slots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.errors import MessageError
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.http.template import MAX_BLOCK, REMEMBERED, WORTHWHILE, RequestTemplate, RequestTemplates

LINE = b"GET /api/v1/id?prefix=a&run=1 HTTP/1.1\r\n"
INGRESS = (
    b"Host: id.example\r\nX-Request-ID: 0af7651916cd43dd8448eb211c80319c\r\nX-Real-IP: 198.51.100.7\r\n"
    b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
)
POST = b"POST /api/v1/validate HTTP/1.1\r\n"
WITH_BODY = b"Host: id.example\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"

MATCHES = [
    LINE + INGRESS,
    LINE + INGRESS.replace(b"198.51.100.7", b"2001:db8::1, 10.0.0.1"),
    LINE + INGRESS.replace(b"0af7651916cd43dd8448eb211c80319c", b"x"),
    b"OPTIONS /?? HTTP/1.1\r\n" + INGRESS,
    b"HEAD /%zz HTTP/1.1\r\n" + INGRESS,
]

DOES_NOT_MATCH = [
    LINE + INGRESS.replace(b"curl/8.5.0", b"curl/8.5.1"),
    LINE + INGRESS.replace(b"Host: id.example", b"Host: id.example:80"),
    LINE + INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: "),
    LINE + INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: 198.51.100.7 "),
    LINE + INGRESS.replace(b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For:  198.51.100.7"),
    LINE + INGRESS.replace(b"-For: 198.51.100.7", b"-For: 198.51.100.7\r\nX-Forwarded-For: 10.0.0.1"),
    LINE + INGRESS.replace(b"-For: 198.51.100.7", b"-For: 198.51.100.7\r\nContent-Length: 5"),
    LINE + INGRESS.replace(b"-For: 198.51.100.7", b"-For: 198.51.100.7\nContent-Length: 5"),
    LINE + INGRESS.replace(b"-For: 198.51.100.7", b"-For: 198.51.100.7\rx"),
    LINE + INGRESS.replace(b"198.51.100.7", b"198.51.100.7\0"),
    LINE + INGRESS.replace(b"198.51.100.7", b"198.51.100.7\x80"),
    LINE + INGRESS.replace(b"198.51.100.7", b"198.51.100.7\tx"),
    LINE + INGRESS.replace(b"0af7651916cd43dd8448eb211c80319c", b"x" * 129),
    LINE + INGRESS.replace(b"0af7651916cd43dd8448eb211c80319c", b"x x"),
    LINE + INGRESS.replace(b"198.51.100.7", b"1" * 5000),
    LINE + INGRESS + LINE + INGRESS,
    LINE + INGRESS[:-2],
    LINE + INGRESS[:-1],
    LINE.replace(b"1.1", b"1.0") + INGRESS,
    LINE.replace(b"GET", b"BREW") + INGRESS,
    LINE.replace(b"/api", b"http://h/api") + INGRESS,
    LINE.replace(b" HTTP", b"  HTTP") + INGRESS,
    LINE.replace(b"a&", b"a#&") + INGRESS,
    b"\r\n" + LINE + INGRESS,
    INGRESS,
    b"",
    b"\r\n",
]


def parsed(octets: bytes) -> Request | None:
    """The request that the bytes are, no more and no less; or None."""
    parser = RequestParser(Limits())
    parser.feed(octets)
    try:
        request = parser.next_request()
    except MessageError:
        return None
    return request if request is not None and parser.untouched else None


def template_of(octets: bytes) -> RequestTemplate:
    request = parsed(octets)
    assert request is not None
    template = RequestTemplates(Limits(), worthwhile=1).of(request)
    assert template is not None
    return template


def seen(request: Request) -> dict[str, object]:
    """All that the service can see of a request, but for the bytes of its field block."""
    found = {name: getattr(request, name) for name in Request.__slots__ if name != "fields"}
    return found | {name: getattr(request.fields, name) for name in Fields.__slots__ if name != "block"}


def assert_read_alike(template: RequestTemplate, octets: bytes) -> None:
    match, request = template.match(octets), parsed(octets)
    assert match is not None
    assert request is not None
    made = template.request(match)
    assert made is not None
    assert seen(made) == seen(request)
    assert match[0] == octets.partition(b"\r\n")[0]


@pytest.mark.parametrize("octets", MATCHES)
def test_a_message_with_other_values_in_the_slots_is_read_as_the_parser_reads_it(octets: bytes) -> None:
    assert_read_alike(template_of(LINE + INGRESS), octets)


@pytest.mark.parametrize("octets", DOES_NOT_MATCH)
def test_all_else_is_left_to_the_parser(octets: bytes) -> None:
    assert template_of(LINE + INGRESS).match(octets) is None


TOKEN = b"Host: id.example\r\nAuthorization: Bearer " + b"x" * 300 + b"\r\n"
"""A long part before the first slot."""


def behind_a_token(octets: bytes) -> bytes:
    """The same message with a token before its other fields."""
    return octets.replace(b"Host: id.example\r\n", TOKEN, 1)


@pytest.mark.parametrize("octets", MATCHES)
def test_behind_a_long_part_the_slots_are_read_as_the_parser_reads_them(octets: bytes) -> None:
    assert_read_alike(template_of(LINE + behind_a_token(INGRESS)), behind_a_token(octets))


@pytest.mark.parametrize("octets", DOES_NOT_MATCH)
def test_behind_a_long_part_all_else_is_left_to_the_parser(octets: bytes) -> None:
    """A bad request line is no key of a cache, and no request is built from it."""
    template = template_of(LINE + behind_a_token(INGRESS))
    assert template._start
    match = template.match(behind_a_token(octets))
    assert match is None or template.request(match) is None
    changed = TOKEN.replace(b"x\r\n", b"y\r\n")
    assert template.match(behind_a_token(LINE + INGRESS).replace(TOKEN, changed)) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 1000, b"a\r\n\r\nb\n", bytes(range(256))])
def test_a_body_has_the_length_that_its_field_says(body: bytes) -> None:
    template = template_of(POST + WITH_BODY % (2, b"{}"))
    assert_read_alike(template, POST + WITH_BODY % (len(body), body))
    assert template.match(POST + WITH_BODY % (len(body) + 1, body)) is None
    assert template.match(POST + WITH_BODY % (len(body), body + b"x")) is None


@pytest.mark.parametrize("length", [b"02", b"+2", b" 2", b"2 ", b"2,2", b"0x2", b"2\x00", b"9" * 20, b"-0", b""])
def test_a_length_that_is_written_otherwise_is_left_to_the_parser(length: bytes) -> None:
    octets = POST + WITH_BODY % (2, b"{}")
    assert template_of(octets).match(octets.replace(b"Length: 2", b"Length: " + length)) is None


def test_a_body_over_the_limit_is_left_to_the_parser() -> None:
    request = parsed(POST + WITH_BODY % (2, b"{}"))
    assert request is not None
    template = RequestTemplates(Limits(body=10), worthwhile=1).of(request)
    assert template is not None
    assert template.match(POST + WITH_BODY % (10, b"x" * 10)) is not None
    assert template.match(POST + WITH_BODY % (11, b"x" * 11)) is None


@pytest.mark.parametrize(
    "octets",
    [
        LINE + b"Host: a\r\nX-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n\r\n",
        LINE + b"Host: a\r\nX-Request-Id: a\r\nX-Request-Id: b\r\n\r\n",
        LINE + b"Host: a\r\nX-Forwarded-For: \r\n\r\n",
        LINE + b"Host: a\r\nX-Request-Id: \x80\r\n\r\n",
        LINE + b"Host: a\r\nConnection: close\r\n\r\n",
        LINE + b"Host: a\r\nExpect: 100-continue\r\n\r\n",
        LINE.replace(b"1.1", b"1.0") + b"Host: a\r\nConnection: keep-alive\r\n\r\n",
        LINE.replace(b"/api", b"http://h/api") + b"Host: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        POST + b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        LINE + b"Host: a\r\nCookie: " + b"x" * MAX_BLOCK + b"\r\n\r\n",
    ],
)
def test_what_only_the_parser_can_judge_has_no_template(octets: bytes) -> None:
    parser = RequestParser(Limits())
    parser.feed(octets)
    request = parser.next_request()
    assert request is not None
    assert RequestTemplates(Limits(), worthwhile=1).of(request) is None


FIXED = b"Host: a\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize("line", [LINE, b"OPTIONS /?? HTTP/1.1\r\n", b"GET /" + b"x" * 4000 + b" HTTP/1.1\r\n"])
def test_without_slots_any_line_before_the_same_fields_is_read_as_the_parser_reads_it(line: bytes) -> None:
    assert_read_alike(template_of(LINE + FIXED), line + FIXED)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"BREW / HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"GET http://h/ HTTP/1.1\r\n",
        b"GET /# HTTP/1.1\r\n",
        b"\r\n" + LINE,
        LINE + b"X: y\r\n",
        LINE + FIXED + LINE,
        b"GET /" + b"x" * 4096 + b" HTTP/1.1\r\n",
    ],
)
def test_without_slots_a_line_that_only_the_parser_can_judge_makes_no_request(line: bytes) -> None:
    template = template_of(LINE + FIXED)
    match = template.match(line + FIXED)
    assert match is None or template.request(match) is None


def test_a_template_is_made_when_it_is_worthwhile_and_then_shared() -> None:
    templates = RequestTemplates(Limits())
    request = parsed(LINE + INGRESS)
    assert request is not None
    assert [templates.of(request) for _ in range(WORTHWHILE - 1)] == [None] * (WORTHWHILE - 1)
    template = templates.of(request)
    other = parsed(LINE + INGRESS.replace(b"198.51.100.7", b"198.51.100.8"))
    assert template is not None
    assert other is not None
    assert templates.of(other) is template


def test_however_many_kinds_of_clients_come_few_are_remembered() -> None:
    templates = RequestTemplates(Limits(), worthwhile=2)
    for number in range(3 * REMEMBERED):
        request = parsed(LINE + b"Host: h%d\r\nVia: x\r\n\r\n" % number)
        assert request is not None
        templates.of(request)
        if number % 2:
            templates.of(request)
    assert len(templates._templates) <= REMEMBERED
    assert len(templates._seen) <= REMEMBERED


NAMES = st.sampled_from(
    [
        b"X-Forwarded-For",
        b"x-request-id",
        b"X-Real-IP",
        b"Traceparent",
        b"Accept",
        b"Via",
        b"Expect",
        b"Content-Length",
        b"Arsenal-Subject",
    ]
)
VALUES = st.binary(max_size=12) | st.sampled_from(
    [b"1.2.3.4", b"a b", b"100-continue", b"x\r\nContent-Length: 5", b"", b"0", b"2", b"3"]
)
LINES = st.lists(st.tuples(NAMES, VALUES), max_size=5)


@given(LINES, st.lists(VALUES, min_size=5, max_size=5), st.sampled_from([b"", b"ab", b"abc"]))
def test_whatever_fits_is_what_the_parser_reads(
    lines: list[tuple[bytes, bytes]], others: list[bytes], body: bytes
) -> None:
    def message_of(values: list[bytes]) -> bytes:
        fields = b"".join(name + b": " + value + b"\r\n" for (name, _), value in zip(lines, values, strict=False))
        return LINE + b"Host: a\r\n" + fields + b"\r\n" + body

    known = parsed(message_of([value for _, value in lines]))
    template = None if known is None else RequestTemplates(Limits(), worthwhile=1).of(known)
    octets = message_of(others)
    if template is not None and template.match(octets) is not None:
        assert_read_alike(template, octets)
