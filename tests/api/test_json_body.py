"""JSON bodies: what is refused, with which status, and that the connection stays open."""

import gzip
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.api.json_body import MAX_NAMED, check_repeated, pointer
from arsenal_fast.errors import ProblemError
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


# Members that stand twice are found, and refused in every body.

TWICE = [
    (b'{"ttl": 1, "environments": [{"name":"a"}], "ttl": 60}', ["/ttl"]),
    (b'{"environments": [{"name":"a","run":"1","run":"2"}]}', ["/environments/0/run"]),
    (b'{"environments": [{"name":"a"},{"name" :"b", "name"\n:\t"b"}]}', ["/environments/1/name"]),
    (b'{"environments": [{"prefix":"a","pre\\u0066ix":"b","name":"a"}]}', ["/environments/0/prefix"]),
    (b'{"ttl":1,"\\u0074tl":1,"environments":[{"name":"a"}]}', ["/ttl"]),
    (
        b'{"environments":[{"name":"a","name":"a"},{"name":"b","name":"b"}]}',
        ["/environments/0/name", "/environments/1/name"],
    ),
    (b'{"environments":[{"name":"a","more":{"x":1,"x":2}}]}', ["/environments/0/more/x"]),
    (b'{"environments":[],"environments":[{"name":"a"}]}', ["/environments"]),
    (b'{"a/b":1,"a/b":1}', ["/a~1b"]),
    (b'{"":1,"":1}', ["/"]),
]


@pytest.mark.parametrize(("body", "pointers"), TWICE)
def test_a_member_that_stands_twice_is_named(body: bytes, pointers: list[str]) -> None:
    answer = post(Rig().connect(), body)
    assert answer.status == 400
    assert [fault["pointer"] for fault in answer.json["errors"]] == pointers


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/api/v1/validate", b'{"identity":"a","identity":"a"}', "/identity"),
        ("/api/v1/validate", b'{"identity":"a:\\":","token":"b","identity":"a"}', "/identity"),
        ("/api/v1/revoke", b'{"issued_before":"a","issued_before":"a"}', "/issued_before"),
    ],
)
def test_a_member_that_stands_twice_is_refused_in_every_body(path: str, body: bytes, where: str) -> None:
    answer = Rig().post(path, body)
    assert answer.status == 400
    assert [fault["pointer"] for fault in answer.json["errors"]] == [where]


def test_only_some_of_many_repeated_members_are_named() -> None:
    body = b'{"environments":[' + b",".join([b'{"name":"a","name":"a"}'] * 1000) + b"]}"
    assert len(post(Rig().connect(), body).json["errors"]) == MAX_NAMED


@pytest.mark.parametrize(
    "body",
    [
        b'{"identity":"a","identities":[' + b",".join([b'{"a":1}'] * 100_000) + b'],"identities":["a"]}',
        b'{"identity":' + b"[" * 900 + b"]" * 900 + b',"identity":"a:"}',
    ],
)
def test_a_hidden_member_of_many_objects_or_levels_is_refused(body: bytes) -> None:
    assert Rig().post("/api/v1/validate", body).status == 400


# Few names and values, so that names meet, and colons and quotes stand where a quick look may take them for members.
NAMES = st.sampled_from(["a", "b", "a:", '"', '":', "\\", "\u00e4", ""])

SCALARS = st.one_of(
    NAMES, st.sampled_from([" :", '\\":', ":", "\n:", "{}"]), st.integers(0, 9), st.booleans(), st.none()
)


class Pairs(list[tuple[str, Any]]):
    """An object as it is written: a name may stand twice."""


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.tuples(NAMES, values), max_size=4).map(Pairs)


VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), objects(inner)), max_leaves=8)


def written(value: Any, escaped: bool, space: str) -> str:
    def quoted(text: str) -> str:
        return '"' + "".join(f"\\u{ord(each):04x}" for each in text) + '"' if escaped else json.dumps(text)

    if isinstance(value, Pairs):
        members = [f"{quoted(name)}{space}:{space}{written(each, escaped, space)}" for name, each in value]
        return "{" + f"{space},{space}".join(members) + "}"
    if isinstance(value, list):
        return "[" + f",{space}".join(written(each, escaped, space) for each in value) + "]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def stands_twice(body: bytes) -> bool:
    found = False

    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    json.loads(body, object_pairs_hook=hook)
    return found


@settings(max_examples=500, deadline=None)
@given(objects(VALUES), st.booleans(), st.sampled_from(["", " ", "\n\t ", "\r"]))
def test_a_repeated_member_is_found_exactly_where_a_hook_that_sees_every_pair_finds_one(
    value: Pairs, escaped: bool, space: str
) -> None:
    body = written(value, escaped, space).encode()
    if stands_twice(body):
        with pytest.raises(ProblemError) as caught:
            check_repeated(body, orjson.loads(body))
        assert caught.value.status == 400
        assert caught.value.faults
    else:
        check_repeated(body, orjson.loads(body))
