"""The log of a running service: ECS lines with their traces, and no secret in any of them."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support.ecs import foreign_fields
from tests.support.http_client import Answer, Client, post, request
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess, command

pytestmark = pytest.mark.integration

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
PASSWORD = "a-passw0rd-of-redis/with+more"

LOUD = {"LOG_FORMAT": "ecs", "LOG_LEVEL": "debug", "ACCESS_LOG": "all"}


def documents(service: ServiceProcess) -> Iterator[dict[str, object]]:
    return (json.loads(line) for line in service.stderr.splitlines())


def access_lines(service: ServiceProcess) -> list[dict[str, object]]:
    return [each for each in documents(service) if each["event.dataset"] == "arsenal-identity.access"]


def asked(service: ServiceProcess, *requests: bytes) -> list[Answer]:
    async def scenario() -> list[Answer]:
        answers = []
        for octets in requests:
            async with await Client.open(service.port) as client:
                answers.append(await client.ask(octets))
        return answers

    return run(scenario())


@pytest.mark.parametrize("wanted", ["all", "errors"])
def test_request_id_and_trace_are_in_the_line_of_their_request(wanted: str) -> None:
    headers = {"X-Request-Id": "r-1", "traceparent": TRACEPARENT}
    with ServiceProcess(**{**LOUD, "ACCESS_LOG": wanted}) as service:
        good, bad = asked(
            service, request("GET", "/api/v1/id?prefix=a&run=1", headers), request("GET", "/api/v1/id?run=", headers)
        )
    assert (good.status, bad.status) == (200, 400)
    lines = {line["http.response.status_code"]: line for line in access_lines(service)}
    assert lines.keys() == ({200, 400} if wanted == "all" else {400})
    for line in lines.values():
        assert (line["http.request.id"], line["trace.id"], line["span.id"]) == ("r-1", TRACE, PARENT)
        assert line["url.path"] == "/api/v1/id"


def test_an_invalid_trace_is_in_no_line() -> None:
    with ServiceProcess(**LOUD) as service:
        asked(service, request("GET", "/api/v1/id", {"traceparent": TRACEPARENT + "-x"}))
    (line,) = access_lines(service)
    assert not {"trace.id", "span.id"} & line.keys()


def test_every_line_has_ecs_fields_alone_from_start_to_end() -> None:
    with RedisServer() as redis, ServiceProcess(**LOUD, REDIS_URL=redis.url, WORKERS="2") as service:
        redis.kill()
        asked(service, request("GET", "/api/v1/id"), request("DELETE", "/nowhere"), b"GET / HTTP/1.1\r\n\r\n")
    lines = list(documents(service))
    assert len(lines) > 5
    assert {name: line for line in lines for name in foreign_fields(line)} == {}


@pytest.mark.parametrize("form", ["ecs", "text"])
def test_no_secret_and_no_token_is_ever_in_the_log(form: str) -> None:
    """Sent in every place that a client has: path, query, names and values of fields, body, whole, cut and escaped."""
    secret = REPLICA["JWT_SECRET"]
    with RedisServer("--requirepass", PASSWORD) as redis:
        url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{redis.port}/0"
        variables = {**LOUD, **REPLICA, "LOG_FORMAT": form, "REDIS_URL": url, "JWT_SECRET_PREVIOUS": secret[::-1]}
        with ServiceProcess(**variables) as service:
            (issued,) = asked(service, request("GET", "/api/v1/id?prefix=a&run=1"))
            service_token = command(
                *("token", "--subject", "s", "--scope", "issue,revoke,audit", "--rate-limit", "9"), env=REPLICA
            ).stdout.strip()
            identity_token: str = issued.json["token"]
            tokens = [service_token, identity_token, identity_token[:-20], identity_token.rpartition(".")[0]]
            basic = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
            sent = 1
            for token in (*tokens, secret, secret[::-1], PASSWORD, quote(PASSWORD, safe="")):
                path = quote(token, safe="/%+")
                everywhere = [
                    request("GET", f"/api/v1/id?prefix=a&run={path}&token={path}"),
                    request("GET", f"/api/v1/{path}"),
                    request("GET", f"/{path}/x?{path}"),
                    request("GET", f"http://{token[:20].strip('-/+%.')}.example/{path}"),
                    request("GET", "/api/v1/id", {"Authorization": f"Bearer {token}"}),
                    request("GET", "/api/v1/id", {"Authorization": f"Basic {basic}", "Cookie": f"session={token}"}),
                    request("GET", "/api/v1/id", {"X-Request-Id": token, "Origin": f"https://{token}"}),
                    request("GET", "/api/v1/id", {"X-Forwarded-For": token, "traceparent": token}),
                    request("GET", "/api/v1/audit", {"Authorization": f"Bearer {token}"}),
                    post("/api/v1/validate", {"token": token}),
                    post("/api/v1/revoke", {"identity": issued.json["id"] + token, "token": token}),
                    request("POST", "/api/v1/validate", {"Content-Type": "application/json"}, token.encode()),
                ]
                assert all(answer.status for answer in asked(service, *everywhere))
                sent += len(everywhere)
            redis.kill()  # and what is logged of that
            asked(service, request("GET", "/api/v1/id?prefix=a&run=2"))
        log = service.stderr
    assert log.count(" arsenal_fast.access " if form == "text" else "identity.access") == sent + 1
    parts = {part for token in (service_token, identity_token) for part in token.split(".")}
    signatures = {token.rpartition(".")[2] for token in (service_token, identity_token)}
    for hidden in (*(parts - signatures), *signatures, secret, secret[::-1], PASSWORD, quote(PASSWORD, safe=""), basic):
        assert hidden not in log
