"""Every ``curl`` of the guide, with the guide's variables, by the real curl."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.http_client import samples
from tests.support.service import ServiceProcess

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the guide's commands need curl"),
]

GUIDE = {
    "NODE_ENV": "development",  # production needs a Redis: test_lifecycle.py
    "API_BASE_URL": "https://identity.api.yourbook.com",
    "CORS_ORIGIN": "https://sports.yourbook.com",
    "RATE_LIMIT_REQUESTS": "100",
    "RATE_LIMIT_WINDOW": "3600",
    "HOST": "localhost",
}
PLAYER = "player-123456@sports.api.yourbook.com/v1:id"
ROW = ["environment", "id", "email", "ttl", "generated", "expires"]
VERDICT = [
    *("identity", "valid", "status", "reason", "well_formed", "rfc5322_compliant", "metadata", "cached"),
    *("generated", "expires", "validated"),
]
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
    "access-control-allow-origin": "https://sports.yourbook.com",
}


@dataclass
class Reply:
    """What ``curl -i`` shows."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(**GUIDE) as process:
        yield process


def curl(*arguments: str) -> Reply:
    """Run curl and read what it shows with -i."""
    output = subprocess.run(
        ["curl", "-sS", "-i", "--max-time", "10", *arguments], capture_output=True, check=True, timeout=20
    ).stdout.decode()
    head, _, body = output.partition("\r\n\r\n")
    status_line, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    for name, value in SECURITY.items():
        assert headers.get(name) == value, f"every answer has {name}: {value}"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["date"])
    return Reply(int(status_line.split()[1]), headers, body)


