"""No request leaves a reference cycle: its memory is free when it is answered.

A cycle is memory that only the garbage collector gives back, which looks seldom and stops the loop for as long as it
looks. The collector is off here; what it then finds to free is what some request left behind.
"""

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from arsenal_fast.api.admission import OnFailure
from arsenal_fast.api.routes import ROUTES
from arsenal_fast.http.grammar import METHODS
from arsenal_fast.ratelimit.quota import Quota
from tests.support.ledgers import Book, SwitchedLedger
from tests.support.rig import Rig, request
from tests.support.tokens import BAD

ID = "player-1@sports.api.yourbook.com/v1:id"
JSON = {"Content_Type": "application/json"}
ENOUGH = Quota(1_000_000, 3600)


@contextmanager
def collector_off() -> Iterator[None]:
    """Fail where the block leaves something that only the collector can free."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
        assert not left, left.most_common(8)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def targets() -> Iterator[str]:
    for route in ROUTES:
        yield route.path
    yield from (
        "/api/v1/id?prefix=player&run=1",
        "/api/v1/id?prefix=a-b&run=&ttl=x&domain=-&version=1&unknown=1",
        "/api/v1/id?prefix=%zz",
        "/api/v1/%zz",
        "/api/v1/audit?limit=0&since=yesterday&cursor=x",
        "/api/v1/nothing",
        "/nothing",
        "*",
        "http://identity/api/v1/limits",
    )


def bodies(rig: Rig) -> Iterator[bytes]:
    environments: list[object] = [
        [],
        7,
        [{"name": "a", "prefix": "player", "run": "1"}],
        [{"name": "a", "prefix": "player"}, {"name": "b", "prefix": "bot", "run": "2"}],
        [{"name": "a", "prefix": "a-b", "run": "."}, {}, 1, {"name": "", "more": 1}],
        [{"name": "a", "prefix": "vip", "run": "1"}],
    ]
    token = rig.token(ID)
    values: list[object] = [
        [],
        {},
        {"more": 1},
        {"identity": ID},
        {"identity": "malformed"},
        {"identity": 7},
        {"identity": ID.replace("1", "9", 1)},
        {"identities": ["malformed", ID, "x" * 400, ID.replace("1", "8", 1)]},
        {"identities": [1, 2]},
        {"identity": ID, "token": token},
        {"token": token},
        {"token": 1},
        *({"token": bad.token} for bad in BAD),
        *({"identity": ID, "token": bad.token} for bad in BAD[:4]),
        *({"environments": each} for each in environments),
        {"environments": environments[2], "domain": "-", "version": "1", "ttl": 0},
        {"issued_before": "2025-01-01T00:00:00Z"},
        {"issued_before": "yesterday", "prefix": "-"},
        {"prefix": "player", "issued_before": "2025-01-01T00:00:00Z"},
    ]
    yield from (b"", b"{", b"\xff", b'{"a":1e999}')
    yield from (json.dumps(value).encode() for value in values)


def callers(rig: Rig) -> Iterator[dict[str, str]]:
    yield {}
    for authorization in (
        rig.bearer("issue", "revoke", "audit"),
        rig.bearer(),
        "Basic dXNlcjpwYXNz",
        "Bearer",
        *(f"Bearer {bad.token}" for bad in BAD[:6]),
    ):
        yield {"Authorization": authorization}


MALFORMED = [
    b"BREW / HTTP/1.1\r\n\r\n",
    b"CONNECT identity:443 HTTP/1.1\r\nHost: identity:443\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"GET /\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n",
    b"POST /api/v1/validate HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    b"POST /api/v1/validate HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /api/v1/validate HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
]


def send(rig: Rig, *packets: bytes) -> None:
    """Send packets over one connection, which is gone afterwards."""
    client = rig.connect()
    for packet in packets:
        if not client.transport.closed and client.transport.reading:
            client.send(packet)
    client.lose()


def every_route(rig: Rig) -> None:
    for method in sorted(METHODS):
        for target in targets():
            octets = request(method.decode(), target, Origin="https://a.example", X_Request_Id="r")
            send(rig, octets, octets, octets + octets)
    for target in ("/", "/api", "/api/health"):  # a browser's
        octets = request("GET", target, Accept="text/html")
        send(rig, octets, octets, octets + octets)


def every_body(rig: Rig) -> None:
    for body in bodies(rig):
        for target in ("/api/v1/validate", "/api/v1/identities", "/api/v1/revoke"):
            octets = request("POST", target, body, **JSON)
            send(rig, octets, octets, octets + octets)


def every_caller(rig: Rig) -> None:
    for caller in callers(rig):
        for target in ("/api/v1/id?prefix=player&run=1", "/api/v1/id?prefix=vip&run=1", "/api/v1/limits", "/api/docs"):
            octets = request("GET", target, **caller)
            send(rig, octets, octets, octets + octets)
        send(rig, request("GET", "/api/v1/audit", **caller))
        for body in (b'{"identity":"%b"}' % ID.encode(), b'{"issued_before":"2025-01-01T00:00:00Z"}'):
            send(rig, request("POST", "/api/v1/revoke", body, **JSON, **caller))


def every_fault_of_a_message(rig: Rig) -> None:
    for octets in MALFORMED:
        send(rig, octets, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        send(rig, request("GET", "/api/v1/id?run=1") + octets)
        send(rig, *(octets[index : index + 1] for index in range(len(octets) if len(octets) < 2_000 else 0)))


def a_token_that_expires(rig: Rig) -> None:
    expiring = request("GET", "/api/v1/id?prefix=player&run=1", Authorization=rig.bearer("issue", days=1))
    client = rig.connect()
    for _ in range(3):
        client.send(expiring)
    rig.advance(86_400)
    client.send(expiring)
    client.lose()


def time_outs(rig: Rig) -> None:
    for octets in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", request("GET", "/")):
        client = rig.connect()
        client.send(octets)
        for _ in range(4):
            rig.advance(61)
            rig.sweep()
        client.lose()


def half_closes(rig: Rig) -> None:
    client = rig.connect()
    client.deliver(request("GET", "/api/v1/id?run=1"))
    client.half_close()
    client.lose()
    client = rig.connect()
    client.deliver(request("GET", "/api/v1/limits") + request("GET", "/api/v1/id?run=1"))
    client.lose()
    rig.tick()


def refused_by_the_limit(rig: Rig) -> None:
    client = rig.connect(("198.51.100.1", 1))
    octets = request("GET", "/api/v1/id?prefix=player&run=1")
    client.send(octets * 4)
    for _ in range(4):
        client.send(octets)
        client.send(request("GET", "/api/v1/limits"))
    client.lose()


def the_store_away(rig: Rig) -> None:
    rig.shared.away = True
    for packet in (
        request("GET", "/api/v1/id?prefix=player&run=1"),
        request("GET", "/api/v1/limits"),
        request("POST", "/api/v1/validate", b'{"identities":["%b","malformed"]}' % ID.encode(), **JSON),
        request("POST", "/api/v1/revoke", json.dumps({"identity": ID, "token": rig.token(ID)}).encode(), **JSON),
    ):
        send(rig, packet, packet, packet)
    rig.shared.come_back()
    rig.tick()


def the_ledger_away(rig: Rig) -> None:
    assert isinstance(rig.ledger, SwitchedLedger)
    rig.ledger.away = True
    send(rig, request("GET", "/api/v1/id?prefix=late&run=1"), request("GET", "/api/v1/audit"))
    every_caller(rig)
    rig.ledger.away = False


KINDS: list[Callable[[Rig], None]] = [
    every_route,
    every_body,
    every_caller,
    every_fault_of_a_message,
    a_token_that_expires,
    time_outs,
    half_closes,
    refused_by_the_limit,
    the_store_away,
    the_ledger_away,
]

WORKERS: dict[str, dict[str, Any]] = {
    "embedded": {},
    "without a limit": {"settings": {"quota": None}},
    "a small limit": {"settings": {"quota": Quota(2, 3600)}},
    "a ledger": {"ledger": True},
    "closed while the store is away": {"settings": {"on_store_failure": OnFailure.CLOSED}},
    "open while the store is away": {"settings": {"on_store_failure": OnFailure.OPEN}},
    "without the fast path": {"fast_path": False},
}


def worker(settings: dict[str, Any] | None = None, ledger: bool = False, fast_path: bool = True) -> Rig:
    values = {"quota": ENOUGH, "protected_prefixes": frozenset({"vip"}), "origins": ("https://a.example", "https://b")}
    return Rig(
        settings={**values, **(settings or {})},
        ledger=SwitchedLedger(Book()) if ledger else None,
        switched=True,
        fast_path=fast_path,
        worthwhile=1,
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("options", WORKERS.values(), ids=WORKERS)
def test_a_request_leaves_no_cycle(options: dict[str, Any], kind: Callable[[Rig], None]) -> None:
    rig = worker(**options)
    if kind is the_ledger_away and rig.ledger is None:
        pytest.skip("there is no ledger")
    kind(rig)  # imports and caches come with the first
    with collector_off():
        kind(rig)


def test_a_cycle_would_be_found() -> None:
    def cycle() -> None:
        knot: list[object] = []
        knot.append(knot)

    with pytest.raises(AssertionError, match="list"), collector_off():
        cycle()


def test_every_kind_of_answer_is_among_them() -> None:
    """A worker that would answer all of it alike would show nothing."""
    seen: set[int] = set()
    for name in ("embedded", "a small limit", "closed while the store is away"):
        rig = worker(**WORKERS[name])
        for kind in KINDS[:-1]:
            kind(rig)
        seen.update(status for _, _, status in rig.service.metrics.series)
    assert seen >= {200, 204, 302, 400, 401, 403, 404, 405, 408, 413, 414, 417, 429, 431, 501, 503, 505}
