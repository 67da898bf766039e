"""Which ID tokens are exchanged, how often, and with which keys; the issuer is on the loopback."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from arsenal_fast.oidc.issuer_keys import INTERVAL_S, LIFE_S, SURVIVES_S
from tests.support.oidc_issuer import AUDIENCE, REPOSITORY, OidcIssuer
from tests.support.rig import START, Rig
from tests.support.token_exchange import ask, refused, serving


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with OidcIssuer() as issuer:
        yield issuer


def unsigned(issuer: OidcIssuer) -> str:
    _, payload, _ = issuer.token(START).split(".")
    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': 'k1'})}.{payload}."


def signed_with_the_public_key(issuer: OidcIssuer) -> str:
    """The classic: HMAC with the public key, which everybody has, as its secret."""
    (key,) = issuer.keys.values()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, payload, _ = issuer.token(START).split(".")
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'k1'})}.{payload}"
    return f"{signed}.{encoded(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def signed_by_another_key(issuer: OidcIssuer) -> str:
    key = rsa.generate_private_key(65_537, 2048)
    return jwt.encode(jwt.decode(issuer.token(START), options={"verify_signature": False}), key, "RS256", {"kid": "k1"})


def changed(issuer: OidcIssuer) -> str:
    first, payload, signature = issuer.token(START, repository="your-org/other").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{first}.{part({**claims, 'repository': REPOSITORY})}.{signature}"


def part(members: dict[str, Any]) -> str:
    return encoded(json.dumps(members).encode())


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


REFUSED: dict[str, tuple[Callable[[OidcIssuer], str], str]] = {
    "expired": (lambda issuer: issuer.token(START - 360), "The token has expired."),
    "not yet": (lambda issuer: issuer.token(START + 61), "The token is not valid yet."),
    "not before": (lambda issuer: issuer.token(START, nbf=int(START) + 61), "The token is not valid yet."),
    "foreign issuer": (
        lambda issuer: issuer.token(START, iss="https://token.actions.example"),
        "The token's issuer is not one of OIDC_ISSUERS.",
    ),
    "foreign audience": (lambda issuer: issuer.token(START, aud="sts"), "The token is for another audience."),
    "two audiences": (lambda issuer: issuer.token(START, aud=[AUDIENCE, "sts"]), "The token is for another audience."),
    "no audience": (lambda issuer: issuer.token(START, aud=None), "The token is for another audience."),
    "foreign repository": (
        lambda issuer: issuer.token(START, repository="evil/market-odds"),
        "No rule of OIDC_ISSUERS has the claims of the token.",
    ),
    "repository in capitals": (
        lambda issuer: issuer.token(START, repository=REPOSITORY.upper()),
        "No rule of OIDC_ISSUERS has the claims of the token.",
    ),
    "branch": (
        lambda issuer: issuer.token(START, ref="refs/heads/refs/tags/v1"),
        "No rule of OIDC_ISSUERS has the claims of the token.",
    ),
    "claim that is no string": (
        lambda issuer: issuer.token(START, repository=[REPOSITORY]),
        "No rule of OIDC_ISSUERS has the claims of the token.",
    ),
    "unsigned": (unsigned, "The token's algorithm is not an asymmetric one that this service accepts."),
    "HS256 with the public key": (
        signed_with_the_public_key,
        "The token's algorithm is not an asymmetric one that this service accepts.",
    ),
    "another key": (signed_by_another_key, "The token's signature is not its issuer's."),
    "changed": (changed, "The token's signature is not its issuer's."),
    "oversized": (lambda issuer: issuer.token(START, filler="x" * 4096), "The token has more than 4096 "),
    "nonsense": (lambda issuer: "nonsense", "The text is not a token"),
    "no jti": (lambda issuer: issuer.token(START, jti=None), "The token has no jti"),
    "no iat": (lambda issuer: issuer.token(START, iat=None, nbf=None), "The token's iat, exp or nbf"),
    "no exp": (lambda issuer: issuer.token(START, exp=None), "The token's iat, exp or nbf"),
    "for ever": (lambda issuer: issuer.token(START, exp=int(START) + 86_401), "The token lives longer than 86400"),
    "service token": (lambda issuer: Rig().bearer("issue").removeprefix("Bearer "), "The token's algorithm is not"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_token_is_refused_with_its_reason(issuer: OidcIssuer, case: str) -> None:
    make, sentence = REFUSED[case]
    rig = serving(issuer)
    assert refused(ask(rig, make(issuer))).startswith(sentence)
    assert ask(rig, issuer.token(START)).status == 200, "it used up nothing"


def test_clocks_may_differ_by_a_minute(issuer: OidcIssuer) -> None:
    assert ask(serving(issuer), issuer.token(START - 359)).status == 200
    assert ask(serving(issuer), issuer.token(START + 60)).status == 200
    assert ask(serving(issuer), issuer.token(START, aud=[AUDIENCE])).status == 200


@pytest.mark.parametrize("away", [False, True])
def test_a_token_is_exchanged_once_until_it_has_expired(issuer: OidcIssuer, away: bool) -> None:
    rig = serving(issuer)
    rig.shared.away = away
    token = issuer.token(START)
    assert ask(rig, token).status == 200
    for seconds in (0, 1, 200, 158):
        rig.advance(seconds)
        assert refused(ask(rig, token)) == "The token was exchanged before."
    rig.advance(1)
    assert refused(ask(rig, token)) == "The token has expired."


def test_another_token_of_the_same_pipeline_is_another_one(issuer: OidcIssuer) -> None:
    rig = serving(issuer)
    assert [ask(rig, issuer.token(START, jti=jti)).status for jti in ("a", "b", "c")] == [200] * 3


def test_keys_are_fetched_once_and_rotated_keys_are_found(issuer: OidcIssuer) -> None:
    rig = serving(issuer)
    old = issuer.token(START, jti="old")
    for jti in ("1", "2", "3"):
        assert ask(rig, issuer.token(START, jti=jti)).status == 200
    assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]
    rig.advance(INTERVAL_S)
    issuer.rotate("k2")
    assert ask(rig, issuer.token(START, jti="4")).status == 200
    assert refused(ask(rig, old)) == "The token's issuer has no key of its kid."
    assert len(issuer.requests) == 4, "unknown keys cause no second fetch within the interval"


def test_an_issuer_that_is_away_is_survived_for_a_day(issuer: OidcIssuer, caplog: pytest.LogCaptureFixture) -> None:
    rig = serving(issuer)
    issuer.documents.clear()
    away = ask(rig, issuer.token(START))
    assert refused(away, "temporarily_unavailable", 503) == "The keys of the token's issuer can't be fetched now."
    assert away.headers["retry-after"] == "30"
    rig.advance(INTERVAL_S)
    issuer.publish()
    assert ask(rig, issuer.token(rig.wall)).status == 200
    issuer.documents.clear()
    for seconds in (LIFE_S, SURVIVES_S - LIFE_S - 1):
        rig.advance(seconds)
        assert ask(rig, issuer.token(rig.wall)).status == 200
    rig.advance(INTERVAL_S)
    refused(ask(rig, issuer.token(rig.wall)), "temporarily_unavailable", 503)
    assert "can't be fetched" in caplog.text
