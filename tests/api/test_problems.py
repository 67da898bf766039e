"""Problems: the members of RFC 9457, their kinds, the lines, and nothing that may be stored."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from arsenal_fast.api.problems import KIND_OF_STATUS, PROBLEMS, kind_of, markdown_table, render
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.response import PHRASES

ROOT = Path(__file__).parents[2]


def read(error: ProblemError) -> tuple[list[bytes], dict[str, Any]]:
    head, _, body = render(error, "/identity/problems/", "r1").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert b"Content-Length: %d" % len(body) in lines
    return lines, orjson.loads(body)


@pytest.mark.parametrize("status", [status for status in PHRASES if status >= 400])
def test_a_problem_that_names_no_kind_has_the_usual_one_of_its_status(status: int) -> None:
    lines, body = read(ProblemError(status, "It is so."))
    kind = KIND_OF_STATUS[status]
    assert body == {
        "type": f"/identity/problems/{kind.name}",
        "title": kind.title,
        "status": status,
        "detail": "It is so.",
        "request_id": "r1",
    }
    assert b"Content-Type: application/problem+json" in lines
    assert b"Cache-Control: no-store" in lines


def test_a_problem_has_the_kind_that_it_names_and_members_of_its_own() -> None:
    _, body = read(ProblemError(503, "None.", kind="no-ledger", members={"violated": ["a"]}))
    assert (body["type"], body["violated"]) == ("/identity/problems/no-ledger", ["a"])


def test_faults_are_named_in_their_order_and_left_out_where_there_are_none() -> None:
    faults = [{"pointer": "/b", "detail": "B."}, {"parameter": "a", "detail": "A."}]
    _, body = read(ProblemError(400, "Bad.", ({"pointer": "/b", "detail": "B."}, {"parameter": "a", "detail": "A."})))
    assert body["errors"] == faults
    assert "errors" not in read(ProblemError(400, "Bad.", []))[1]


def test_lines_stand_in_the_head_and_not_in_the_body() -> None:
    lines, body = read(ProblemError(503, "Later.", lines=b"Retry-After: 1\r\n"))
    assert lines.count(b"Retry-After: 1") == 1
    assert "Retry-After" not in str(body)


def test_a_status_that_is_never_answered_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        read(ProblemError(418, "I am none."))


@pytest.mark.parametrize("kind", PROBLEMS.values(), ids=PROBLEMS)
def test_a_kind_is_a_name_for_urls_and_sentences_for_readers(kind: Any) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.name)
    assert kind.status in PHRASES
    assert not kind.title.endswith(".")
    assert all(sentence.endswith(".") for sentence in (kind.meaning, kind.remedy))


def test_every_kind_that_the_source_names_is_in_the_table_and_of_its_status() -> None:
    """A raised kind is a constant or a literal next to its status."""
    constants = {
        name: text
        for path in (ROOT / "arsenal_fast").rglob("*.py")
        for name, text in re.findall(r'^([A-Z_]+): Final = "([a-z-]+)"', path.read_text(), re.MULTILINE)
        if text in PROBLEMS
    }
    unusual = {kind.name for kind in PROBLEMS.values() if KIND_OF_STATUS[kind.status] is not kind}
    assert unusual == set(constants.values()) & unusual, "a kind that nothing can name"
    for name in unusual:
        assert kind_of(ProblemError(PROBLEMS[name].status, "", kind=name)).name == name


def test_the_documentation_has_the_table() -> None:
    assert markdown_table() in (ROOT / "docs" / "problems.md").read_text()
