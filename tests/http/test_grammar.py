"""What each pattern of the grammar matches and refuses."""

import re

import pytest

from arsenal_fast.http import grammar
from tests.http.test_headers import ALL

TCHARS = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
EVERY_OCTET = [bytes([byte]) for byte in range(256)]
VISIBLE = [byte for byte in EVERY_OCTET if b"!" <= byte <= b"~"]
ORIGIN = b"GET /a?b=c HTTP/1.1\r\n"


def octets_matched(pattern: re.Pattern[bytes], before: bytes, after: bytes) -> list[bytes]:
    return [byte for byte in EVERY_OCTET if pattern.fullmatch(before + byte + after)]


def test_a_token_holds_exactly_the_tchars_of_rfc_9110() -> None:
    assert octets_matched(grammar.TOKEN, b"x", b"y") == sorted(bytes([byte]) for byte in TCHARS)


def test_a_field_name_holds_exactly_the_tchars() -> None:
    names = octets_matched(grammar.FIELD_LINE, b"x", b"y:\r\n")
    assert names == sorted([bytes([byte]) for byte in TCHARS] + [b":"])


def test_a_field_value_refuses_all_controls_but_htab_and_passes_obs_text() -> None:
    controls = {bytes([byte]) for byte in range(0x20)} - {b"\t"} | {b"\x7f"}
    assert octets_matched(grammar.FIELD_LINE, b"n:a", b"b\r\n") == [o for o in EVERY_OCTET if o not in controls]


def test_a_target_holds_visible_ascii_without_the_number_sign() -> None:
    expected = [byte for byte in VISIBLE if byte != b"#"]
    assert octets_matched(grammar.TARGET_RUN, b"/", b"x") == expected
    assert octets_matched(grammar.ORIGIN_FORM, b"/", b"x") == expected
    assert octets_matched(grammar.ORIGIN_FORM, b"/?", b"x") == expected
    assert octets_matched(grammar.REQUEST_LINE, b"GET /", b"x HTTP/1.1\r\n") == expected


REFUSED = [
    (grammar.TOKEN, [b"", b"a b", b"a\n", b"a:"]),
    (grammar.FIELD_LINE, [b"", b"\r\n", b":v\r\n", b"n v\r\n", b"n :v\r\n", b" n:v\r\n", b"n:v\n", b"n:v", b"n:v\r"]),
    (grammar.FIELD_LINE, [b"n:v\r\n\r\n", b"n:v\rw\r\n", b"n:v\nw\r\n", b"n:v\r\r\n", b"n:v\r\n w\r\n"]),
    (grammar.REQUEST_LINE, [ORIGIN + b"\n", b"\r\n" + ORIGIN, b" " + ORIGIN, ORIGIN.lower()]),
    (grammar.REQUEST_LINE, [b"GET  / HTTP/1.1\r\n", b"GET /  HTTP/1.1\r\n", b"GET / HTTP/1.1 \r\n", b"GET /\r\n"]),
    (grammar.REQUEST_LINE, [b"GET\t/ HTTP/1.1\r\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r", b"GET / HTTP/1.11\r\n"]),
    (
        grammar.REQUEST_LINE,
        [b"GET * HTTP/1.1\r\n", b"GET a HTTP/1.1\r\n", b"BREW / HTTP/1.1\r\n", b"GET / HTTP/2.0\r\n"],
    ),
    (
        grammar.VERSION,
        [b"HTTP/1.\r\n", b"HTTP/1.x\r\n", b"http/1.1\r\n", b"HTTP/01.1\r\n", b"HTTP/1.1\n", b"HTTP/1.\xd9\xa1\r\n"],
    ),
    (grammar.LATER_VERSION, [b"HTTP/1.1\r\n", b"HTTP/0.9\r\n", b"HTTP/2\r\n", b"HTTP/10.0\r\n", b"HTTP/2.0\n"]),
    (grammar.ABSOLUTE_FORM, [b"", b"/", b"http:/a", b"http://", b"http:///p", b"ftp://a", b"http://a#f", b" http://a"]),
    (
        grammar.HOST,
        [b"a b", b"a@b", b'a"b', b"<a>", b"a/b", b"a?b", b"a#b", b"a\\b", b"a,b c", b"a\n", b"a:b", b"a:1:2"],
    ),
    (
        grammar.HOST,
        [b"a:123456", b"%", b"%4", b"%zz", b"[", b"[]", b"[::1", b"::1", b"[::1]x", b"[v1]", b"[fe80::1%25eth0]"],
    ),
    (grammar.CONTENT_LENGTH, [b"", b"-1", b"+1", b" 1", b"1 ", b"1_0", b"0x1", b"1,1", b"1\n", "١".encode(), b"\xb2"]),
    (
        grammar.CHUNK_LINE,
        [b"\r\n", b"x\r\n", b"5\n", b"5 \r\n", b" 5\r\n", b"-5\r\n", b"+5\r\n", b"0x5\r\n", b"5_0\r\n"],
    ),
    (grammar.CHUNK_LINE, [b"1" * 17 + b"\r\n", b"5;\r\n", b"5;a b\r\n", b"5;a=\r\n", b'5;a="\r\n', b'5;a="\x01"\r\n']),
    (
        grammar.CHUNK_LINE,
        [b"5;a\rb\r\n", b"5;\x00\r\n", b'5;a="\\\x00"\r\n', b"5;a=b c\r\n", b"5;a\x7f\r\n", b"5;a\r\r\n"],
    ),
]


