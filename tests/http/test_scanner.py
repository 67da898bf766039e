"""The scan of a head: the first fault in the order of the bytes, the same for every split of the stream."""

import pytest

from arsenal_fast.errors import MessageError
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.scanner import MORE, HeadScanner, RequestLine

SMALL = Limits(target=16, head=64, fields=3)
FIELDS = b"Host: a\r\nB: c\r\n\r\n"

# name, bytes of a request line, what it says
LINES = [
    ("origin-form", b"GET /a?b HTTP/1.1\r\n", RequestLine(b"GET", b"/a?b", b"/a", b"b", 1, None)),
    ("without a query", b"HEAD / HTTP/1.0\r\n", RequestLine(b"HEAD", b"/", b"/", b"", 0, None)),
    ("an empty query", b"GET /? HTTP/1.1\r\n", RequestLine(b"GET", b"/?", b"/", b"", 1, None)),
    ("asterisk-form", b"OPTIONS * HTTP/1.1\r\n", RequestLine(b"OPTIONS", b"*", b"*", b"", 1, None)),
    (
        "absolute-form",
        b"GET http://h:1/a?b HTTP/1.1\r\n",
        RequestLine(b"GET", b"http://h:1/a?b", b"/a", b"b", 1, b"h:1"),
    ),
    ("absolute without a path", b"GET http://h HTTP/1.1\r\n", RequestLine(b"GET", b"http://h", b"/", b"", 1, b"h")),
    (
        "the longest target",
        b"GET /%b HTTP/1.1\r\n" % (b"x" * 15),
        RequestLine(b"GET", b"/" + b"x" * 15, b"/" + b"x" * 15, b"", 1, None),
    ),
]

# name, bytes that end with the one that proves the fault, status
FAULTS = [
    ("no method", b" ", 400),
    ("a method that is no token", b"G(", 400),
    ("two spaces", b"GET  ", 400),
    ("a method that is too long", b"A" * 33, 501),
    ("a target with a control character", b"GET /\x00", 400),
    ("a target that is too long", b"GET /" + b"x" * 16, 414),
    ("no version", b"GET /\r", 400),
    ("a version in lower case", b"GET / http/1.1\r\n", 400),
    ("a later version", b"GET / HTTP/2.0\r\n", 505),
    ("a bare LF behind the version", b"GET / HTTP/1.1\n", 400),
    ("an unknown method", b"BREW / HTTP/1.1\r\n", 501),
    ("an asterisk without OPTIONS", b"GET * HTTP/1.1\r\n", 400),
    ("an absolute-form with a bad host", b"GET http://a:99999/ HTTP/1.1\r\n", 400),
    ("a field without a colon", b"GET / HTTP/1.1\r\nHost a\r\n", 400),
    ("a space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n", 400),
    ("a folded field", b"GET / HTTP/1.1\r\nA: b\r\n c\r\n", 400),
    ("a bare LF behind a field", b"GET / HTTP/1.1\r\nA: b\n", 400),
    ("a control character in a value", b"GET / HTTP/1.1\r\nA: \x01\r\n", 400),
    ("too many fields", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4, 431),
    ("fields that are too long", b"GET / HTTP/1.1\r\nA: " + b"x" * 61, 431),
]


@pytest.mark.parametrize(("octets", "line"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
@pytest.mark.parametrize("start", [0, 7])
def test_a_head_is_read_whole_with_trailing_data_and_octet_by_octet(
    octets: bytes, line: RequestLine, start: int
) -> None:
    head = bytes(start) + octets + FIELDS
    whole = HeadScanner(SMALL)
    assert whole.scan(head + b"next", start) == len(head)
    assert (whole.line, whole.block) == (line, len(octets))
    slow = HeadScanner(SMALL)
    for end in range(start, len(head)):
        assert slow.scan(head[:end], start) == MORE
    assert slow.scan(head, start) == len(head)
    assert (slow.line, slow.block) == (line, len(octets))


@pytest.mark.parametrize(("octets", "status"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_the_first_fault_is_known_with_the_octet_that_proves_it(octets: bytes, status: int) -> None:
    scanner = HeadScanner(SMALL)
    for end in range(len(octets)):
        assert scanner.scan(octets[:end], 0) == MORE
    for scanned, given in ((scanner, octets), (HeadScanner(SMALL), octets), (HeadScanner(SMALL), octets + b"\r\n\r\n")):
        with pytest.raises(MessageError) as caught:
            scanned.scan(given, 0)
        assert caught.value.status == status


def test_an_earlier_fault_counts_before_a_later_one() -> None:
    for octets, status in (
        (b"BREW / HTTP/2.0\r\n", 505),
        (b"BREW * HTTP/1.1\r\n", 501),
        (b"GET * HTTP/1.1\r\nbad\r\n", 400),
    ):
        with pytest.raises(MessageError) as caught:
            HeadScanner(SMALL).scan(octets + b"\r\n", 0)
        assert caught.value.status == status


def test_a_scan_goes_on_where_the_buffer_was_moved() -> None:
    head = LINES[0][1] + FIELDS
    scanner = HeadScanner(SMALL)
    cut = len(head) // 2
    assert scanner.scan(b"earlier" + head[:cut], 7) == MORE
    assert scanner.scan(head, 0) == len(head)


def test_the_bounds_are_those_given() -> None:
    head = b"GET /" + b"x" * 16 + b" HTTP/1.1\r\n" + b"A: b\r\n" * 4 + b"\r\n"
    assert HeadScanner(Limits()).scan(head, 0) == len(head)
