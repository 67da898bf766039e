"""Problems: the members of RFC 9457, the headers, and that no cache may store them."""

from typing import Any

import orjson
import pytest

from arsenal_fast.api.problems import QUOTA_EXCEEDED, problem
from arsenal_fast.http.response import PHRASES


def read(tail: bytes) -> tuple[list[bytes], dict[str, Any]]:
    head, _, body = tail.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert b"Content-Length: %d" % len(body) in lines
    return lines, orjson.loads(body)


@pytest.mark.parametrize("status", [status for status in PHRASES if status >= 400])
def test_a_problem_without_a_type_has_the_phrase_of_its_status_as_title(status: int) -> None:
    lines, body = read(problem(status, "It is so."))
    assert body == {"type": "about:blank", "title": PHRASES[status], "status": status, "detail": "It is so."}
    assert b"Content-Type: application/problem+json" in lines
    assert b"Cache-Control: no-store" in lines


def test_a_type_has_a_title_and_members_of_its_own() -> None:
    _, body = read(problem(429, "Wait.", kind=QUOTA_EXCEEDED, title="Quota exceeded", members={"violated": ["a"]}))
    assert (body["type"], body["title"], body["violated"]) == (QUOTA_EXCEEDED, "Quota exceeded", ["a"])


def test_faults_are_named_in_their_order_and_left_out_where_there_are_none() -> None:
    _, body = read(problem(400, "Bad.", faults=({"pointer": "/b", "detail": "B."}, {"parameter": "a", "detail": "A."})))
    assert body["errors"] == [{"pointer": "/b", "detail": "B."}, {"parameter": "a", "detail": "A."}]
    assert "errors" not in read(problem(400, "Bad.", faults=[]))[1]


def test_lines_stand_in_the_head_and_not_in_the_body() -> None:
    lines, body = read(problem(503, "Later.", lines=b"Retry-After: 1\r\n"))
    assert lines.count(b"Retry-After: 1") == 1
    assert "Retry-After" not in str(body)


def test_a_status_that_is_never_answered_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        problem(418, "I am none.")
