"""The fields of a request as the service sees them."""

import dataclasses

import pytest

from arsenal_fast.errors import MessageError
from arsenal_fast.http.headers import read_fields
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.request import Fields, Request

LINE = b"GET / HTTP/1.1\r\n"


def fields_of(*lines: bytes) -> Fields:
    head = LINE + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    return read_fields(head, len(LINE), len(head))


def seen(fields: Fields) -> dict[str, object]:
    """The attributes that differ from those of a section without fields."""
    empty = Fields()
    names = [field.name for field in dataclasses.fields(Fields) if field.name != "block"]
    return {name: getattr(fields, name) for name in names if getattr(fields, name) != getattr(empty, name)}


READ = [
    ([b"Host: a:80"], {"host": b"a:80"}),
    ([b"HOST:"], {"host": b""}),
    ([b"host: \t [::1]:8080 \t"], {"host": b"[::1]:8080"}),
    ([b"Connection: close"], {"connection_close": True}),
    ([b"Connection: Keep-Alive"], {"connection_keep_alive": True}),
    ([b"Connection: te ,\tCLOSE,"], {"connection_close": True}),
    ([b"Connection: upgrade", b"connection: x, close"], {"connection_close": True}),
    ([b"Connection: keep-alive", b"Connection: close"], {"connection_close": True, "connection_keep_alive": True}),
    ([b"Connection: closed, not-close, close-x, clos e"], {}),
    ([b"Content-Length: 0"], {"content_length": 0}),
    ([b"Content-Length: 0042"], {"content_length": 42}),
    ([b"Content-Length: " + b"0" * 5000 + b"7"], {"content_length": 7}),
    ([b"Content-Length: 999999999999999999"], {"content_length": 10**18 - 1}),
    ([b"Content-Length: " + b"9" * 9000], {"content_length": 10**18}),
    ([b"Transfer-Encoding: chunked"], {"chunked": True}),
    ([b"TRANSFER-ENCODING: \tChunKed "], {"chunked": True}),
    ([b"Expect: 100-continue"], {"expect_continue": True}),
    ([b"Expect: 100-Continue", b"expect: 100-CONTINUE"], {"expect_continue": True}),
    ([b"Expect:"], {}),
    ([b"Content-Type: application/json; charset=utf-8 "], {"content_type": b"application/json; charset=utf-8"}),
    ([b"Accept: text/html", b"accept: */*;q=0.1"], {"accept": b"text/html,*/*;q=0.1"}),
    ([b"Accept-Encoding: gzip"], {"accept_encoding": b"gzip"}),
    ([b"Authorization: Bearer x.y.z"], {"authorization": b"Bearer x.y.z"}),
    ([b"Origin: https://a.example"], {"origin": b"https://a.example"}),
    ([b"X-Request-Id: \xff \""], {"request_id": b"\xff \""}),
    ([b"X-Request-Id: 1", b"X-Request-Id: 1", b"x-request-id: 1"], {}),
    ([b"traceparent: 00-0af7-b7ad-01"], {"traceparent": b"00-0af7-b7ad-01"}),
    ([b"traceparent: 1", b"Traceparent: 2"], {}),
    ([b"X-Forwarded-For: 1.1.1.1, 2.2.2.2"], {"forwarded_for": b"1.1.1.1, 2.2.2.2"}),
    ([b"X-Forwarded-For: 1.1.1.1 ", b"A: b", b"x-forwarded-for: 2.2.2.2"], {"forwarded_for": b"1.1.1.1,2.2.2.2"}),
    ([b"X-Forwarded-For: a", b"X-Forwarded-For:", b"X-Forwarded-For: b"], {"forwarded_for": b"a,,b"}),
    ([b'If-None-Match: "a"', b'If-None-Match: W/"b"'], {"if_none_match": b'"a",W/"b"'}),
    ([b"Access-Control-Request-Method: POST"], {"request_method": b"POST"}),
    ([b"Access-Control-Request-Headers: a, b"], {"request_headers": b"a, b"}),
    ([b"X-Host: a", b"Hosts: b", b"Content_Length: 3", b"Transfer-Encodin: x", b"Cookie: Host: a"], {}),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), READ)
def test_a_section_is_read_into_these_fields(lines: list[bytes], expected: dict[str, object]) -> None:
    assert seen(fields_of(*lines)) == expected
    assert seen(fields_of(b"Before: x", *lines, b"After: y")) == expected


