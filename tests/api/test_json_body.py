"""JSON bodies: what is refused, with which status, and that the connection stays open."""

import gzip

import pytest

from arsenal_fast.api.json_body import pointer
from tests.support.bodies import JSON, PATH, post
from tests.support.rig import Rig, request

GOOD = b'{"environments":[{"name":"a","prefix":"p","run":"1"}]}'

MEDIA_TYPES = [
    (JSON, 200),
    ("Application/JSON", 200),
    (" application/json ", 200),
    ("application/json; charset=utf-8", 200),
    ("application/json;charset=UTF-8", 200),
    ("application/json ; odata=verbose", 200),
    (None, 200),
    ("", 200),
    ("text/plain", 415),
    ("text/json", 415),
    ("application/jsonp", 415),
    ("application/x-www-form-urlencoded", 415),
    ("application/problem+json", 415),
    ("multipart/form-data; boundary=application/json", 415),
    ("*/*", 415),
    ("application/json, text/plain", 415),
]


@pytest.mark.parametrize(("content_type", "status"), MEDIA_TYPES)
def test_a_body_is_json_by_its_media_type_or_by_default(content_type: str | None, status: int) -> None:
    client = Rig().connect()
    answer = post(client, GOOD, content_type)
    assert answer.status == status
    assert answer.headers.get("accept") == (JSON if status == 415 else None)
    assert post(client, GOOD).status == 200, "the connection lives on"


BODIES = [
    b"",
    b" ",
    b"null",
    b"[]",
    b"1",
    b'"environments"',
    b"NaN",
    b"{",
    b"{}}",
    b"{'environments': 1}",
    b'{"environments": NaN}',
    b'{"environments": Infinity}',
    b'{"environments": 1e400}',
    b'{"environments": 01}',
    b'{"environments": [1,]}',
    b'{"environments": 1} // why',
    b"\xef\xbb\xbf" + GOOD,
    GOOD.decode().encode("utf-16"),
    b'{"environments": "\xff"}',
    b'{"environments": "\xed\xa0\x80"}',
    b'{"environments": "\\ud800"}',
    b'{"environments": "\\udc00\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"environments": "\n"}',
    b'{"environments": "\\x41"}',
    b"[" * 100_000,
    b'{"environments":' * 60_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"environments":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    b'{"ttl":' + b"9" * 100_000 + b"}",
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:24]))
def test_what_is_no_object_of_json_is_a_400_and_the_connection_lives_on(body: bytes) -> None:
    client = Rig().connect()
    answer = post(client, body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "connection" not in answer.headers
    assert answer.json["status"] == 400
    assert post(client, GOOD).status == 200


CODINGS = [
    (None, 200),
    ("", 200),
    ("identity", 200),
    (" Identity ", 200),
    ("identity, identity", 200),
    ("gzip", 415),
    ("br", 415),
    ("identity, br", 415),
    ("deflate", 415),
    ("x-unknown", 415),
]


@pytest.mark.parametrize(("coding", "status"), CODINGS)
@pytest.mark.parametrize("path", [PATH, "/api/v1/validate", "/api/v1/revoke"])
def test_a_body_is_taken_uncoded_only(path: str, coding: str | None, status: int) -> None:
    """RFC 9110 12.5.3: a 415 for the coding says with Accept-Encoding that the coding is why."""
    body = {PATH: GOOD, "/api/v1/validate": b'{"identity":"x"}', "/api/v1/revoke": b'{"identity":7}'}[path]
    good = 400 if path == "/api/v1/revoke" else 200
    client = Rig().connect()
    lines = {"Content-Type": JSON} if coding is None else {"Content-Type": JSON, "Content-Encoding": coding}
    client.send(request("POST", path, body, **lines))
    answer = client.answers("POST")[0]
    assert answer.status == (good if status == 200 else status)
    assert answer.headers.get("accept-encoding") == ("identity" if status == 415 else None)
    assert "accept" not in answer.headers
    assert post(client, GOOD).status == 200, "the connection lives on"


def test_a_gzip_body_is_refused_for_its_coding_and_not_for_its_octets() -> None:
    client = Rig().connect()
    client.send(request("POST", PATH, gzip.compress(GOOD), Content_Type=JSON, Content_Encoding="gzip"))
    assert client.answers("POST")[0].status == 415


@pytest.mark.parametrize("between", ["", "X-Request-Id: r{}\r\n"])
def test_a_remembered_body_with_a_coding_is_refused_as_any_other(between: str) -> None:
    """The body has been answered from memory and the fields have matched: the coding is looked at all the same."""
    rig = Rig(worthwhile=1)
    client = rig.connect()
    rig.get("/api/v1/id?prefix=player&run=1")
    body = '{"identity":"player-1@sports.api.yourbook.com/v1:id"}'

    def status(number: int, coding: str = "") -> int:
        fields = f"Host: a\r\n{between.format(number)}{coding}Content-Length: {len(body)}\r\n"
        client.send(f"POST /api/v1/validate HTTP/1.1\r\n{fields}\r\n{body}".encode())
        return client.answers("POST")[0].status

    coded = "Content-Encoding: br\r\n"
    assert [status(number) for number in range(4)] == [200] * 4
    assert [status(number, coded) for number in range(4, 8)] == [415] * 4
    assert status(8) == 200


def test_a_fault_repeats_nothing_of_the_body() -> None:
    answer = post(Rig().connect(), b'{"environments": secret-123}')
    assert b"secret" not in answer.body
    assert "at character 17" in answer.json["detail"]


POINTERS = [
    ((), ""),
    (("a", 3, "b"), "/a/3/b"),
    (("a/b", "c~d", "~1"), "/a~1b/c~0d/~01"),
    (("",), "/"),
    (("x" * 65,), "/" + "x" * 64),
    (("~" * 65,), "/" + "~0" * 64),
]


@pytest.mark.parametrize(("parts", "expected"), POINTERS)
def test_a_pointer_is_escaped_and_short(parts: tuple[str | int, ...], expected: str) -> None:
    assert pointer(*parts) == expected
