"""``GET /api/v1/id``: the guarantees to a caller."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arsenal_fast.api.fastpath.render import RenderedIdentity
from arsenal_fast.api.fastpath.response_cache import MAX_TARGET
from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.runs import is_drawn
from arsenal_fast.identity.validity import TTL_RANGE
from tests.support.rig import Answer, Rig, request

TARGET = "/api/v1/id?prefix=player&run=123456"
UNLIMITED = {"quota": None}


def life(answer: Answer) -> tuple[str, str]:
    assert answer.status == 200, answer
    return answer.json["generated"], answer.json["expires"]


def test_the_answer_is_the_one_of_the_guide() -> None:
    rig = Rig()
    answer = rig.get(TARGET)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {
        "id": "player-123456@sports.api.yourbook.com/v1:id",
        "email": "player-123456@sports.api.yourbook.com",
        "ttl": 3600,
        "generated": "2025-11-22T10:00:00.000Z",
        "expires": "2025-11-22T11:00:00.000Z",
        "token": rig.token("player-123456@sports.api.yourbook.com/v1:id"),
        "metadata": {
            "prefix": "player",
            "run": "123456",
            "domain": "sports.api.yourbook.com",
            "version": "v1",
            "type": "disposable-identity",
            "compatible": ["nexus", "artifactory", "jfrog"],
        },
    }


def test_what_is_left_out_has_a_default() -> None:
    metadata = Rig().get("/api/v1/id?run=1").json["metadata"]
    assert (metadata["prefix"], metadata["version"]) == ("unknown", "v1")


# (ttl, ms after the first request, whether that life is still the one). Renewed when less than a quarter is left.
MOMENTS = [
    (3600, 0, True),
    (3600, 1, True),
    (3600, 2_699_999, True),
    (3600, 2_700_000, True),
    (3600, 2_700_001, False),
    (3600, 3_599_999, False),
    (3600, 3_600_000, False),
    (3600, 90_000_000, False),
    (1, 0, True),
    (1, 750, True),
    (1, 751, False),
    (3, 2_250, True),
    (3, 2_251, False),
    (2_592_000, 1_944_000_000, True),
    (2_592_000, 1_944_000_001, False),
]


@pytest.mark.parametrize("fast_path", [True, False])
@pytest.mark.parametrize(("ttl", "moment", "kept"), MOMENTS)
def test_an_identity_keeps_its_life_until_less_than_a_quarter_is_left(
    ttl: int, moment: int, kept: bool, fast_path: bool
) -> None:
    rig = Rig(fast_path=fast_path)
    client = rig.connect()
    first = life(client.get(f"{TARGET}&ttl={ttl}"))
    rig.advance(moment / 1000)
    again = [life(client.get(f"{TARGET}&ttl={ttl}")), life(client.get(TARGET)), life(rig.get(f"{TARGET}&ttl={ttl}"))]
    assert len(set(again)) == 1
    assert (again[0] == first) is kept


def test_of_many_first_requests_at_once_all_get_one_life() -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    rig.shared.holding = rig.shared.admitting = True
    clients = [rig.connect() for _ in range(20)]
    for client in clients:
        client.send(request("GET", TARGET))
    rig.advance(0.5)
    rig.shared.release_all()
    rig.tick()
    assert len({life(client.answers("GET")[0]) for client in clients}) == 1
    assert rig.service.metrics.identity_issued == 1


def test_a_later_request_with_another_ttl_gets_the_living_identity() -> None:
    rig = Rig()
    assert rig.get(f"{TARGET}&ttl=60").json["ttl"] == 60
    rig.advance(45)
    assert rig.get(f"{TARGET}&ttl=600").json["ttl"] == 60
    rig.advance(0.001)
    assert rig.get(f"{TARGET}&ttl=600").json["ttl"] == 600
    assert rig.get(f"{TARGET}&ttl=60").json["ttl"] == 600


SPELLINGS = [
    "/api/v1/id?run=123456&prefix=player",
    "/api/v1/id?prefix=player&run=123456&version=v1",
    "/api/v1/id?prefix=player&run=123456&domain=sports.api.yourbook.com",
    "/api/v1/id?prefix=player&run=123456&domain=SPORTS.api.yourbook.COM",
    "/api/v1/id?prefix=%70layer&run=123456",
    "/api/v1/id?p%72efix=player&run=12345%36",
    "/api/v1/id?prefix=player&run=123456&utm_source=mail&_",
    "/api/v1/id?prefix=player&run=123456&&",
    "/api/v1/%69d?prefix=player&run=123456",
    "http://elsewhere.example/api/v1/id?prefix=player&run=123456",
]


@pytest.mark.parametrize("target", SPELLINGS)
def test_every_spelling_of_one_identity_has_its_one_life(target: str) -> None:
    rig = Rig()
    first = rig.get(TARGET)
    rig.advance(7)
    for answer in (rig.get(target), rig.get(target)):
        assert answer.body == first.body


def test_two_different_requests_never_give_the_same_identity() -> None:
    rig = Rig(settings=UNLIMITED)
    queries = ["prefix=a&run=b-c", "prefix=a_b&run=c", "prefix=a.b&run=c", "prefix=a&run=b.c", "prefix=a&run=B-c"]
    queries += [f"{queries[0]}&version=v2", f"{queries[0]}&domain=x.example", "run=a-b-c"]
    ids = [rig.get(f"/api/v1/id?{query}").json["id"] for query in queries]
    assert len(set(ids)) == len(queries)


def test_without_a_run_every_answer_is_unique_and_none_is_kept_by_its_request_line() -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    client = rig.connect()
    runs = [client.get("/api/v1/id?prefix=bot").json["metadata"]["run"] for _ in range(50)]
    assert len(set(runs)) == 50
    assert all(map(is_drawn, runs))
    assert len(rig.service.response_cache.by_line) == 0


def test_drawn_runs_are_in_the_order_of_time() -> None:
    rig = Rig()
    runs = []
    for _ in range(9):
        runs.append(rig.get("/api/v1/id?prefix=bot").json["metadata"]["run"])
        rig.advance(0.25)
    assert runs == sorted(runs)


@pytest.mark.parametrize("prefix", ["a" * 37, "a." * 18 + "b"])
def test_the_longest_prefix_without_a_run_has_room_for_the_drawn_one(prefix: str) -> None:
    assert len(Rig().get(f"/api/v1/id?prefix={prefix}").json["email"].partition("@")[0]) == 64
    answer = Rig().get(f"/api/v1/id?prefix={prefix}b")
    assert answer.status == 400
    assert answer.json["errors"] == [
        {
            "parameter": "prefix",
            "detail": "prefix must be at most 37 characters where run is left out, for the run that is drawn has 26.",
        }
    ]
    assert Rig().get(f"/api/v1/id?prefix={prefix}b&run=1").status == 200


def test_an_empty_run_is_a_fault_and_not_a_run_that_was_left_out() -> None:
    answer = Rig().get("/api/v1/id?prefix=player&run=")
    assert answer.status == 400
    assert [fault["parameter"] for fault in answer.json["errors"]] == ["run"]


@pytest.mark.parametrize("target", [TARGET, "/api/v1/id?run=", "/api/v1/nothing", "/api/health/live"])
def test_head_is_get_without_the_body(target: str) -> None:
    got, headed = (Rig(random=bytes).connect().get(target, method=method) for method in ("GET", "HEAD"))
    assert got.body
    assert (headed.status, headed.headers, headed.body) == (got.status, got.headers, b"")


def test_a_misspelt_parameter_is_refused_and_issues_nothing() -> None:
    rig = Rig()
    answer = rig.get("/api/v1/id?prefx=test")
    assert (answer.status, answer.json["type"]) == (400, "/problems/unknown-parameter")
    detail = "is not known; is prefix meant? Known are prefix, run, domain, version, ttl."
    assert answer.json["errors"] == [{"parameter": "prefx", "detail": detail}]
    assert rig.service.metrics.identity_lookups == 0
    assert rig.get("/api/v1/id?prefix=test&utm_source=mail&_=1").status == 200


GOOD_TTLS = ["1", "60", "2592000"]
BAD_TTLS = [
    *("", "0", "-5", "+5", "%2B5", "%205", "5%20", "5%0A", "1e3", "1.0", "1_0", "0x10", "007", "abc", "null"),
    *("2592001", "99999999999", "9" * 5000, "%D9%A3", "%EF%BC%95", "%C2%B2", "NaN", "inf", "1,2"),
]


@pytest.mark.parametrize("ttl", GOOD_TTLS)
def test_a_ttl_is_taken_at_its_word(ttl: str) -> None:
    assert Rig().get(f"{TARGET}&ttl={ttl}").json["ttl"] == int(ttl)


@pytest.mark.parametrize("ttl", BAD_TTLS)
def test_a_ttl_that_is_none_is_answered_with_the_range(ttl: str) -> None:
    rig = Rig()
    answer = rig.get(f"{TARGET}&ttl={ttl}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["errors"] == [{"parameter": "ttl", "detail": TTL_RANGE}]
    assert len(rig.spare.records) == 0


def test_every_parameter_at_fault_is_named_at_once() -> None:
    errors = Rig().get("/api/v1/id?prefix=a-b&run=%22&domain=-&version=1&ttl=0").json["errors"]
    assert {fault["parameter"] for fault in errors} == {"prefix", "run", "domain", "version", "ttl"}


# (query, the parameters that a 400 must name)
FAULTS = [
    ("prefix=a&prefix=a&run=1", {"prefix"}),
    ("prefix=a&pre%66ix=b&run=1", {"prefix"}),
    ("run=%", {"run"}),
    ("run=%4", {"run"}),
    ("run=%zz", {"run"}),
    ("run=%FF", {"run"}),
    ("run=%C0%AF", {"run"}),
    ("run=%ED%A0%80", {"run"}),
    ("run=a%00", {"run"}),
    ("run=a%0D%0Ab", {"run"}),
    ("run=1&prefix=" + "a" * 63, {"prefix"}),
    ("prefix=" + "a" * 60 + "&run=1234", {"run"}),
    ("prefix=" + "a" * 50, {"prefix"}),
    ("prefix=a&run=1&domain=" + "a" * 64, {"domain"}),
]


@pytest.mark.parametrize(("query", "named"), FAULTS)
def test_a_fault_names_its_parameter_and_repeats_no_value(query: str, named: set[str]) -> None:
    answer = Rig().get(f"/api/v1/id?{query}")
    assert answer.status == 400
    assert {fault["parameter"] for fault in answer.json["errors"]} == named
    assert b"aaaa" not in answer.body


# Every part as text of any kind, and as what nearly is one.
HOSTILE = st.sampled_from(
    [
        '"',
        "\\",
        "\r\n",
        "\n",
        "\0",
        "\u2028",
        "٣",
        "５",
        "²",
        "é",
        "a\u0301",
        "\U0001f600",
        "%",
        "&",
        "=",
        "+",
        "#",
        "/",
    ]
)
PARTS = {
    "prefix": st.from_regex(r"[A-Za-z0-9_.]{1,12}", fullmatch=True),
    "run": st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True),
    "domain": st.from_regex(r"[A-Za-z0-9.-]{1,20}", fullmatch=True),
    "version": st.from_regex(r"v[0-9]{1,4}", fullmatch=True),
}
UNESCAPED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$'()*,;:@/?[]^`{|}\"\\<>")


@st.composite
def values(draw: st.DrawFn, name: str) -> str:
    value = draw(st.one_of(PARTS[name], PARTS[name], st.text(max_size=8)))
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(HOSTILE) + value[at:]
    return value


@st.composite
def encoded(draw: st.DrawFn, value: str) -> str:
    """The value as a client may send it: each character as it is, or escaped in capitals or small letters."""
    form = draw(st.sampled_from(["least", "upper", "lower"]))
    if form == "least":
        return "".join(each if each in UNESCAPED else "+" if each == " " else quote(each, safe="") for each in value)
    escaped = "".join(f"%{byte:02X}" for byte in value.encode())
    return escaped if form == "upper" else escaped.lower()


@st.composite
def queries(draw: st.DrawFn) -> tuple[dict[str, str], str]:
    names = draw(st.permutations(["run", *draw(st.sets(st.sampled_from(["prefix", "domain", "version"])))]))
    given_values = {name: draw(values(name)) for name in names}
    return given_values, "&".join(f"{name}={draw(encoded(value))}" for name, value in given_values.items())


FUZZED = Rig(settings=UNLIMITED)
VALIDATING = FUZZED.connect()
ASKING = FUZZED.connect()


@settings(max_examples=60, deadline=None)
@given(queries())
@example(({"run": "1\n"}, "run=1%0A"))
@example(({"run": "1", "version": "v1\n"}, "run=1&version=v1%0a"))
@example(({"run": "1", "domain": "K.example"}, "run=1&domain=%E2%84%AA.example"))  # KELVIN SIGN folds to k
def test_whatever_is_asked_for_is_refused_by_name_or_validates(asked: tuple[dict[str, str], str]) -> None:
    parts, query = asked
    answer = ASKING.get(f"/api/v1/id?{query}")
    if answer.status == 400:
        named = {fault["parameter"] for fault in answer.json["errors"]}
        assert named
        assert named <= parts.keys()
        return
    identity = split(answer.json["id"])
    assert identity.id == answer.json["id"]
    asked_for: dict[str, Any] = {
        "prefix": "unknown",
        "domain": FUZZED.service.settings.domain,
        "version": "v1",
        **parts,
    }
    asked_for["domain"] = asked_for["domain"].lower()
    assert identity._asdict() == asked_for
    assert VALIDATING.post("/api/v1/validate", {"identity": answer.json["id"]}).json["status"] == "active"


def test_a_request_line_is_remembered_only_up_to_a_bound() -> None:
    rig = Rig(settings=UNLIMITED)
    target = f"{TARGET}&utm_x="
    at_bound = target + "x" * (MAX_TARGET - len(target))
    for each in (at_bound, at_bound, at_bound + "x"):  # what is requested once is not cached
        assert rig.get(each).status == 200
    assert [len(line) - len("GET  HTTP/1.1") for line in rig.service.response_cache.by_line._young] == [MAX_TARGET]


def test_without_the_limiter_the_answers_are_the_same_but_for_its_lines() -> None:
    client = Rig(settings=UNLIMITED).connect()
    answers = [client.get(TARGET) for _ in range(3)]
    assert {answer.body for answer in answers} == {Rig().get(TARGET).body}
    for answer in answers:
        assert not [name for name in answer.headers if "ratelimit" in name]


def test_a_failure_while_answering_is_a_500_also_when_the_store_answers_late(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    rig.shared.holding = rig.shared.admitting = True
    client = rig.connect()
    client.send(request("GET", TARGET) + request("GET", "/api/health/live"))
    monkeypatch.setattr(RenderedIdentity, "response", lambda _: 1 / 0)
    rig.shared.release_all()
    failed, alive = client.answers("GET", "GET")
    assert (failed.status, alive.status) == (500, 200)
    assert "ZeroDivisionError" not in failed.body.decode()
    assert "ZeroDivisionError" in caplog.text
