"""Headers of every response, echoed request headers, counts and log lines."""

import pytest

from arsenal_fast.ratelimit.quota import Quota
from tests.support.made_ids import MADE
from tests.support.rig import Rig, request

ID = "/api/v1/id?run=1"
SECURITY = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}

# (method, target, status)
ANSWERS = [
    ("GET", ID, 200),
    ("HEAD", ID, 200),
    ("GET", "/api/v1/id?run=", 400),
    ("GET", "/nothing", 404),
    ("DELETE", "/api/v1/id", 405),
    ("OPTIONS", "/api/v1/id", 204),
    ("GET", "/api/v1/limits", 200),
    ("GET", "/api/health/live", 200),
    ("GET", "/api", 302),
    ("GET", "/", 200),
    ("GET", "/" + "x" * 9000, 414),
    ("BREW", "/", 501),
    ("GET", "no-slash", 400),
]


@pytest.mark.parametrize(("method", "target", "status"), ANSWERS)
def test_every_answer_has_a_date_and_the_security_lines(method: str, target: str, status: int) -> None:
    client = Rig(settings={"base_url": "https://id.example"}).connect()
    client.send(request(method, target, Accept="text/html"))
    (answer,) = client.answers("HEAD" if method == "HEAD" else "GET")
    assert answer.status == status
    assert answer.headers["date"] == "Sat, 22 Nov 2025 10:00:00 GMT"
    assert answer.headers.items() >= SECURITY.items()
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "server" not in answer.headers


def test_strict_transport_security_is_for_https_alone() -> None:
    assert "strict-transport-security" not in Rig().get(ID).headers


def test_the_date_moves_with_the_clock_on_every_kind_of_answer() -> None:
    rig = Rig()
    client = rig.connect()
    for second in range(3):
        dates = [client.get(target).headers["date"] for target in (ID, ID, "/nothing", "/api/health/live")]
        assert dates == [f"Sat, 22 Nov 2025 10:00:0{second} GMT"] * 4
        rig.advance(1)


def is_made(request_id: str) -> bool:
    return MADE.fullmatch(request_id) is not None


REQUEST_IDS = [
    ("7", True),
    ("0af7651916cd43dd8448eb211c80319c", True),
    ('a,b;c="d"\\\'<>', True),
    ("x" * 128, True),
    ("x" * 129, False),
    ("", False),
    ("a b", False),
    ("a\tb", False),
    ("\u00e9", False),
    ("a\x80b", False),
]


@pytest.mark.parametrize(("request_id", "echoed"), REQUEST_IDS)
@pytest.mark.parametrize("target", [ID, "/nothing"])
def test_a_request_id_is_echoed_where_it_is_visible_ascii_of_128_octets(
    request_id: str, echoed: bool, target: str
) -> None:
    client = Rig().connect()
    for _ in range(2):
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {request_id}\r\n\r\n".encode("latin-1"))
        (answer,) = client.answers("GET")
        assert (answer.headers["x-request-id"] == request_id) is echoed
        assert echoed or is_made(answer.headers["x-request-id"])


def test_a_request_id_that_comes_twice_is_none() -> None:
    client = Rig().connect()
    client.send(f"GET {ID} HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\nX-Request-Id: 2\r\n\r\n".encode())
    assert is_made(client.answers("GET")[0].headers["x-request-id"])


def test_every_answer_is_counted_once_under_its_route_and_status() -> None:
    rig = Rig(settings={"quota": Quota(4, 3600)})
    client = rig.connect()
    for target in (ID, ID, "/api/v1/nothing", "/api/v1/id?run=", ID, ID, "/api/health/live"):
        client.get(target)
    client.send(request("BREW", "/"))
    counted = {key: series.count for key, series in rig.service.metrics.series.items()}
    assert counted == {
        ("/api/v1/id", "GET", 200): 2,
        ("/api/v1/id", "GET", 400): 1,
        ("/api/v1/id", "GET", 429): 2,
        ("(unmatched)", "GET", 404): 1,
        ("/api/health/live", "GET", 200): 1,
        ("(malformed)", "OTHER", 501): 1,
    }


def test_no_client_can_make_a_label_of_its_own() -> None:
    rig = Rig(settings={"quota": None})
    for target in ("/a", "/b", "/api/v1/c", "/%zz", "/api/v1/id?run=1&x=1", "/api/v1/id?run=1&x=2"):
        rig.get(target)
    assert {route for route, _, _ in rig.service.metrics.series} == {"(unmatched)", "/api/v1/id"}


def test_every_answer_reaches_the_access_log_where_it_wants_all() -> None:
    rig = Rig(settings={"access_log": "all", "quota": Quota(2, 3600)})
    client = rig.connect()
    for _ in range(3):
        client.get(ID)
    client.get("/api/health/live")
    assert rig.access == [(b"/api/v1/id", "203.0.113.9", status) for status in (200, 200, 429)] + [
        (b"/api/health/live", "203.0.113.9", 200)
    ]


def test_a_refused_repetition_is_logged_as_the_request_that_it_was() -> None:
    rig = Rig(settings={"quota": Quota(2, 3600)})
    client = rig.connect()
    for target in (ID, "/api/health/live", ID, ID, "/api/health/live", ID):
        client.get(target)
    refused = [(path, status) for path, _, status in rig.access if status >= 400]
    assert refused == [(b"/api/v1/id", 429)] * 2


def test_clients_are_told_apart_by_address_and_remembered_within_a_bound() -> None:
    rig = Rig(settings={"cache_size": 16})
    for host in range(100):
        rig.connect((f"198.51.100.{host}", 1)).get(ID)
    assert rig.app.address_client("198.51.100.99", None) is rig.app.address_client("198.51.100.99", None)
    assert rig.connect(("198.51.100.0", 2)).get(ID).headers["x-ratelimit-remaining"] == "98"
    assert len(rig.app._callers._clients) <= 64


PEERS = [
    (("203.0.113.9", 1), None, "203.0.113.9"),
    (("2001:db8:1:2:3::4", 1), None, "2001:db8:1:2::/64"),
    (("::ffff:203.0.113.9", 1), None, "203.0.113.9"),
    ("", None, "local"),
    (("203.0.113.9", 1), "198.51.100.1", "203.0.113.9"),
    (("10.0.0.1", 1), "198.51.100.1", "198.51.100.1"),
    (("10.0.0.1", 1), "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
]


@pytest.mark.parametrize(("peer", "forwarded_for", "client"), PEERS)
def test_a_client_can_not_choose_whom_it_is_charged_as(
    peer: tuple[str, int] | str, forwarded_for: str | None, client: str
) -> None:
    rig = Rig(settings={"trusted_proxies": ["10.0.0.0/8"]})
    headers = {} if forwarded_for is None else {"X-Forwarded-For": forwarded_for}
    assert rig.connect(peer).get("/api/v1/limits", **headers).json["client"] == client
