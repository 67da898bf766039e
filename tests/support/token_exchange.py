"""Asks a worker in this process to exchange ID tokens."""

from typing import Any
from urllib.parse import urlencode

from arsenal_fast.api.handlers.token_exchange import GRANT, ID_TOKEN
from arsenal_fast.oidc.fetch import fetch
from arsenal_fast.oidc.rules import parse_rules
from tests.support.oidc_issuer import OidcIssuer
from tests.support.rig import Answer, Rig, request

FORM = "application/x-www-form-urlencoded"


def serving(issuer: OidcIssuer, **rule: Any) -> Rig:
    settings = {"oidc_rules": parse_rules(issuer.rules(**rule)), "protected_prefixes": frozenset({"ci", "vip"})}
    return Rig(settings=settings, switched=True, fetch_keys=lambda url, done: done(fetch(url, 5.0)))


def ask(rig: Rig, token: str, **parameters: str) -> Answer:
    given = {"grant_type": GRANT, "subject_token": token, "subject_token_type": ID_TOKEN, **parameters}
    return post(rig, urlencode(given).encode())


def post(rig: Rig, body: bytes, content_type: str = FORM) -> Answer:
    client = rig.connect()
    client.send(request("POST", "/api/v1/token", body, Content_Type=content_type))
    (answer,) = client.answers("POST")
    return answer


def refused(answer: Answer, error: str = "invalid_request", status: int = 400) -> str:
    """Hold that an answer is an error as RFC 6749 section 5.2 has it; return the description."""
    assert (answer.status, answer.json["error"]) == (status, error), answer.json
    assert answer.json.keys() == {"error", "error_description"}
    assert (answer.headers["cache-control"], answer.headers["content-type"]) == ("no-store", "application/json")
    description: str = answer.json["error_description"]
    assert all(0x20 <= ord(character) < 0x7F and character not in '"\\' for character in description)
    return description