REFUSED = [
    (400, [b"Host: a", b"Host: a"]),
    (400, [b"Host: a", b"host: b"]),
    (400, [b"Host: a@b"]),
    (400, [b"Host: a b"]),
    (400, [b'Host: a"']),
    (400, [b"Host: <a"]),
    (400, [b"Host: a, b"]),
    (400, [b"Host: a/b"]),
    (400, [b"Host: \xc3\xa4"]),
    (400, [b"Host: [::1"]),
    (400, [b"Host: [:::1]"]),
    (400, [b"Host: [1:2:3]"]),
    (400, [b"Host: a:65536"]),
    (400, [b"Host: a:80x"]),
    (400, [b"Content-Length: 5", b"Content-Length: 5"]),
    (400, [b"Content-Length: 5", b"content-length: 6"]),
    (400, [b"Content-Length: 5, 5"]),
    (400, [b"Content-Length:"]),
    (400, [b"Content-Length: +5"]),
    (400, [b"Content-Length: -5"]),
    (400, [b"Content-Length: 5_0"]),
    (400, [b"Content-Length: 5 0"]),
    (400, [b"Content-Length: 0x5"]),
    (400, [b"Content-Length: 5.0"]),
    (400, [b"Content-Length: 5;"]),
    (400, [b"Content-Length: \xd9\xa5"]),
    (400, [b"Content-Length: \xb2"]),
    (400, [b"Content-Length: " + b"9" * 9000 + b"x"]),
    (400, [b"Content-Length: 5", b"Transfer-Encoding: chunked"]),
    (400, [b"Transfer-Encoding: chunked", b"Content-Length: 0"]),
    (400, [b"Transfer-Encoding: chunked, chunked"]),
    (400, [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"]),
    (400, [b"Transfer-Encoding: chunked, gzip"]),
    (400, [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"]),
    (400, [b"Transfer-Encoding: chunked;a=b"]),
    (400, [b"Transfer-Encoding:"]),
    (400, [b"Transfer-Encoding: ,chunked"]),
    (400, [b"Transfer-Encoding: chunked,"]),
    (400, [b'Transfer-Encoding: "chunked"']),
    (400, [b"Transfer-Encoding: chu nked"]),
    (501, [b"Transfer-Encoding: gzip, chunked"]),
    (501, [b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"]),
    (501, [b"Transfer-Encoding: gzip"]),
    (501, [b"Transfer-Encoding: identity"]),
    (501, [b"Transfer-Encoding: xchunked"]),
    (417, [b"Expect: 200-ok"]),
    (417, [b"Expect: 100-continue", b"Expect: other"]),
    (417, [b"Expect: 100-continue=1"]),
    (400, [b"Authorization: a", b"Authorization: a"]),
    (400, [b"Origin: a", b"Origin: b"]),
    (400, [b"Content-Type: a/b", b"Content-Type: a/c"]),
]  # fmt: skip


@pytest.mark.parametrize(("status", "lines"), REFUSED)
def test_a_section_that_could_be_read_in_two_ways_is_refused(status: int, lines: list[bytes]) -> None:
    with pytest.raises(MessageError) as raised:
        fields_of(*lines)
    assert raised.value.status == status


def test_the_block_is_the_octets_behind_the_request_line() -> None:
    assert fields_of(b"Host: a", b"B: c").block == b"Host: a\r\nB: c\r\n\r\n"
    assert fields_of().block == b"\r\n"


def test_another_host_in_the_target_leaves_the_shared_fields_alone() -> None:
    parser = RequestParser(Limits())
    hosts = []
    for target in (b"/", b"http://c/", b"/"):
        parser.feed(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n")
        request = parser.next_request()
        assert request is not None
        hosts.append((request.fields.host, request.fields.accept))
    assert hosts == [(b"a", b"b"), (b"c", b"b"), (b"a", b"b")]


def test_no_repr_shows_a_credential() -> None:
    fields = fields_of(b"Authorization: Bearer s3cret")
    request = Request(b"GET", b"/", b"/", b"", 1, fields, b"s3cret", True)
    assert "s3cret" not in repr(fields) + repr(request)


def test_a_detail_never_repeats_octets_of_the_peer() -> None:
    for _, lines in REFUSED:
        with pytest.raises(MessageError) as raised:
            fields_of(*lines)
        assert raised.value.detail.isascii()
        assert raised.value.detail.isprintable()
