"""Repeated members of a JSON object are found, and refused in every body."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.api.json_body import check_repeated
from arsenal_fast.api.repeated_members import MAX_NAMED
from arsenal_fast.errors import ProblemError
from tests.support.bodies import post
from tests.support.rig import Rig

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


# Few names and values, so that names repeat, and colons and quotes are where a careless check takes them for members.
NAMES = st.sampled_from(["a", "b", "a:", '"', '":', "\\", "\u00e4", ""])

SCALARS = st.one_of(
    NAMES, st.sampled_from([" :", '\\":', ":", "\n:", "{}"]), st.integers(0, 9), st.booleans(), st.none()
)


class Pairs(list[tuple[str, Any]]):
    """The text of an object: a name may be repeated."""


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