def moment(text: str) -> datetime:
    """RFC 3339, UTC, milliseconds, Z; nothing else."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return datetime.fromisoformat(text)


def local(service: ServiceProcess, path: str) -> str:
    return f"http://localhost:{service.port}{path}"


def test_health_has_the_fields_of_the_guide(service: ServiceProcess) -> None:
    reply = curl(local(service, "/api/health"))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["status", "services", "uptime", "version"]
    assert reply.json["status"] == "healthy"
    assert list(reply.json["services"]) == ["database", "redis", "api"]
    assert all(re.fullmatch(r"[a-z]+", word) for word in reply.json["services"].values())
    assert reply.json["uptime"] >= 0
    assert reply.json["version"] == "v4.2.0"


@pytest.mark.parametrize("path", ["/api/v1/id?prefix=test", "/api/v1/id?prefix=player&run=123456"])
def test_an_identity_has_the_fields_of_the_design(service: ServiceProcess, path: str) -> None:
    reply = curl(local(service, path))
    assert reply.status == 200
    body = reply.json
    assert [name for name in body if name != "token"] == ["id", "email", "ttl", "generated", "expires", "metadata"]
    metadata = body["metadata"]
    assert body["email"] == f"{metadata['prefix']}-{metadata['run']}@{metadata['domain']}"
    assert body["id"] == f"{body['email']}/{metadata['version']}:id"
    assert body["ttl"] == 3600
    assert moment(body["expires"]) - moment(body["generated"]) == timedelta(seconds=3600)
    assert metadata == {
        "prefix": path.partition("prefix=")[2].partition("&")[0],
        "run": metadata["run"],
        "domain": "sports.api.yourbook.com",
        "version": "v1",
        "type": "disposable-identity",
        "compatible": ["nexus", "artifactory", "jfrog"],
    }
    assert reply.headers["cache-control"] == "no-store"


def test_the_guides_player_gets_the_guides_identity(service: ServiceProcess) -> None:
    first = curl(local(service, "/api/v1/id?prefix=player&run=123456")).json
    assert first["id"] == PLAYER
    assert curl(local(service, "/api/v1/id?prefix=player&run=123456")).json == first


def test_a_batch_answers_a_row_for_each_environment(service: ServiceProcess) -> None:
    body = {
        "environments": [{"name": "prod", "prefix": "player", "run": "123456"}, {"name": "ci", "prefix": "ci"}],
        "domain": "sports.api.yourbook.com",
        "version": "v1",
    }
    url = local(service, "/api/v1/identities")
    reply = curl(url, "-H", "Content-Type: application/json", "-d", json.dumps(body))
    assert reply.status == 200
    answer = reply.json
    assert list(answer) == ["identities", "total", "domain", "version", "ttl", "generated"]
    assert [row["environment"] for row in answer["identities"]] == ["prod", "ci"]
    row = answer["identities"][0]
    assert [name for name in row if name != "token"] == ROW
    assert answer["identities"][0]["id"] == PLAYER
    assert (answer["total"], answer["domain"], answer["version"]) == (2, "sports.api.yourbook.com", "v1")
    moment(answer["generated"])


def test_an_identity_validates_after_it_was_issued_and_not_before(service: ServiceProcess) -> None:
    def validate(identity: str) -> dict[str, Any]:
        url, header = local(service, "/api/v1/validate"), "Content-Type: application/json"
        reply = curl(url, "-H", header, "-d", json.dumps({"identity": identity}))
        assert reply.status == 200
        answer: dict[str, Any] = reply.json
        moment(answer["validated"])
        return answer

    issued = curl(local(service, "/api/v1/id?prefix=player&run=123456")).json
    answer = validate(PLAYER)
    assert list(answer) == VERDICT
    assert (answer["identity"], answer["valid"], answer["status"]) == (PLAYER, True, "active")
    assert (answer["well_formed"], answer["rfc5322_compliant"], answer["cached"]) == (True, True, True)
    assert (answer["generated"], answer["expires"]) == (issued["generated"], issued["expires"])
    assert answer["metadata"] == {
        "prefix": "player",
        "run": "123456",
        "domain": "sports.api.yourbook.com",
        "version": "v1",
        "type": "disposable-identity",
        "format": "rfc5322-compliant",
    }
    never = validate("player-654321@sports.api.yourbook.com/v1:id")
    assert (never["valid"], never["status"], never["well_formed"], never["generated"]) == (
        False,
        "unknown",
        True,
        None,
    )
    bad = validate("player")
    assert (bad["valid"], bad["status"], bad["well_formed"], bad["metadata"]) == (False, "malformed", False, None)


def test_metrics_have_the_guides_names(service: ServiceProcess) -> None:
    curl(local(service, "/api/v1/id?prefix=metrics"))
    reply = curl(local(service, "/api/metrics"))
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(reply.body)
    assert found['identity_requests_total{method="GET",status="200"}'] >= 1
    assert found['identity_requests_total{method="POST",status="200"}'] >= 0
    assert found['identity_requests_total{method="GET",status="5xx"}'] == 0
    assert 0 <= found["identity_cache_hit_ratio"] <= 1
    assert found["identity_service_up"] == 1
    helps = re.findall(r"^# HELP (\S+) ", reply.body, re.MULTILINE)
    assert len(helps) == len(set(helps))


def test_telemetry_is_json(service: ServiceProcess) -> None:
    reply = curl(local(service, "/api/telemetry"))
    assert reply.status == 200
    assert reply.json["status"] == "healthy"


def test_the_guides_cors_check_shows_origin_and_readable_limits(service: ServiceProcess) -> None:
    reply = curl("-H", "Origin: https://sports.yourbook.com", "-v", local(service, "/api/v1/id"))
    assert reply.status == 200
    assert reply.json["metadata"]["prefix"] == "unknown"
    exposed = re.split(r", *", reply.headers["access-control-expose-headers"])
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit"} <= set(exposed)


def test_limits_are_in_both_kinds_of_headers(service: ServiceProcess) -> None:
    headers = curl(local(service, "/api/v1/id")).headers
    remaining, reset = int(headers["x-ratelimit-remaining"]), int(headers["x-ratelimit-reset"])
    assert headers["x-ratelimit-limit"] == "100"
    assert 0 <= remaining < 100
    assert headers["ratelimit-policy"] == '"default";q=100;w=3600'
    assert headers["ratelimit"] == f'"default";r={remaining};t={reset}'
    assert 0 < reset <= 3600


def test_a_preflight_is_allowed_and_free(service: ServiceProcess) -> None:
    before = curl(local(service, "/api/v1/limits")).json["remaining"]
    reply = curl(
        *("-X", "OPTIONS", "-H", "Origin: https://sports.yourbook.com"),
        *("-H", "Access-Control-Request-Method: POST", "-H", "Access-Control-Request-Headers: content-type"),
        local(service, "/api/v1/identities"),
    )
    assert reply.status == 204
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert "content-type" in reply.headers["access-control-allow-headers"].lower()
    assert curl(local(service, "/api/v1/limits")).json["remaining"] >= before


def test_a_fault_is_a_problem_that_names_the_parameter(service: ServiceProcess) -> None:
    reply = curl(local(service, "/api/v1/id?prefix=a-b&ttl=-5"))
    assert reply.status == 400
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json
    assert {"type", "title", "status", "detail", "errors"} <= set(problem)
    assert {error["parameter"] for error in problem["errors"]} == {"prefix", "ttl"}


@pytest.mark.skipif(shutil.which("jq") is None, reason="the guide's pipeline needs jq")
def test_the_guides_pipeline_gets_one_line(service: ServiceProcess) -> None:
    script = """
        ID=$(curl -s "${IDENTITY_URL}/api/v1/id?prefix=ci&run=${GITHUB_RUN_ID}" | jq -r .id)
        echo "NPM_EMAIL=$ID"
    """
    environment = {"PATH": "/usr/bin:/bin", "IDENTITY_URL": local(service, ""), "GITHUB_RUN_ID": "4242"}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, check=True, timeout=20)
    assert done.stdout == b"NPM_EMAIL=ci-4242@sports.api.yourbook.com/v1:id\n"


def test_the_last_curl_of_the_guide_gives_an_identity_that_validates(service: ServiceProcess) -> None:
    issued = curl(local(service, "/api/v1/id?prefix=player&run=test")).json
    assert issued["id"] == "player-test@sports.api.yourbook.com/v1:id"
    url, header = local(service, "/api/v1/validate"), "Content-Type: application/json"
    assert curl(url, "-H", header, "-d", json.dumps({"identity": issued["id"]})).json["valid"] is True