@pytest.mark.parametrize(("pattern", "octets"), [(pattern, octets) for pattern, rows in REFUSED for octets in rows])
def test_refused(pattern: re.Pattern[bytes], octets: bytes) -> None:
    assert pattern.fullmatch(octets) is None


MATCHED = [
    (grammar.TOKEN, [b"a", TCHARS]),
    (grammar.FIELD_LINE, [b"n:\r\n", b"n: \t v \t\r\n", b"n:\xff\x80\r\n", b"1:2\r\n", b"n::\r\n"]),
    (grammar.REQUEST_LINE, [ORIGIN, b"POST / HTTP/1.0\r\n", b"HEAD /? HTTP/1.9\r\n", b"GET //a??%zz HTTP/1.1\r\n"]),
    (grammar.ABSOLUTE_FORM, [b"http://a", b"HTTPS://a:1/p?q", b"http://a?q", b"http://a/?"]),
    (
        grammar.HOST,
        [
            b"",
            b"a",
            b"a.",
            b"A-1_b.c:80",
            b"a:",
            b"127.0.0.1:65535",
            b"[::1]",
            b"[::ffff:1.2.3.4]:1",
            b"[v1.a:b]",
            b"%41",
        ],
    ),
    (
        grammar.CHUNK_LINE,
        [b"0\r\n", b"fF\r\n", b"0" * 16 + b"\r\n", b"5;a\r\n", b"5 ;\ta = b;c\r\n", b'5;a="b;\\"c"\r\n'],
    ),
]


@pytest.mark.parametrize(("pattern", "octets"), [(pattern, octets) for pattern, rows in MATCHED for octets in rows])
def test_matched(pattern: re.Pattern[bytes], octets: bytes) -> None:
    assert pattern.fullmatch(octets) is not None


@pytest.mark.parametrize("name", ALL, ids=bytes.decode)
def test_every_field_with_a_rule_is_found_in_any_case_and_none_whose_name_only_resembles_it(name: bytes) -> None:
    for spelling in (name, name.upper(), name.title()):
        found = grammar.INTERESTING_FIELDS.findall(b"\n" + spelling + b":\t v \r\n\r\n")
        assert found == [(spelling, b"\t v ")]
    for other in (b"x" + name, name + b"x", name[:-1], name[1:], name.replace(b"-", b"_", 1) + b"_"):
        assert grammar.INTERESTING_FIELDS.findall(b"\n" + other + b": v\r\n\r\n") == []


def test_a_block_of_more_fields_than_allowed_is_refused() -> None:
    assert grammar.field_block(3).match(b"n:v\r\n" * 3 + b"\r\n")
    assert grammar.field_block(3).match(b"n:v\r\n" * 4 + b"\r\n") is None


@pytest.mark.parametrize("block", [b"", b"\r", b"n:v\r\n", b"n:v\n\n", b"n:v\r\n\n", b"n:v\r\n \r\n"])
def test_a_block_without_its_empty_line_is_refused(block: bytes) -> None:
    assert grammar.field_block(100).match(block) is None
