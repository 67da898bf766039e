"""``POST /api/v1/identities``: all or nothing, and every fault with its pointer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.api.fastpath.response_cache import MAX_NAME
from arsenal_fast.api.handlers.identities import MAX_UNKNOWN
from arsenal_fast.api.json_body import MAX_ROWS
from tests.support.rig import Answer, Rig

PATH = "/api/v1/identities"
ROW = {"name": "staging", "prefix": "player", "run": "1"}


def row(**members: object) -> dict[str, object]:
    return {**ROW, **members}


def batch(*rows: object, **members: object) -> dict[str, object]:
    return {"environments": list(rows), **members}


def pointers(answer: Answer) -> list[str]:
    assert answer.status == 400, answer
    assert answer.headers["content-type"] == "application/problem+json"
    return [fault["pointer"] for fault in answer.json["errors"]]


def test_the_answer_has_an_identity_for_each_environment_in_order() -> None:
    rig = Rig()
    answer = rig.post(PATH, batch(row(name="dev", run="1"), row(name="prod", run="2"), ttl=60, version="v2"))
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    moments = {"ttl": 60, "generated": "2025-11-22T10:00:00.000Z", "expires": "2025-11-22T10:01:00.000Z"}
    assert answer.json == {
        "identities": [
            {
                "environment": name,
                "id": f"player-{run}@sports.api.yourbook.com/v2:id",
                "email": f"player-{run}@sports.api.yourbook.com",
                **moments,
                "token": rig.token(f"player-{run}@sports.api.yourbook.com/v2:id", ttl=60),
            }
            for name, run in (("dev", "1"), ("prod", "2"))
        ],
        "total": 2,
        "domain": "sports.api.yourbook.com",
        "version": "v2",
        "ttl": 60,
        "generated": "2025-11-22T10:00:00.000Z",
    }


@pytest.mark.parametrize("name", ['"', "\\", "\r\n", "\0", "\u2028", "é", "\U0001f600", "</script>", "x" * MAX_NAME])
def test_a_name_is_handed_back_whatever_it_is(name: str) -> None:
    assert Rig().post(PATH, batch(row(name=name))).json["identities"][0]["environment"] == name


@given(st.lists(st.text(st.sampled_from('",\\\0{}:[]a\u2028é'), min_size=1, max_size=8), min_size=1, max_size=6))
def test_names_are_handed_back_in_their_order_whatever_they_are(names: list[str]) -> None:
    rows = [row(name=name, run=str(run)) for run, name in enumerate(names)]
    rig = Rig()
    for _ in range(4):  # rendered once, kept, seen, and found by its bytes
        answer = rig.post(PATH, batch(*rows))
        assert [each["environment"] for each in answer.json["identities"]] == names
        assert [each["id"].partition("@")[0] for each in answer.json["identities"]] == [
            f"player-{run}" for run in range(len(names))
        ]


def test_a_domain_is_folded_as_it_is_in_the_identities() -> None:
    answer = Rig().post(PATH, batch(ROW, domain="Example.ORG")).json
    assert (answer["domain"], answer["identities"][0]["email"]) == ("example.org", "player-1@example.org")


def test_a_batch_and_a_single_request_get_the_same_life() -> None:
    rig = Rig()
    single = rig.get("/api/v1/id?prefix=player&run=1&ttl=60").json
    rig.advance(10)
    (member,) = rig.post(PATH, batch(ROW)).json["identities"]
    assert member == {"environment": "staging", **{name: single[name] for name in single if name != "metadata"}}


def test_the_same_identity_twice_in_a_batch_has_one_life() -> None:
    rig = Rig()
    rows = rig.post(PATH, batch(row(name="a"), row(name="b"), row(name="a"))).json["identities"]
    assert [each.pop("environment") for each in rows] == ["a", "b", "a"]
    assert rows[0] == rows[1] == rows[2]
    assert rig.service.metrics.identity_issued == 1


def test_rows_without_a_run_get_one_each() -> None:
    rows = Rig().post(PATH, batch(*[{"name": "ci"}] * 5)).json["identities"]
    assert len({each["id"] for each in rows}) == 5
    assert all(each["id"].startswith("unknown-") for each in rows)


@pytest.mark.parametrize("count", [1, 2, MAX_ROWS])
def test_a_batch_is_one_request_and_one_command_however_many_rows_it_has(count: int) -> None:
    rig = Rig(switched=True)
    answer = rig.post(PATH, batch(*[row(run=str(number)) for number in range(count)]))
    assert answer.json["total"] == len(answer.json["identities"]) == count
    assert answer.headers["x-ratelimit-remaining"] == "99"
    assert [len(rows) for rows in rig.shared.issues] == [count]
    assert [quantity for rows in rig.shared.admissions for _, quantity in rows] == [1]


# (body, pointers of its faults)
BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["/environments"]),
    (batch(), ["/environments"]),
    (batch(*[ROW] * (MAX_ROWS + 1)), ["/environments"]),
    ({"environments": None}, ["/environments"]),
    ({"environments": {"name": "a"}}, ["/environments"]),
    ({"environments": "a"}, ["/environments"]),
    (batch(ROW, extra=1), ["/extra"]),
    (batch(ROW, **{"a/b": 1, "a~b": 1}), ["/a~1b", "/a~0b"]),
    (batch(ROW, **{"x" * 100: 1}), ["/" + "x" * 64]),
    (batch(None), ["/environments/0"]),
    (batch(ROW, "a", 1, [], ROW), ["/environments/1", "/environments/2", "/environments/3"]),
    (batch({}), ["/environments/0/name"]),
    (batch(row(name="")), ["/environments/0/name"]),
    (batch(row(name=1)), ["/environments/0/name"]),
    (batch(row(name="x" * (MAX_NAME + 1))), ["/environments/0/name"]),
    (batch(row(prefix=None)), ["/environments/0/prefix"]),
    (batch(row(run=1)), ["/environments/0/run"]),
    (batch(row(run=True)), ["/environments/0/run"]),
    (batch(row(run="")), ["/environments/0/run"]),
    (batch(row(run=None)), ["/environments/0/run"]),
    (batch(row(prefix="a-b", run="a b")), ["/environments/0/prefix", "/environments/0/run"]),
    (batch(row(prefix="a" * 60, run="12345")), ["/environments/0/run"]),
    (batch({"name": "a", "prefix": "a" * 50}), ["/environments/0/prefix"]),
    (batch(row(colour="red")), ["/environments/0/colour"]),
    (batch(row(run="\n"), ROW, row(name=0)), ["/environments/0/run", "/environments/2/name"]),
    (
        batch(row(name="", prefix="a-b", run="a b", colour="red")),
        [f"/environments/0/{name}" for name in ("name", "prefix", "run", "colour")],
    ),
    (batch(row(prefix=1, run="a b")), ["/environments/0/prefix", "/environments/0/run"]),
    (batch(ROW, domain=1), ["/domain"]),
    (batch(ROW, domain=None), ["/domain"]),
    (batch(ROW, domain="-a.example"), ["/domain"]),
    (batch(ROW, version="1"), ["/version"]),
    (batch(ROW, version=["v1"]), ["/version"]),
    (batch(ROW, ttl=0), ["/ttl"]),
    (batch(ROW, ttl=2_592_001), ["/ttl"]),
    (batch(ROW, ttl=60.0), ["/ttl"]),
    (batch(ROW, ttl="60"), ["/ttl"]),
    (batch(ROW, ttl=True), ["/ttl"]),
    (batch(ROW, ttl=None), ["/ttl"]),
    (batch(row(run=" "), domain="", version="", ttl=""), ["/domain", "/version", "/ttl", "/environments/0/run"]),
]


@pytest.mark.parametrize(("body", "faults"), BAD)
def test_one_fault_and_nothing_is_issued_and_every_fault_is_named(body: dict[str, Any], faults: list[str]) -> None:
    rig = Rig()
    assert sorted(pointers(rig.post(PATH, body))) == sorted(faults)
    assert len(rig.spare.records) == 0
    assert rig.service.metrics.identity_issued == 0


def test_of_a_thousand_bad_rows_every_one_is_named() -> None:
    answer = Rig().post(PATH, batch(*[row(run="\n")] * MAX_ROWS))
    assert pointers(answer) == [f"/environments/{index}/run" for index in range(MAX_ROWS)]
    assert answer.json["detail"] == "The request has 1000 faults; nothing was done."


def test_the_answer_to_many_unknown_members_is_no_longer_than_the_request() -> None:
    members = {f"m{number}": 0 for number in range(50_000)}
    answer = Rig().post(PATH, batch(row(**members)))
    assert pointers(answer) == [f"/environments/0/m{number}" for number in range(MAX_UNKNOWN)]
    assert len(Rig().post(PATH, batch(ROW, **members)).json["errors"]) == MAX_ROWS


@pytest.mark.parametrize(
    ("faulty", "pointer"),
    [
        ({"name": "a", "prefix": "player-1", "run": "2"}, "/environments/0/prefix"),
        ({"name": "", "prefix": "player", "run": "1-2"}, "/environments/0/name"),
        ({"name": "x" * (MAX_NAME + 1), "prefix": "player", "run": "1-2"}, "/environments/0/name"),
        ({"name": 7, "prefix": "player", "run": "1-2"}, "/environments/0/name"),
        ({"name": ["a"], "prefix": "player", "run": "1-2"}, "/environments/0/name"),
        ({"name": "a", "prefix": "player", "run": "1-2", "x": 1}, "/environments/0/x"),
        ({"name": "a", "prefix": "player", "run": 12}, "/environments/0/run"),
        ({"name": "a", "prefix": 7, "run": "1-2"}, "/environments/0/prefix"),
        (["name", "prefix", "run"], "/environments/0"),
        ("name", "/environments/0"),
        (None, "/environments/0"),
    ],
)
def test_a_faulty_row_is_refused_also_where_what_it_spells_lives_already(faulty: object, pointer: str) -> None:
    """player-1 with the run 2 would be the identity of player with the run 1-2, if it were one."""
    rig = Rig()
    living = row(run="1-2")
    for _ in range(2):
        assert rig.post(PATH, batch(living, living)).status == 200
    assert pointers(rig.post(PATH, batch(faulty, living))) == [pointer]


def test_a_row_in_another_case_of_the_domain_is_the_one_that_lives() -> None:
    rig = Rig()
    first = rig.post(PATH, batch(ROW, domain="x.example")).json["identities"]
    assert rig.post(PATH, batch(ROW, domain="X.Example")).json["identities"] == first
