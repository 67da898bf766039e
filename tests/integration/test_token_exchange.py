"""The exchange of ID tokens over real processes: the issuer on the loopback, two replicas that share a Redis."""

import json
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from arsenal_fast.api.handlers.token_exchange import GRANT, ID_TOKEN
from tests.support.oidc_issuer import OidcIssuer
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess

pytestmark = pytest.mark.integration


def ask(service: ServiceProcess, method: str, target: str, body: str | None = None, **fields: str) -> tuple[int, Any]:
    """Return status and JSON of one request."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=10)
    with closing(connection):
        connection.request(method, target, body, fields)
        answer = connection.getresponse()
        return answer.status, json.load(answer)


def exchange(service: ServiceProcess, token: str) -> tuple[int, Any]:
    body = urlencode({"grant_type": GRANT, "subject_token": token, "subject_token_type": ID_TOKEN})
    return ask(service, "POST", "/api/v1/token", body, **{"Content-Type": "application/x-www-form-urlencoded"})


def test_a_token_is_exchanged_on_one_replica_and_used_on_the_other_and_exchanged_nowhere_again(
    redis: RedisServer, tmp_path: Path
) -> None:
    with OidcIssuer() as issuer:
        rules = tmp_path / "oidc.json"
        rules.write_text(issuer.rules())
        variables = {"REDIS_URL": redis.url, "OIDC_ISSUERS": str(rules), "PROTECTED_PREFIXES": "ci", **REPLICA}
        with ServiceProcess(**variables) as one, ServiceProcess(**variables) as other:
            token = issuer.token(time.time())
            status, answer = exchange(one, token)
            assert status == 200
            target = "/api/v1/id?prefix=ci&run=1"
            assert ask(other, "GET", target, Authorization=f"Bearer {answer['access_token']}")[0] == 200
            assert ask(other, "GET", target)[0] == 401
            again = [exchange(service, token)[1] for service in (one, other, one)]
            assert [answer["error_description"] for answer in again] == ["The token was exchanged before."] * 3
            assert exchange(other, issuer.token(time.time(), jti="j2"))[0] == 200
