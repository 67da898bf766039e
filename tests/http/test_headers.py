"""A valid field block and its meaning: repeated fields, and ambiguous lengths, which are refused."""

from dataclasses import fields

import pytest

from arsenal_fast.errors import MessageError
from arsenal_fast.http import headers
from arsenal_fast.http.grammar import INTERESTING_FIELDS
from arsenal_fast.http.headers import check_host, read_fields
from arsenal_fast.http.request import Fields

LINE = b"GET / HTTP/1.1\r\n"

# What a second line means, by name; spelled out, since each is a decision.
REFUSED = [b"host", b"content-length", b"content-type", b"authorization", b"origin"]
DROPPED = [b"x-request-id", b"traceparent"]
LISTS = [
    *(b"accept", b"accept-encoding", b"content-encoding", b"x-forwarded-for", b"if-none-match"),
    *(b"access-control-request-method", b"access-control-request-headers"),
]
CHECKED_LISTS = [b"transfer-encoding", b"connection", b"expect"]
ALL = sorted([*REFUSED, *DROPPED, *LISTS, *CHECKED_LISTS])

GOOD_VALUES = {
    b"host": (b"a.example", b"b.example"),
    b"content-length": (b"1", b"1"),
}
"""Two values of fields that are checked while they are read."""

ATTRIBUTES = {name: name.decode().removeprefix("x-").removeprefix("access-control-").replace("-", "_") for name in ALL}
"""Of ``Fields``, where the value is kept as it came."""


def read(*lines: bytes, behind: bytes = b"") -> Fields:
    block = b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    return read_fields(LINE + block + behind, len(LINE), len(LINE) + len(block))


def refused(*lines: bytes) -> int:
    with pytest.raises(MessageError) as caught:
        read(*lines)
    return caught.value.status


@pytest.mark.parametrize("name", ALL)
def test_each_field_that_has_a_rule_for_its_repetition_is_read(name: bytes) -> None:
    for spelled in (name, name.title()):
        assert INTERESTING_FIELDS.findall(b"\n" + spelled + b": x\r\n") == [(spelled, b" x")]


def test_each_rule_is_among_the_cases() -> None:
    assert (sorted(headers.REFUSED), sorted(headers.DROPPED)) == (sorted(REFUSED), sorted(DROPPED))
    derived = {"block", "connection_close", "connection_keep_alive", "chunked", "expect_continue"}
    assert {field.name for field in fields(Fields)} - derived <= set(ATTRIBUTES.values())


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("same", [False, True])
def test_a_field_that_two_readers_could_take_differently_is_refused_twice(name: bytes, same: bool) -> None:
    one, other = GOOD_VALUES.get(name, (b"a", b"b"))
    assert refused(name + b": " + one, name.title() + b": " + (one if same else other)) == 400


@pytest.mark.parametrize("name", DROPPED)
def test_a_field_on_which_nothing_hangs_is_none_where_it_comes_twice(name: bytes) -> None:
    assert getattr(read(name + b": a"), ATTRIBUTES[name]) == b"a"
    assert getattr(read(name + b": a", b"Accept: x", name + b": a"), ATTRIBUTES[name]) is None


@pytest.mark.parametrize("name", LISTS)
def test_lines_of_a_list_are_one_list_in_their_order(name: bytes) -> None:
    found = read(name + b": a, b", b"Host: h", name.upper()[:1] + name[1:] + b":  c\t")
    assert getattr(found, ATTRIBUTES[name]) == b"a, b,c"


@pytest.mark.parametrize("value", [b"a", b" a", b"\ta\t ", b"a  "])
def test_white_space_around_a_value_is_none_of_it(value: bytes) -> None:
    assert read(b"Authorization:" + value).authorization == b"a"


def test_what_is_left_out_is_none_and_the_block_is_kept() -> None:
    found = read()
    assert (found.host, found.content_length, found.chunked, found.connection_close, found.connection_keep_alive) == (
        *(None, None, False, False, False),
    )
    assert (found.content_type, found.accept, found.authorization, found.origin) == (b"", b"", None, None)
    assert found.block == b"\r\n"


