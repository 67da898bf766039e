"""What a request costs the parser, with the octets that real clients send: feed, the request, and the None behind it.

``pytest bench/test_parser.py --benchmark-enable``. One round is ``MESSAGES`` messages on one connection.
"""

from collections.abc import Callable

import pytest

from arsenal_fast.http.parser import Limits, RequestParser

MESSAGES = 1000


def wrk(i: int) -> bytes:
    """wrk 4: the same few fields in every request."""
    return b"GET /api/v1/id?prefix=player&run=%d HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n" % i


def curl_behind_a_proxy(i: int) -> bytes:
    """curl 8 with three fields, one of which is another one in each request."""
    return (
        b"GET /api/v1/id?prefix=player&run=%d HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\n"
        b"X-Forwarded-For: 10.1.%d.%d\r\n\r\n"
    ) % (i, i >> 8, i & 255)


def browser(i: int) -> bytes:
    """Chrome's fetch() from another origin: long fields, the same in every request."""
    return (
        b"GET /api/v1/id?prefix=web&run=%d HTTP/1.1\r\nHost: sports.api.yourbook.com\r\nConnection: keep-alive\r\n"
        b'sec-ch-ua: "Not/A)Brand";v="8", "Chromium";v="126", "Google Chrome";v="126"\r\nsec-ch-ua-mobile: ?0\r\n'
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
        b'Safari/537.36\r\nsec-ch-ua-platform: "Linux"\r\nAccept: */*\r\nOrigin: https://yourbook.com\r\n'
        b"Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
        b"Referer: https://yourbook.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
        b"Accept-Language: en-US,en;q=0.9\r\n\r\n"
    ) % i


def ingress(i: int) -> bytes:
    """ingress-nginx: twelve fields, with a request id and a trace context that never come again."""
    return (
        b"GET /api/v1/id?prefix=player&run=%d HTTP/1.1\r\nHost: sports.api.yourbook.com\r\nX-Request-ID: %032x\r\n"
        b"X-Real-IP: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Host: sports.api.yourbook.com\r\n"
        b"X-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Scheme: https\r\nX-Scheme: https\r\n"
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
        b"Safari/537.36\r\nAccept: application/json\r\ntraceparent: 00-%032x-b7ad6b7169203331-01\r\n\r\n"
    ) % (i, i, i)


def curl_post(_: int) -> bytes:
    """curl 8 posting fifty octets of JSON to validate."""
    body = b'{"identity": "player-123456@a.example.org/v1:id"}\n'
    return (
        b"POST /api/v1/validate HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    ) % (len(body), body)


def read_all(messages: list[bytes]) -> int:
    parser = RequestParser(Limits())
    count = 0
    for message in messages:
        parser.feed(message)
        while parser.next_request() is not None:
            count += 1
    return count


@pytest.mark.parametrize("client", [wrk, curl_behind_a_proxy, browser, ingress, curl_post])
def test_requests(benchmark: Callable[..., int], client: Callable[[int], bytes]) -> None:
    messages = [client(i) for i in range(MESSAGES)]
    assert benchmark(read_all, messages) == MESSAGES


def test_pipelined_requests(benchmark: Callable[..., int]) -> None:
    """Sixteen in one segment, as wrk sends them with a pipelining script."""
    segments = [b"".join(wrk(i + j) for j in range(16)) for i in range(0, MESSAGES, 16)]
    assert benchmark(read_all, segments) == 16 * len(segments)


def test_a_body_in_chunks_of_one_octet(benchmark: Callable[..., int]) -> None:
    """The dearest body that a client can send: framing six times the content."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert benchmark(read_all, [head + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"]) == 1


def test_the_largest_head_byte_by_byte(benchmark: Callable[..., int]) -> None:
    fields = b"".join(b"%02d: " % i + b"v" * 158 + b"\r\n" for i in range(98))
    head = b"GET /" + b"a" * 8191 + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
    assert benchmark(read_all, [head[i : i + 1] for i in range(len(head))]) == 1
