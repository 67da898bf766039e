"""Unknown paths, methods that a path does not have, and OPTIONS."""

import pytest

from arsenal_fast.api.routes import ROUTES
from tests.support.rig import Rig

SECURITY = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}

# (method, target, status, whether it is charged)
REFUSALS = [
    ("GET", "/nothing", 404, False),
    ("GET", "/api/v1", 404, False),
    ("GET", "/api/v1/", 404, True),
    ("GET", "/api/v1/nothing", 404, True),
    ("GET", "/api/v1/id/", 404, True),
    ("GET", "/api/v1/ID", 404, True),
    ("GET", "/API/v1/id", 404, False),
    ("GET", "//api/v1/id", 404, False),
    ("GET", "/api/v1/../v1/id", 404, True),
    ("GET", "/api/v1/%00", 404, True),
    ("GET", "/api/v1/%0D%0AX-Evil:%20yes", 404, True),
    ("GET", "/api/v1/%E2%80%A8", 404, True),
    ("GET", "/api/%76%31/nothing", 404, True),
    ("POST", "/api/v1/id", 405, True),
    ("DELETE", "/api/v1/id", 405, True),
    ("PATCH", "/api/v1/%69d", 405, True),
    ("GET", "/api/v1/identities", 405, True),
    ("HEAD", "/api/v1/validate", 405, True),
    ("TRACE", "/api/v1/limits", 405, True),
    ("POST", "/api/health", 405, False),
    ("PUT", "/api/metrics", 405, False),
    ("DELETE", "/", 405, False),
    ("OPTIONS", "/nothing", 404, False),
]


@pytest.mark.parametrize(("method", "target", "status", "charged"), REFUSALS)
def test_a_refusal_is_a_problem_and_is_charged_below_the_api(
    method: str, target: str, status: int, charged: bool
) -> None:
    rig = Rig()
    client = rig.connect()
    client.send(f"{method} {target} HTTP/1.1\r\nHost: identity\r\n\r\n".encode())
    (answer,) = client.answers(method)
    assert answer.status == status
    assert answer.headers.items() >= SECURITY.items()
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("x-ratelimit-limit" in answer.headers) is charged
    assert rig.get("/api/v1/limits").json["remaining"] == (99 if charged else 100)
    assert "x-evil" not in answer.headers
    assert ("allow" in answer.headers) is (status == 405)
    if method != "HEAD":
        assert answer.json["status"] == status
        assert answer.json["type"] == ("/problems/not-found" if status == 404 else "/problems/method-not-allowed")
        assert answer.json["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("target", ["example.org:443", "[::1]:443", "/", "http://example.org/", "*", "/api/v1/id"])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_connect_is_not_implemented_and_ends_the_connection(target: str, one_by_one: bool) -> None:
    """RFC 9110 9.3.6: what follows is meant for a tunnel, so nothing of it is read as a request."""
    client = Rig().connect()
    octets = (
        f"CONNECT {target} HTTP/1.1\r\nHost: example.org\r\n\r\nGET /api/health HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    )
    for piece in [octets[index : index + 1] for index in range(len(octets))] if one_by_one else [octets]:
        client.send(piece)
    (answer,) = client.answers("POST")  # h11 takes the answer to CONNECT for a tunnel's
    assert (answer.status, answer.headers["connection"]) == (501, "close")
    assert client.transport.eof


ALLOWED = [
    ("/api/v1/id", "GET, HEAD, OPTIONS"),
    ("/api/v1/%69d", "GET, HEAD, OPTIONS"),
    ("/api/v1/identities", "OPTIONS, POST"),
    ("/api/health", "GET, HEAD, OPTIONS"),
]


@pytest.mark.parametrize(("target", "allowed"), ALLOWED)
def test_a_405_and_options_name_the_same_methods(target: str, allowed: str) -> None:
    client = Rig().connect()
    assert client.get(target, method="DELETE").headers["allow"] == allowed
    assert client.get(target, method="OPTIONS").headers["allow"] == allowed


def test_options_of_the_server_names_every_method() -> None:
    answer = Rig().connect().get("*", method="OPTIONS")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES} | {"/api/v1/nothing", "*"}))
def test_options_is_free_and_has_neither_body_nor_length(path: str) -> None:
    rig = Rig(switched=True)
    answer = rig.connect().get(path, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers
    assert rig.shared.admissions == []


@pytest.mark.parametrize("target", ["/%", "/%zz", "/api/v1/%4", "/%ff", "/%C0%AF", "/%ED%A0%80"])
def test_a_path_with_bad_escapes_is_a_400(target: str) -> None:
    client = Rig().connect()
    answer = client.get(target)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert client.get("/api/v1/id?run=1").status == 200, "the connection lives on"
