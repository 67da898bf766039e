"""CORS, checked as a browser does."""

import pytest

from arsenal_fast.api.admission import OnFailure
from arsenal_fast.api.cors import EXPOSED, Cors
from arsenal_fast.ratelimit.quota import Quota
from tests.support.rig import Answer, Rig, request

A, B, EVIL = "https://a.example", "https://b.example:8443", "https://evil.example"
BOTH = (A, B)
APP = "capacitor://localhost"
SUBDOMAINS = ("https://*.book.example",)
ID = "/api/v1/id?run=1"


def cors_of(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-allow-origin")}


# (configured, Origin, the origin that is allowed, Vary)
ORIGINS: list[tuple[tuple[str, ...], str | None, str | None, str | None]] = [
    ((), A, None, None),
    ((), None, None, None),
    (("*",), A, "*", None),
    (("*",), None, "*", None),
    ((A,), A, A, "Origin"),
    ((A,), EVIL, A, "Origin"),
    ((A,), None, A, "Origin"),
    (BOTH, A, A, "Origin"),
    (BOTH, B, B, "Origin"),
    (BOTH, EVIL, None, "Origin"),
    (BOTH, "null", None, "Origin"),
    (BOTH, None, None, "Origin"),
    (BOTH, A.upper(), None, "Origin"),
    (BOTH, A + ".evil.example", None, "Origin"),
    (BOTH, "", None, "Origin"),
    ((APP, A), APP, APP, "Origin"),
    ((APP,), APP, APP, "Origin"),
    ((APP, A), "capacitor://localhost.evil", None, "Origin"),
    (SUBDOMAINS, "https://a.book.example", "https://a.book.example", "Origin"),
    (SUBDOMAINS, "https://b.a.book.example", "https://b.a.book.example", "Origin"),
    (SUBDOMAINS, "https://book.example", None, "Origin"),
    (SUBDOMAINS, "http://a.book.example", None, "Origin"),
    (SUBDOMAINS, "https://a.book.example:8443", None, "Origin"),
    (SUBDOMAINS, "https://a.bookxexample", None, "Origin"),
    (SUBDOMAINS, "https://a.book.example.evil.example", None, "Origin"),
    (SUBDOMAINS, "https://evil.example/a.book.example", None, "Origin"),
    (SUBDOMAINS, "https://evil-book.example", None, "Origin"),
    (SUBDOMAINS, "https://-.book.example", None, "Origin"),
    (SUBDOMAINS, "https://.book.example", None, "Origin"),
    (SUBDOMAINS, None, None, "Origin"),
    ((*SUBDOMAINS, A), A, A, "Origin"),
]


@pytest.mark.parametrize(("configured", "origin", "allowed", "vary"), ORIGINS)
def test_an_origin_is_allowed_as_configured(
    configured: tuple[str, ...], origin: str | None, allowed: str | None, vary: str | None
) -> None:
    answer = Rig(settings={"origins": configured}).get(ID, **({} if origin is None else {"Origin": origin}))
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert answer.headers.get("vary") == vary
    assert answer.headers.get("access-control-expose-headers") == (EXPOSED if configured else None)
    assert "access-control-allow-credentials" not in answer.headers


def test_every_header_that_is_exposed_is_one_that_may_come() -> None:
    rig = Rig(settings={"origins": BOTH, "quota": Quota(1, 60)})
    rig.get(ID)
    denied = rig.get(ID, Origin=A, X_Request_Id="7")
    assert denied.status == 429
    assert {name.strip().lower() for name in EXPOSED.split(",")} <= denied.headers.keys()


FAILURES = ["400", "404", "405", "408", "415", "429", "431", "500", "501", "503"]


@pytest.mark.parametrize("status", FAILURES)
def test_an_error_is_readable_for_the_page_that_caused_it(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(settings={"origins": (A,), "quota": Quota(1, 60), "on_store_failure": OnFailure.CLOSED}, switched=True)
    client = rig.connect()
    if status == "400":
        answer = client.get("/api/v1/id?run=", Origin=A)
    elif status == "415":
        answer = client.post("/api/v1/identities", b"", Content_Type="text/plain", Origin=A)
    elif status == "429":
        client.get(ID, Origin=A)
        answer = client.get(ID, Origin=A)
    elif status == "500":
        monkeypatch.setattr(rig.service.issuer, "issue", lambda *_: 1 / 0)
        answer = client.get(ID, Origin=A)
    elif status == "503":
        rig.shared.away = True
        answer = client.get(ID, Origin=A)
    elif status == "408":
        client.send(b"GET / HTTP/1.1\r\n")
        rig.advance(11)
        rig.sweep()
        (answer,) = client.answers("GET")
    else:
        octets = {
            "404": request("GET", "/nothing", Origin=A),
            "405": request("DELETE", "/api/v1/id", Origin=A),
            "431": request("GET", "/", Origin=A, X="x" * 20_000),
            "501": request("BREW", "/", Origin=A),
        }[status]
        client.send(octets)
        (answer,) = client.answers("GET")
    assert answer.status == int(status)
    assert answer.headers["access-control-allow-origin"] == A
    assert answer.headers["access-control-expose-headers"] == EXPOSED
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "date" in answer.headers


@pytest.mark.parametrize("path", ["/api/v1/id", "/api/v1/identities", "/api/v1/nothing", "/api/health"])
def test_a_preflight_is_answered_without_a_charge(path: str) -> None:
    rig = Rig(settings={"origins": BOTH}, switched=True)
    answer = rig.connect().get(
        path,
        method="OPTIONS",
        Origin=B,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type",
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == B
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Content-Type" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "86400"
    assert rig.shared.admissions == []


def test_options_that_is_no_preflight_gets_no_preflight_lines() -> None:
    answer = Rig(settings={"origins": BOTH}).connect().get("/api/v1/id", method="OPTIONS", Origin=A)
    assert "access-control-allow-methods" not in answer.headers


def test_without_origins_there_is_no_line_at_all() -> None:
    cors = Cors(())
    assert (cors.constant, cors.preflight, cors.reflected(A.encode())) == (b"", b"", b"")
    headers = Rig().connect().get("/", method="OPTIONS", Origin=A, Access_Control_Request_Method="GET").headers
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_preflight_allows_what_tracing_in_a_browser_puts_on_every_request() -> None:
    lines = {
        "Origin": A,
        "Access_Control_Request_Method": "GET",
        "Access_Control_Request_Headers": "baggage,sentry-trace",
    }
    answer = Rig(settings={"origins": BOTH}).connect().get(ID, method="OPTIONS", **lines)
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"traceparent", "tracestate", "baggage", "sentry-trace"} <= allowed


def test_a_subdomain_is_allowed_by_the_fast_path_too() -> None:
    client = Rig(settings={"origins": SUBDOMAINS}).connect()
    for origin in ("https://a.book.example", "https://evil.example", "https://b.book.example"):
        for _ in range(4):
            allowed = client.get(ID, Origin=origin).headers.get("access-control-allow-origin")
            assert allowed == (origin if "book" in origin else None)
