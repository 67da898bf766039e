"""The fast path gives the responses of the handlers: chance scripts, and the cases in which the two have differed once.

``test_matrix.py`` has the configurations.
"""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arsenal_fast.api.admission import OnFailure
from arsenal_fast.ratelimit.quota import Quota
from tests.support.both_paths import (
    FILE,
    ORIGINS,
    PLAYER_1,
    PROXY,
    Event,
    Packet,
    Script,
    Setup,
    Worker,
    bearer,
    compare,
    get,
    post,
    steps,
)
from tests.support.rig import PEER, Rig

ID = PLAYER_1
SHOP, BOT = bearer("shop", "issue", 1000), bearer("bot", "audit", 5)
ENDING, ENDED = bearer("shop", "issue", 1000, left=60), bearer("shop", "issue", 1000, left=0)
SHORT = bearer("few", "issue", 2, left=60)
FORGED = SHOP[:-7] + "AAAAA\r\n"

DRAWN = "_1m81b5h80000g40r40m30e209"
LINES = [
    *["GET /api/v1/id?prefix=player&run=1 HTTP/1.1"] * 6,
    *[f"GET /api/v1/id?prefix=player&run={run} HTTP/1.1" for run in (2, 3, "-", "a.b", "9" * 64, "1..2", ".", "")],
    f"GET /api/v1/id?prefix={'p' * 40}&run={'r' * 40} HTTP/1.1",
    f"GET /api/v1/id?prefix={'p' * 31}&run={'r' * 32} HTTP/1.1",
    "GET /api/v1/id?prefix=a-b&run=1 HTTP/1.1",
    *[f"GET /api/v1/id?prefix=player&run={run} HTTP/1.1" for run in (DRAWN, DRAWN[:-1], f"{DRAWN}0", f"{DRAWN}..")],
    *["GET /api/v1/id?prefix=player&run=2&ttl=4 HTTP/1.1"] * 3,
    "GET /api/v1/id?run=1&prefix=player HTTP/1.1",
    *["GET /api/v1/id?prefix=player&run=1&utm_source=mail HTTP/1.1"] * 3,
    *["GET /api/v1/id?prefix=player&run=1&rum=2 HTTP/1.1"] * 2,
    "GET /api/v1/id?prefx=player&run=1 HTTP/1.1",
    "GET /problems/unknown-parameter HTTP/1.1",
    "GET http://h/api/v1/id?prefix=player&run=1 HTTP/1.1",
    "GET /api/v1/%69d?prefix=player&run=1 HTTP/1.1",
    *["GET /api/v1/id?prefix=vip&run=1 HTTP/1.1"] * 3,
    "GET /api/v1/id?prefix=VIP&run=1 HTTP/1.1",
    "GET /api/v1/id?prefix=player&run=1 HTTP/1.0",
    "GET /api/v1/id?prefix=player&run=1 HTTP/1.7",
    "HEAD /api/v1/id?prefix=player&run=1 HTTP/1.1",
    "POST /api/v1/id?prefix=player&run=1 HTTP/1.1",
    "OPTIONS /api/v1/id HTTP/1.1",
    "GET /api/v1/id?run= HTTP/1.1",
    "GET /api/v1/limits HTTP/1.1",
    "GET /api/health/live HTTP/1.1",
    "GET /api/v1/nothing HTTP/1.1",
    "BREW / HTTP/1.1",
]

