"""JSON bodies: what is refused, with which status, and that the connection lives on after it."""

import pytest

from arsenal_fast.service.body import pointer
from tests.support.rig import Answer, Client, Rig, request

PATH = "/api/v1/identities"
GOOD = b'{"environments":[{"name":"a","prefix":"p","run":"1"}]}'
JSON = "application/json"


def post(client: Client, body: bytes, content_type: str | None = JSON) -> Answer:
    headers = {} if content_type is None else {"Content-Type": content_type}
    client.send(request("POST", PATH, body, **headers))
    return client.answers("POST")[0]


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


def test_of_a_member_that_comes_twice_the_last_one_counts() -> None:
    body = b'{"ttl": "not a number", "environments": [{"name":"a","run":"1","run":"2"}], "ttl": 60}'
    answer = post(Rig().connect(), body)
    assert (answer.json["ttl"], answer.json["identities"][0]["id"][:9]) == (60, "unknown-2")


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
