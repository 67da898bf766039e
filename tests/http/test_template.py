"""Blocks that differ in a few values: read by a template or plainly, they give the same."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.http.fields import REPEATED, read_fields
from arsenal_fast.http.parser import Limits, RequestParser
from arsenal_fast.http.request import Fields
from arsenal_fast.http.template import JUDGED, PLAIN, BlockTemplate, learn
from tests.http.test_parser import SMALL, run

LINE = b"GET / HTTP/1.1\r\n"


def block(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def read(octets: bytes) -> Fields:
    return read_fields(LINE + octets, len(LINE), len(LINE + octets))


def facts(fields: Fields | None) -> list[object]:
    return [] if fields is None else [getattr(fields, name) for name in Fields.__slots__]


def learned(*blocks: bytes) -> BlockTemplate | None:
    template = None
    for last, base in pairwise(blocks):
        template = learn(read(last), read(base), 1, template) or template
    return template


def test_every_field_that_is_read_is_either_taken_as_it_comes_or_judged() -> None:
    assert PLAIN.keys() | JUDGED == REPEATED.keys()
    assert not PLAIN.keys() & JUDGED


@pytest.mark.parametrize("name", PLAIN, ids=bytes.decode)
def test_a_value_that_is_taken_as_it_comes_is_read_from_its_hole(name: bytes) -> None:
    template = learned(block(b"Host: a", name + b": 1", b"z: y"), block(b"Host: a", name + b": 2", b"z: y"))
    assert template is not None
    third = block(b"Host: a", name + b": \t a long \xff value \t", b"z: y")
    assert facts(template.match(LINE + third + b"behind", len(LINE))) == facts(read(third))


@pytest.mark.parametrize("name", sorted(JUDGED), ids=bytes.decode)
def test_a_value_that_is_judged_has_no_hole(name: bytes) -> None:
    value = {b"host": b"a", b"content-length": b"1", b"expect": b"100-continue"}.get(name, b"chunked")
    first, second = block(name + b": " + value), block(name + b":" + value)
    assert learned(first, second) is None
    assert learned(first, second.title()) is None


NOT_LEARNED = [
    ("another number of lines", block(b"a: 1"), block(b"a: 1", b"b: 2")),
    ("another name", block(b"a: 1"), block(b"b: 1")),
    ("another spelling of a name", block(b"a: 1"), block(b"A: 1")),
    ("a list in two lines", block(b"accept: a", b"accept: b"), block(b"accept: a", b"accept: c")),
    ("a list in two lines of other spelling", block(b"accept: a", b"Accept: b"), block(b"accept: a", b"Accept: c")),
    ("a field that came twice and was dropped", block(b"x-request-id: a", b"x-request-id: b"),
     block(b"x-request-id: a", b"x-request-id: c")),
    ("too many differences", block(*[b"n%d: 1" % i for i in range(9)]), block(*[b"n%d: 2" % i for i in range(9)])),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), [row[1:] for row in NOT_LEARNED], ids=[row[0] for row in NOT_LEARNED])
def test_not_learned(first: bytes, second: bytes) -> None:
    assert learned(first, second) is None


BASE = [b"Host: a", b"n: 1", b"Accept: x", b"Connection: keep-alive"]
MISSED = [
    ("another Host", block(b"Host: b", b"n: 1", b"Accept: x", b"Connection: keep-alive")),
    ("another judged value at the end", block(b"Host: a", b"n: 1", b"Accept: x", b"Connection: close")),
    ("a line more at the end", block(*BASE, b"Content-Length: 1")),
    ("a line less", block(*BASE[:-1])),
    ("a line put into a hole", block(b"Host: a", b"n: 1", b"Content-Length: 1", *BASE[2:])),
    ("a bare LF in a hole", block(b"Host: a", b"n: 1\nb: c", *BASE[2:])),
    ("a bare CR in a hole", block(b"Host: a", b"n: 1\rb: c", *BASE[2:])),
    ("NUL in a hole", block(b"Host: a", b"n: 1\x00", *BASE[2:])),
    ("a fold in a hole", block(b"Host: a", b"n: 1\r\n 2", *BASE[2:])),
    ("a space before the colon", block(b"Host: a", b"n : 1", *BASE[2:])),
    ("no end", block(*BASE)[:-2]),
    ("an end in a hole", b"Host: a\r\nn: 1\r\n\r\n"),
    ("nothing", b""),
]


@pytest.mark.parametrize("octets", [row[1] for row in MISSED], ids=[row[0] for row in MISSED])
def test_missed(octets: bytes) -> None:
    """A block that differs in more than the values of holes is left to the plain way."""
    template = learned(block(*BASE), block(b"Host: a", b"n: 2", b"Accept: y", b"Connection: keep-alive"))
    assert template is not None
    assert template.match(LINE + block(*BASE), len(LINE)) is not None
    assert template.match(LINE + octets, len(LINE)) is None


def test_holes_add_up() -> None:
    rows = [(b"1", b"1", b"1"), (b"2", b"1", b"1"), (b"2", b"2", b"1"), (b"2", b"2", b"2")]
    blocks = [block(b"x-request-id: " + x, b"n: " + y, b"accept: " + z) for x, y, z in rows]
    template = learned(*blocks)
    assert template is not None
    assert template.lines == {0, 1, 2}


def test_the_parser_uses_a_template_from_the_third_block_on() -> None:
    parser = RequestParser(Limits())
    bases = []
    for i in range(4):
        parser.feed(LINE + block(b"Host: a", b"X-Request-Id: %d" % i))
        request = parser.next_request()
        assert request is not None
        assert request.fields.request_id == b"%d" % i
        bases.append(parser._fields)
    assert bases[1] is bases[2] is bases[3]


def test_a_value_in_a_hole_does_not_lift_the_limit_of_the_section() -> None:
    messages = [LINE + block(b"Host: a", b"n: " + b"v" * length) for length in (1, 2, 3, 104)]
    assert run(messages, SMALL).status is None
    assert run([*messages, LINE + block(b"Host: a", b"n: " + b"v" * 105)], SMALL).status == 431


def test_a_template_of_http_1_1_is_not_used_for_http_1_0() -> None:
    blocks = [block(b"Host: a", b"n: %d" % i, b"Transfer-Encoding: chunked") + b"0\r\n\r\n" for i in range(4)]
    messages = [LINE + octets for octets in blocks]
    assert run(messages).status is None
    assert run([*messages[:3], b"GET / HTTP/1.0\r\n" + blocks[3]]).status == 400


LINES = st.sampled_from([
    b"Accept: %b", b"accept: %b", b"X-Request-Id: %b", b"X-Forwarded-For: %b", b"traceparent: %b", b"n: %b", b"m:%b ",
    b"Authorization: %b", b"Content-Type: %b", b"Connection: %b", b"Content-Length: %b", b"Host: %b",
])  # fmt: skip
VALUES = st.sampled_from([b"1", b"22", b"", b" ", b"close", b"\xff", b"a\r\nb: c", b"a\nb: c", b"a\x00"])


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Messages on one connection whose lines are mostly the same and whose values often differ."""
    lines = [b"Host: a", *draw(st.lists(LINES, max_size=4))]
    messages = []
    for _ in range(draw(st.integers(3, 8))):
        if draw(st.integers(0, 9)) == 0:
            lines = [b"Host: a", *draw(st.lists(LINES, max_size=4))]
        filled = [line % draw(VALUES if draw(st.integers(0, 9)) == 0 else st.sampled_from([b"1", b"2", b"0"]))
                  if b"%b" in line else line for line in lines]  # fmt: skip
        minor = draw(st.sampled_from([b"1", b"1", b"1", b"0"]))
        messages.append(b"GET / HTTP/1." + minor + b"\r\n" + block(*filled))
    return messages


@settings(max_examples=300, deadline=None)
@given(streams(), st.sampled_from([Limits(), SMALL]))
def test_a_connection_with_templates_reads_the_same_as_one_byte_by_byte(messages: list[bytes], limits: Limits) -> None:
    """Byte by byte no template is ever matched, since none is asked about a block that comes in pieces."""
    octets = b"".join(messages)
    plain = run([octets[i : i + 1] for i in range(len(octets))], limits)
    assert run([octets], limits) == plain
    assert run(messages, limits) == plain