# Fields between "Host" and the end. The first ones are those that clients and proxies repeat.
FIELDS = [
    *["User-Agent: x\r\n"] * 6,
    *["X-Forwarded-For: 198.51.100.1\r\nX-Request-Id: r1\r\n"] * 2,
    *["X-Forwarded-For: 198.51.100.2\r\nX-Request-Id: r2\r\n"] * 2,
    *[SHOP] * 3,
    BOT,
    ENDING,
    ENDED,
    FORGED,
    "Authorization: Basic dXNlcjpwYXNz\r\n",
    f"{SHOP}{BOT}",
    *[f"{SHOP}X-Forwarded-For: 198.51.100.{host}\r\nX-Request-Id: s{host}\r\n" for host in (1, 2)],
    *[f"X-Forwarded-For: 198.51.100.{host}\r\n{BOT}X-Request-Id: b{host}\r\n" for host in (1, 2)],
    "X-Forwarded-For: 198.51.100.1, 10.0.0.9\r\nX-Request-Id: r 3\r\n",
    "X-Forwarded-For: \r\nX-Request-Id: \r\n",
    "X-Forwarded-For: 198.51.100.2\r\nX-Forwarded-For: 198.51.100.1\r\nX-Request-Id: r4\r\n",
    "X-Request-Id: r5\r\n",
    "X-Request-Id: r6\r\n",
    "X-Request-Id: r7\r\nX-Request-Id: r8\r\n",
    f"X-Request-Id: {'x' * 129}\r\n",
    f"X-Request-Id: {'x' * 20_000}\r\n",
    "X-Request-Id: \u00e9\r\n",
    "x-request-id:r9\r\n",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01\r\n",
    f"Origin: {ORIGINS[0]}\r\n",
    f"Origin: {ORIGINS[0]}\r\nX-Request-Id: r10\r\n",
    f"Origin: {ORIGINS[1]}\r\nX-Request-Id: r11\r\n",
    f"Origin: {ORIGINS[1]}\r\nX-Forwarded-For: 198.51.100.3\r\nX-Request-Id: r12\r\n",
    "Origin: https://evil.example\r\nX-Request-Id: r13\r\n",
    *["Content-Type: application/json\r\n"] * 2,
    "Content-Type: text/plain\r\n",
    "Content-Encoding: br\r\n",
    "Connection: keep-alive\r\n",
    "Connection: close\r\n",
    "Content-Length: 0\r\n",
    "Via: 1.1 a\r\nX-Real-Ip: 198.51.100.1\r\n",
    "Via: 1.1 b\r\nX-Real-Ip: 198.51.100.2\r\n",
    "X-Bad : 1\r\n",
    "X-Request-Id: a\rb\r\n",
    "Expect: 100-continue\r\n",
]
BODIES = [("Content-Length: 2\r\n", "{}"), ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")]

TWO = '{"environments":[{"name":"a","prefix":"player","run":"1"},{"name":"b","prefix":"bot","run":"2"}]}'
POSTS = [
    *[("/api/v1/validate", f'{{"identity":"{ID}"}}')] * 5,
    ("/api/v1/validate", f'{{"identity": "{ID}"}}'),
    ("/api/v1/validate", f'{{"identity":"{ID.replace("1", "2", 1)}"}}'),
    ("/api/v1/validate", f'{{"identity":"{ID.replace("player", "vip")}"}}'),
    ("/api/v1/validate", f'{{"identities":["{ID}"]}}'),
    ("/api/v1/validate", '{"identity":7}'),
    ("/api/v1/validate?x", f'{{"identity":"{ID}"}}'),
    ("/api/v1/identities", f'{{"identity":"{ID}"}}'),
    *[("/api/v1/identities", TWO)] * 5,
    ("/api/v1/identities", TWO.replace('"b"', '"ü"')),
    ("/api/v1/identities", TWO.replace('"run":"2"', '"run":"9"')),
    ("/api/v1/identities", TWO.replace("bot", "vip")),
    ("/api/v1/identities", TWO.replace("bot", "b-t")),
    *[("/api/v1/identities", TWO.replace('"run":"2"', f'"run":"{run}"')) for run in (DRAWN, f"{DRAWN}0")],
    ("/api/v1/identities", TWO[:-1] + ',"ttl":4}'),
    ("/api/v1/identities?x", TWO),
    ("/api/v1/identities", '{"environments":[{"name":"a","prefix":"player","run":"1"}]}'),
]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    fields, body = draw(st.sampled_from(FIELDS)), ""
    if draw(st.integers(0, 3)) == 0:
        target, body = draw(st.sampled_from(POSTS))
        length = draw(st.sampled_from([len(body)] * 12 + [len(body) - 1, len(body) + 1]))
        return f"POST {target} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {length}\r\n\r\n{body}".encode("latin-1")
    if draw(st.integers(0, 11)) == 0:
        framing, body = draw(st.sampled_from(BODIES))
        fields += framing
    before = draw(st.sampled_from([""] * 12 + ["\r\n"]))
    after = draw(st.sampled_from([""] * 12 + ["\r\n", "\r"]))
    return f"{before}{draw(st.sampled_from(LINES))}\r\nHost: h\r\n{fields}\r\n{body}{after}".encode("latin-1")


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    connection = draw(st.integers(0, 1))
    parts = [draw(messages())]
    if draw(st.integers(0, 3)) == 0:
        parts += draw(st.lists(messages(), min_size=1, max_size=4))
    octets = b"".join(parts)
    pieces = parts if draw(st.booleans()) else [octets]
    if draw(st.integers(0, 3)) == 0:
        cuts = sorted(draw(st.lists(st.integers(0, len(octets)), min_size=1, max_size=3)))
        pieces = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    return Packet(connection, [piece for piece in pieces if piece], tick=draw(st.integers(0, 4)) > 0)


events = st.one_of(
    st.builds(Event, st.just("advance"), st.sampled_from([0.25, 0.75, 1, 3, 3.25, 7, 60, 2701])),
    st.builds(Event, st.just("advance"), st.sampled_from([0.25, 0.75, 1, 3, 3.25, 7, 60, 2701])),
    st.builds(Event, st.sampled_from(["away", "hold", "ledger-away"]), st.booleans()),
    st.builds(Event, st.sampled_from(["pause", "resume", "half-close", "lose", "connect"]), st.integers(0, 1)),
    st.builds(Event, st.sampled_from(["sweep", "drain"])),
    st.builds(Event, st.just("revoke"), st.sampled_from([ID, ID.replace("player", "vip"), "player", None])),
)

scripts = st.lists(st.one_of(packets(), packets(), packets(), packets(), packets(), events), min_size=2, max_size=14)


BEHALF = bearer("bot", "behalf", 100, per_subject=4)
SUBJECT_1, SUBJECT_2 = "Arsenal-Subject: tg-1\r\n", "Arsenal-Subject: tg-2\r\n"
XFF_1, XFF_2, XFF_3 = (f"X-Forwarded-For: 198.51.100.{host}\r\n" for host in (1, 2, 3))
LIMITS = "/api/v1/limits"
PLAIN_TEXT = "Content-Type: text/plain\r\n"
VIP = "/api/v1/id?prefix=vip&run=1"


setups = st.builds(
    Setup,
    quota=st.sampled_from([None, Quota(3, 6), Quota(100, 3600)]),
    policies=st.sampled_from([None, None, FILE]),
    on_failure=st.sampled_from(OnFailure),
    ledger=st.sampled_from(["none", "here", "away"]),
    peer=st.sampled_from([PROXY, PROXY, PEER]),
    origins=st.sampled_from([(), ORIGINS[:1], ORIGINS]),
    access_log=st.sampled_from(["off", "errors", "all"]),
    reopens=st.booleans(),
)


VALIDATE_1 = post("/api/v1/validate", '{"identity":"player-1@sports.api.yourbook.com/v1:id"}')
PIPELINED = Packet(0, [get().pieces[0] + VALIDATE_1.pieces[0]], tick=False)


@settings(max_examples=100, deadline=None)
@given(scripts, setups)
# A request with other fields in between, and then the client of the first one again.
@example([get(fields=XFF_1), get(fields=XFF_2), get(LIMITS, XFF_1), get(fields=XFF_1)], Setup(Quota(3, 6)))
# An identity that is issued in the tick in which other connections ask whether it is valid.
@example([replace(VALIDATE_1, connection=1), PIPELINED, replace(VALIDATE_1, connection=1, tick=False)], Setup(None))
def test_both_paths_give_the_same_octets(script: Script, setup: Setup) -> None:
    compare(script, setup)


ORIGIN_A, ORIGIN_B = (f"Origin: {origin}\r\n" for origin in ORIGINS)
ID_1, ID_2 = "X-Request-Id: 1\r\n", "X-Request-Id: 2\r\n"
TRACE_1, TRACE_2 = "traceparent: 1\r\n", "traceparent: 2\r\n"
CHUNKED, LENGTH = "Transfer-Encoding: chunked\r\n", "Content-Length: 2\r\n"

# Where the two ways have differed once, or nearly: name -> (script, quota).
CASES: dict[str, tuple[Script, Quota | None]] = {
    "a body in chunks is waited for, also an empty one": (
        steps(
            Packet(0, [get(fields=CHUNKED).pieces[0] + b"0\r\n\r\n"]),
            steps(get(fields=CHUNKED), Packet(0, [b"0\r\n\r\n"]), times=2),
        ),
        None,
    ),
    "a body is waited for": (
        steps(
            Packet(0, [get(fields=LENGTH).pieces[0] + b"{}"]), steps(get(fields=LENGTH), Packet(0, [b"{}"]), times=2)
        ),
        None,
    ),
    "one empty line before each request is one, and a CR alone is none": (
        steps(
            get(),
            Packet(0, [get().pieces[0] + b"\r\n"]),
            get(),
            Packet(0, [b"\r\n" + get().pieces[0]]),
            get(),
            Packet(0, [b"\r\n"]),
            get(),
            Packet(0, [b"\r"]),
            get(),
        ),
        None,
    ),
    "a client is charged for itself after another one on the same connection": (
        steps(get(fields=XFF_1), get(fields=XFF_2), get(LIMITS, XFF_1), get(fields=XFF_1), get(fields=XFF_2)),
        Quota(9, 60),
    ),
    "the fields of an earlier shape don't mix with those of the last request": (
        steps(
            *(get(fields=ORIGIN_A + request_id) for request_id in (ID_1, ID_2)),
            get(LIMITS, ORIGIN_B + ID_1),
            get(fields=ORIGIN_B + ID_1),
            *(get(fields=ORIGIN_A + request_id) for request_id in (ID_1, ID_2)),
        ),
        None,
    ),
    "who came without an address is charged as the proxy again": (
        steps(*(get(fields=fields) for fields in (TRACE_1, TRACE_2, XFF_1, TRACE_1, TRACE_2))),
        Quota(9, 60),
    ),
    "each subject has its own limit, and one that is refused has the other way": (
        steps(
            *(get(fields=BEHALF + subject) for subject in (SUBJECT_1, SUBJECT_2, SUBJECT_1, SUBJECT_1)),
            get(LIMITS, BEHALF + SUBJECT_1),
            get(fields=BEHALF + XFF_1 + SUBJECT_2),
            get(fields=XFF_1 + SUBJECT_2),
            get(fields=BEHALF + "Arsenal-Subject: a b\r\n"),
            get(fields=BEHALF),
            times=3,
        ),
        Quota(9, 60),
    ),
    "after a pause the last client is forgotten": (
        steps(get(fields=XFF_1), get(fields=XFF_2), Event("pause", 0), Event("resume", 0), get(fields=XFF_1)),
        Quota(9, 60),
    ),
    "a field section that has grown too long is refused": (
        steps(get(fields=ID_1), get(fields=ID_2), get(fields=f"X-Request-Id: {'x' * 17_000}\r\n")),
        None,
    ),
    "an HTTP/1.0 request between others closes": (
        steps(get(), get(), Packet(0, [b"GET /api/v1/id?prefix=player&run=1 HTTP/1.0\r\n\r\n"]), get()),
        None,
    ),
    "a life is renewed in time": (
        steps(get(), get(), steps(Event("advance", 0.25), Event("advance", 2700), get(), get(), times=2)),
        None,
    ),
    "a refusal ends in time": (steps(get(), get(), get(), steps(Event("advance", 0.5), get(), times=9)), Quota(2, 4)),
    "a refused request is logged by its own path": (
        steps(get(), steps(get("/api/health/live"), get(), times=2), get()),
        Quota(2, 60),
    ),
    "draining says close to the next request": (steps(get(), get(), Event("drain"), get(), get()), None),
    "draining says close to a request that is on its way": (
        steps(get(), Event("hold", True), get(), Event("drain"), Event("hold", False), get()),
        Quota(100, 60),
    ),
    "a token is charged for itself, also after another one and after none": (
        steps(*(get(fields=fields) for fields in (SHOP, SHOP, BOT, BOT, "", SHOP, "", "", FORGED, FORGED)), times=2),
        Quota(9, 60),
    ),
    "a token is charged whatever address it comes from": (
        steps(*(get(fields=fields + SHOP) for fields in (XFF_1, XFF_2, XFF_3)), get(fields=XFF_1), times=2),
        Quota(3, 60),
    ),
    "a token that ends is refused from then on": (
        steps(steps(get(fields=ENDING), times=3), Event("advance", 60), steps(get(fields=ENDING), times=3)),
        Quota(9, 60),
    ),
    "a token that ends in one tick with others is refused alone": (
        steps(
            steps(get(fields=SHOP), times=2),
            steps(Packet(1, get(fields=ENDING).pieces), times=2),
            Event("advance", 60),
            *(Packet(0, get(fields=SHOP).pieces, tick=False), Packet(1, get(fields=ENDING).pieces), get(LIMITS)),
        ),
        Quota(9, 60),
    ),
    "a token that ends while its subject is over its limit is refused for that": (
        steps(steps(get(fields=SHORT), times=5), Event("advance", 60), steps(get(fields=SHORT), times=3)),
        Quota(9, 3600),
    ),
    "a token that ends is refused also where nobody is limited": (
        steps(steps(get(fields=ENDING), times=3), Event("advance", 60), steps(get(fields=ENDING), times=3)),
        None,
    ),
    "a protected prefix is for those with the scope": (
        steps(*(get(VIP, fields) for fields in ("", SHOP, SHOP, BOT, BOT, "", "", SHOP, FORGED, ENDED)), times=2),
        Quota(50, 60),
    ),
    "what was revoked elsewhere is issued anew": (
        steps(
            steps(get(), times=3),
            steps(Event("advance", 0.25), Event("revoke", ID), steps(get(), times=3)),
            steps(Event("advance", 0.25), Event("revoke", "player"), steps(get(), times=3)),
            steps(Event("advance", 0.25), Event("revoke", None), steps(get(), times=3)),
        ),
        None,
    ),
    "what was revoked while the request was on its way is issued anew": (
        steps(
            *(get(), get(), Event("advance", 1), Event("hold", True), get(), Event("revoke", ID), get(), get()),
            *(Event("hold", False), get()),
        ),
        Quota(50, 60),
    ),
    "a batch that comes again is told of the same identities, until one of them is renewed or revoked": (
        steps(
            *[post("/api/v1/identities", TWO)] * 6,
            *(get(fields=PLAIN_TEXT), post("/api/v1/identities", TWO, PLAIN_TEXT), post("/api/v1/identities", TWO)),
            *[post("/api/v1/identities", TWO)] * 2,
            Event("revoke", ID),
            get("/api/v1/limits"),
            *[post("/api/v1/identities", TWO)] * 6,
            Event("advance", 2701),
            *[post("/api/v1/identities", TWO)] * 6,
        ),
        Quota(50, 60),
    ),
    "a body that says it is no JSON is refused, whatever was answered to its octets before": (
        steps(
            *[post("/api/v1/validate", f'{{"identity":"{ID}"}}')] * 4,
            *[post("/api/v1/validate", f'{{"identity":"{ID}"}}', PLAIN_TEXT)] * 3,
        ),
        None,
    ),
    "a store that comes back late finds the requests of a connection in order": (
        steps(
            *(get(), Event("hold", True), get(), get(), get("/api/v1/id?prefix=player&run=9"), get()),
            Event("hold", False),
        ),
        Quota(100, 60),
    ),
}


@pytest.mark.parametrize("on_failure", OnFailure)
@pytest.mark.parametrize("name", CASES)
def test_a_case_that_is_told_by_its_name(name: str, on_failure: OnFailure) -> None:
    script, quota = CASES[name]
    compare(script, Setup(quota, on_failure))
    away: Script = [step for each in script for step in (each, Event("away", True))]
    compare([get(), get("/api/v1/id?prefix=player&run=2"), *away], Setup(quota or Quota(50, 60), on_failure))


@pytest.mark.parametrize("fast_path", [True, False])
def test_the_fast_path_is_taken_where_it_can_be(fast_path: bool) -> None:
    worker = Worker(Setup(Quota(100, 60)), fast_path=fast_path)
    begun = worker.rig.recognized()
    # Fields of another shape are read once.
    for fields in ("", "", "", "", "", ID_1, ID_2, ID_1, XFF_1 + ID_1, XFF_2 + ID_2, XFF_3 + ID_1):
        worker.take(get(fields=fields))
    assert len(begun) == (8 if fast_path else 0)
    validation = post("/api/v1/validate", f'{{"identity":"{ID}"}}')
    for _ in range(4):
        worker.take(validation)
    assert len(begun) == (11 if fast_path else 0)
    # Its second identity is requested for the first time, then its row is kept.
    for _ in range(6):
        worker.take(post("/api/v1/identities", TWO))
    assert len(begun) == (15 if fast_path else 0)


def test_each_response_of_the_fast_path_is_logged_where_all_are() -> None:
    rig = Rig(settings={"access_log": "all"})
    recognized = rig.recognized()
    client = rig.connect()
    for _ in range(4):
        client.get("/api/v1/id?prefix=player&run=1")
    assert recognized
    assert rig.access == [(b"/api/v1/id", "203.0.113.9", 200)] * 4


def test_a_refusal_is_logged_with_its_own_request_id_and_trace_however_the_request_was_read() -> None:
    rig = Rig(settings={"trusted_proxies": ["10.0.0.0/8"]}, worthwhile=1)
    logged: list[tuple[bytes | None, bytes | None]] = []
    rig.service.access_log = lambda request, *_: logged.append((request.fields.request_id, request.fields.traceparent))
    client = rig.connect(PROXY)
    for number in range(4):
        client.get("/api/v1/id?run=", X_Request_Id=f"r{number}", traceparent=f"t{number}")
    assert logged == [(b"r%d" % number, b"t%d" % number) for number in range(4)]
    assert client.connection._recognizer is not None