def test_what_stands_behind_the_block_is_not_read() -> None:
    assert read(b"Host: a", behind=b"Host: b\r\nContent-Length: 9\r\n\r\n").host == b"a"


LENGTHS = [
    (b"0", 0),
    (b"00", 0),
    (b"007", 7),
    (b"999999999999999999", 999_999_999_999_999_999),
    (b"1000000000000000000", 10**18),
    (b"9" * 5000, 10**18),
]


@pytest.mark.parametrize(("value", "length"), LENGTHS)
def test_a_length_is_read_and_one_over_every_limit_is_not_made_a_number(value: bytes, length: int) -> None:
    assert read(b"Content-Length: " + value).content_length == length


@pytest.mark.parametrize("value", [b"", b"+1", b"-1", b"1_0", b"0x1", b"1 1", b"1,1", b"1, 1", b"\xb2", b"1.0"])
def test_a_length_in_doubt_is_refused(value: bytes) -> None:
    assert refused(b"Content-Length: " + value) == 400


CODINGS = [
    (b"chunked", None),
    (b"CHUNKED", None),
    (b"gzip", 501),
    (b"gzip, chunked", 501),
    (b"identity", 501),
    (b"chunked, gzip", 400),
    (b"chunked, chunked", 400),
    (b"chunked;a=b", 400),
    (b"chunked,", 400),
    (b"", 400),
    (b"ch\x0bunked", 400),
]


@pytest.mark.parametrize(("value", "status"), CODINGS)
def test_chunked_is_the_only_transfer_coding(value: bytes, status: int | None) -> None:
    line = b"Transfer-Encoding: " + value
    if status is None:
        assert read(line).chunked
    else:
        assert refused(line) == status


@pytest.mark.parametrize("order", [1, -1])
def test_two_ways_to_tell_a_length_exclude_each_other(order: int) -> None:
    assert refused(*(b"Content-Length: 1", b"Transfer-Encoding: chunked")[::order]) == 400


OPTIONS = [
    (b"close", True, False),
    (b"Close", True, False),
    (b"keep-alive", False, True),
    (b"keep-alive, close", True, True),
    (b", ,close,", True, False),
    (b"closed", False, False),
    (b"", False, False),
]


@pytest.mark.parametrize(("value", "close", "keep_alive"), OPTIONS)
def test_options_of_a_connection_are_members_in_any_case(value: bytes, close: bool, keep_alive: bool) -> None:
    found = read(b"Connection: " + value)
    assert (found.connection_close, found.connection_keep_alive) == (close, keep_alive)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"100-continue", True),
        (b"100-Continue", True),
        (b"", False),
        (b",", False),
        (b"100-continue, 100-continue", True),
    ],
)
def test_100_continue_is_understood(value: bytes, expected: bool) -> None:
    assert read(b"Expect: " + value).expect_continue is expected


@pytest.mark.parametrize("value", [b"more", b"100-continue, more", b"100-continue;a=b"])
def test_another_expectation_is_a_417(value: bytes) -> None:
    assert refused(b"Expect: " + value) == 417


@pytest.mark.parametrize(
    "host", [b"a.example", b"a.example:80", b"a:", b"10.0.0.1:65535", b"[::1]", b"[2001:db8::1]:3655", b"a_b", b"%41"]
)
def test_a_host_may_have_a_port(host: bytes) -> None:
    check_host(host)
    assert read(b"Host: " + host).host == host


@pytest.mark.parametrize(
    "host", [b"a b", b"a/b", b"user@a", b"a:65536", b"a:b", b"a:-1", b"[::1", b"[::g]", b"[1]", b"::1", b"a;\t", b"%4"]
)
def test_what_is_no_host_is_refused(host: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        check_host(host)
    assert caught.value.status == 400


def test_an_empty_host_is_one() -> None:
    assert read(b"Host:").host == b""
