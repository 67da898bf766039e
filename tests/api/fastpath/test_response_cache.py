"""The response cache: look-ups by the bytes of a request line or body, and misses that go to the handler."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.api.fastpath.cached_batch import CachedBatch
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.api.fastpath.render import CachedVerdict, RenderedIdentity, rendered
from arsenal_fast.api.fastpath.response_cache import (
    MAX_BATCH_BODY,
    MAX_BODY,
    MAX_SEEN,
    MAX_TARGET,
    CachedResponse,
    MissingIdentity,
    ResponseCache,
)
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.identity.validity import DEFAULT_TTL, Life, Terms
from arsenal_fast.registry.cache import CachedIdentity
from tests.support.rig import START, Rig, request

DOMAIN = "sports.api.yourbook.com"
LINE = b"GET /api/v1/id?prefix=player&run=1 HTTP/1.1"
ID = f"player-1@{DOMAIN}/v1:id"
LIFE = Life(int(START) * 1000, int(START) * 1000 + 3_600_000)
VALIDATE = b"POST /api/v1/validate HTTP/1.1"
BATCH = b"POST /api/v1/identities HTTP/1.1"


def caches(**settings: Any) -> tuple[Rig, ResponseCache]:
    rig = Rig(settings=settings)
    return rig, rig.service.response_cache


def living(rig: Rig, identity: str = ID) -> RenderedIdentity:
    (found,) = rendered((rig.service.identities.put(identity, LIFE, 0),))
    return found


def post(path: str, body: bytes) -> Request:
    return Request(b"POST", path.encode(), path.encode(), b"", 1, Fields(), body, True)


def get(target: bytes, *, method: bytes = b"GET", minor: int = 1) -> Request:
    path, _, query = target.partition(b"?")
    return Request(method, target, path, query, minor, Fields(), b"", True)


def by_body(cache: ResponseCache, line: bytes, body: bytes) -> CachedResponse | None:
    responses = cache.by_body.get(line)
    return None if responses is None else responses.get(body)


def test_a_usual_line_whose_identity_is_not_remembered_tells_which_is_missing() -> None:
    rig, cache = caches()
    found = cache.by_line.get(LINE)
    assert isinstance(found, MissingIdentity)
    assert found.id == ID
    response: CachedResponse = found
    assert response.render(rig.service.clock) is None


def test_a_usual_line_finds_the_identity_however_it_came_to_be_remembered() -> None:
    rig, cache = caches()
    entry = living(rig)
    assert cache.by_line.get(LINE) is entry
    assert cache.by_line.get(LINE) is entry, "by its octets from now on"
    assert entry.render(rig.service.clock) is not None


USUAL = [
    (b"prefix=player&run=1", ID),
    (b"prefix=Player&run=1", f"Player-1@{DOMAIN}/v1:id"),
    (b"prefix=a.b&run=c-d.e", f"a.b-c-d.e@{DOMAIN}/v1:id"),
    (b"prefix=%s&run=%s" % (b"a" * 31, b"b" * 32), f"{'a' * 31}-{'b' * 32}@{DOMAIN}/v1:id"),
]
UNUSUAL = [
    b"",
    b"prefix=player",
    b"run=1&prefix=player",
    b"prefix=player&run=",
    b"prefix=&run=1",
    b"prefix=player&run=1&ttl=60",
    b"prefix=player&run=%31",
    b"prefix=player&run=a+b",
    b"prefix=player&run=\xe9",
    b"prefix=%s&run=%s" % (b"a" * 32, b"b" * 32),
    b"prefix=player&run=1 ",
    b"prefix=player&run=1\n",
]


@pytest.mark.parametrize(("query", "identity"), USUAL)
def test_a_usual_query_is_a_valid_id(query: bytes, identity: str) -> None:
    _, cache = caches()
    assert cache.usual_id(query) == identity
    found = cache.by_line.get(b"GET /api/v1/id?%b HTTP/1.1" % query)
    assert isinstance(found, MissingIdentity)
    assert found.id == identity


@pytest.mark.parametrize("query", UNUSUAL)
def test_any_other_query_is_the_handlers(query: bytes) -> None:
    _, cache = caches()
    assert cache.usual_id(query) is None
    assert cache.by_line.get(b"GET /api/v1/id?%b HTTP/1.1" % query) is None


def test_a_run_of_the_drawn_form_is_the_handlers() -> None:
    rig, cache = caches()
    run = rig.service.draw_run()
    for spelled in (run, run.upper()):
        assert cache.usual_id(f"prefix=player&run={spelled}".encode()) is None


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace(b"GET", b"HEAD"),
        LINE.replace(b"1.1", b"1.0"),
        LINE.replace(b"/id", b"/ids"),
        LINE.replace(b"/api", b"http://h/api"),
        LINE + b" ",
        b"GET /api/v1/limits HTTP/1.1",
        b"",
    ],
)
def test_another_method_path_or_version_is_the_handlers(line: bytes) -> None:
    rig, cache = caches()
    living(rig)
    assert cache.by_line.get(line) is None


@pytest.mark.parametrize("prefix", [b"player", b"PLAYER", b"pLayer"])
def test_a_protected_prefix_is_the_handlers_in_any_case(prefix: bytes) -> None:
    _, cache = caches(protected_prefixes=frozenset({"player"}))
    assert cache.by_line.get(LINE.replace(b"player", prefix)) is None
    assert cache.by_line.get(LINE.replace(b"player", b"players")) is not None


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        (get(b"/api/v1/id?run=1"), True),
        (get(b"/" + b"x" * (MAX_TARGET - 1)), True),
        (get(b"/" + b"x" * MAX_TARGET), False),
        (get(b"/api/v1/id?run=1", method=b"HEAD"), False),
        (get(b"/api/v1/id?run=1", minor=0), False),
    ],
)
def test_an_unusual_line_is_kept_where_it_is_a_get_of_http_1_1_and_short(request_: Request, kept: bool) -> None:
    rig, cache = caches()
    entry = living(rig)
    cache.put_identity(request_, entry)
    line = b"%b %b HTTP/1.%d" % (request_.method, request_.target, request_.minor)
    found = cache.by_line.get(line)
    assert (found is not None) is kept
    if found is not None:
        assert (found.ids, found.terms, found.render(rig.service.clock)) == ((entry.id,), None, entry.response())
        entry.forget()
        assert (found.terms, found.render(rig.service.clock)) == (None, None)


def test_a_usual_line_whose_identity_was_dropped_says_how_to_fetch_it() -> None:
    rig, cache = caches()
    entry = living(rig)
    cache.put_identity(get(b"/api/v1/id?prefix=player&run=1"), entry)
    found = cache.by_line.get(LINE)
    assert found is entry
    assert found.terms is None
    entry.forget()
    assert found.terms == Terms(DEFAULT_TTL * 1000)


def test_a_body_is_found_for_its_own_line_only() -> None:
    rig, cache = caches()
    body = b'{"identity":"a"}'
    verdict = cache.put_verdict(post("/api/v1/validate", body), living(rig))
    assert isinstance(verdict, CachedVerdict)
    assert by_body(cache, VALIDATE, body) is verdict
    assert by_body(cache, BATCH, body) is None
    assert by_body(cache, VALIDATE + b"?", body) is None
    assert by_body(cache, VALIDATE, body + b" ") is None
    assert by_body(cache, b"", body) is None


@pytest.mark.parametrize(("length", "kept"), [(MAX_BODY, True), (MAX_BODY + 1, False)])
def test_the_verdict_on_a_long_body_is_rendered_and_not_kept(length: int, kept: bool) -> None:
    rig, cache = caches()
    body = b"x" * length
    verdict = cache.put_verdict(post("/api/v1/validate", body), living(rig))
    assert by_body(cache, VALIDATE, body) is (verdict if kept else None)


ROW = '{"name":"a","prefix":"player","run":"1"}'


def batch_of(row: str) -> str:
    return f'{{"environments":[{row}]}}'


USUAL_BATCHES = [
    (batch_of(ROW), ["a"], [ID]),
    ('{"environments": [{"name": "a b,c", "prefix": "player", "run": "1"}]}', ["a b,c"], [ID]),
    (batch_of(f"{ROW},{ROW}, {ROW}"), ["a"] * 3, [ID] * 3),
    (batch_of(ROW.replace('"a"', f'"{"x" * 128}"')), ["x" * 128], [ID]),
]
UNUSUAL_BATCHES = [
    "",
    "{}",
    '{"environments":[]}',
    batch_of(ROW).replace("[", "").replace("]", ""),
    batch_of(ROW)[:-1],
    batch_of(ROW) + "}",
    batch_of(ROW) + " ",
    batch_of(ROW + ","),
    batch_of(ROW + ROW),
    batch_of(f"{ROW},7,{ROW}"),
    batch_of(ROW).replace("]", '],"ttl":60'),
    batch_of(ROW).replace("{", '{"ttl":60,', 1),
    batch_of(ROW.replace('"a"', '""')),
    batch_of(ROW.replace('"a"', f'"{"x" * 129}"')),
    batch_of(ROW.replace('"a"', '"\\u0061"')),
    batch_of(ROW.replace('"a"', '"\x7f"')),
    batch_of(ROW.replace('"a"', '"é"')),
    batch_of(ROW.replace('"1"', "1")),
    batch_of(ROW.replace('"1"', '""')),
    batch_of(ROW.replace('"1"', '"a b"')),
    batch_of(ROW.replace("player", "play-er")),
    batch_of(ROW.replace('"1"', f'"{"1" * 58}"')),
    batch_of(ROW.replace('"run":"1"', '"run":"1","run":"1"')),
    batch_of(ROW.replace(',"run":"1"', "")),
    batch_of(",".join([ROW] * (MAX_ROWS + 1))),
]


@pytest.mark.parametrize(("body", "names", "ids"), USUAL_BATCHES)
def test_the_rows_of_a_usual_batch_are_names_and_valid_ids(body: str, names: list[str], ids: list[str]) -> None:
    _, cache = caches()
    assert cache.usual_batch(body.encode()) == (names, ids)


@pytest.mark.parametrize("body", UNUSUAL_BATCHES)
def test_any_other_batch_is_read_as_json(body: str) -> None:
    _, cache = caches()
    assert cache.usual_batch(body.encode()) is None


def test_a_batch_with_a_run_of_the_drawn_form_is_read_as_json() -> None:
    rig, cache = caches()
    run = rig.service.draw_run()
    assert cache.usual_batch(batch_of(ROW.replace('"1"', f'"{run}"')).encode()) is None


MEMBERS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "A b", ", ", "],}", "", "\\", '"', "\x00", "é", "x" * 128, "x" * 129]),
        "prefix": st.sampled_from(["player", "a.b", "a.", "A_", "-", "a-b", "", "é", "p" * 40]),
        "run": st.sampled_from(["1", "-1", "a-b", "1.", ".1", "..", "", "r" * 40, "_" + "0" * 25]),
    }
)
COMPACT, SPACED = (",", ":"), (", ", ": ")


@given(st.lists(MEMBERS, max_size=4), st.sampled_from([COMPACT, SPACED]), st.booleans())
def test_what_is_read_as_usual_is_what_the_json_reader_reads(
    rows: list[dict[str, str]], separators: tuple[str, str], is_ascii: bool
) -> None:
    rig, cache = caches()
    body = json.dumps({"environments": rows}, separators=separators, ensure_ascii=is_ascii).encode()
    usual = cache.usual_batch(body)
    other = json.dumps({"version": "v1", "environments": rows}).encode()  # the same request, of no usual form
    assert cache.usual_batch(other) is None
    connection = rig.connect()
    connection.send(request("POST", "/api/v1/identities", other, Content_Type="application/json"))
    (answer,) = connection.answers("POST")
    if usual is None:
        return
    assert answer.status == 200
    read = answer.json["identities"]
    assert usual == ([each["environment"] for each in read], [each["id"] for each in read])


def kept_rows(rig: Rig, *ids: str) -> list[RenderedIdentity]:
    """Living identities that were handed out before, so that their rows are kept."""
    found = [living(rig, each) for each in ids]
    for each in found * 2:
        each.row()
    return found


def test_a_usual_batch_under_new_names_needs_no_handler_where_its_rows_are_kept() -> None:
    rig, cache = caches()
    (entry,) = kept_rows(rig, ID)
    response = by_body(cache, BATCH, b'{"environments":[%b]}' % ROW.replace('"a"', '"new"').encode())
    assert isinstance(response, CachedBatch)
    assert response.ids == [ID]
    body = response.render(rig.service.clock)
    assert body is not None
    assert b'"environment":"new"' in body
    entry.forget()
    assert response.render(rig.service.clock) is None


def test_a_usual_batch_is_the_handlers_where_an_identity_is_not_kept() -> None:
    rig, cache = caches()
    kept_rows(rig, ID)
    for run in ("2", "3"):
        if run == "3":
            living(rig, ID.replace("-1", "-3"))  # never handed out
        rows = f"{ROW},{ROW.replace('1', run)}".encode()
        assert by_body(cache, BATCH, b'{"environments":[%b]}' % rows) is None


def test_a_usual_batch_with_a_protected_prefix_is_the_handlers() -> None:
    rig, cache = caches(protected_prefixes=frozenset({"player"}))
    kept_rows(rig, ID)
    assert by_body(cache, BATCH, b'{"environments":[%b]}' % ROW.encode()) is None


def keep_batch(cache: ResponseCache, body: bytes, identities: list[CachedIdentity]) -> bool:
    """Offer a batch; whether it is kept now."""
    cache.put_batch(post("/api/v1/identities", body), identities, (b"x",))
    return by_body(cache, BATCH, body) is not None


@pytest.mark.parametrize(("length", "kept"), [(2, True), (MAX_BATCH_BODY, True), (MAX_BATCH_BODY + 1, False)])
def test_a_batch_is_kept_when_it_comes_a_second_time_unless_it_is_long(length: int, kept: bool) -> None:
    rig, cache = caches()
    identities: list[CachedIdentity] = [living(rig)]
    body = b"x" * length
    assert not keep_batch(cache, body, identities)
    assert keep_batch(cache, body, identities) is kept


def test_bodies_that_came_once_are_forgotten_when_there_are_too_many() -> None:
    rig, cache = caches()
    identities: list[CachedIdentity] = [living(rig)]
    for number in range(MAX_SEEN):
        assert not keep_batch(cache, b"%d" % number, identities)
    assert not keep_batch(cache, b"one more", identities)
    assert not keep_batch(cache, b"0", identities), "forgotten with all others"
    assert keep_batch(cache, b"one more", identities)


def test_responses_of_all_endpoints_are_counted() -> None:
    rig, cache = caches()
    found = cache.by_line.get(LINE)
    assert found is not None
    verdict = cache.put_verdict(post("/api/v1/validate", b"a"), living(rig))
    for endpoint in (found.endpoint, verdict.endpoint):
        assert isinstance(endpoint, Endpoint)
        endpoint.responses = 2
    cache.count(rig.service.metrics, 0.0)
    assert rig.service.metrics.requests() == {("GET", "200"): 2, ("POST", "200"): 2}
