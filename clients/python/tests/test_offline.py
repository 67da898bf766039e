"""Identity tokens are checked by the published keys, which are fetched seldom."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from scripted import Scripted, ok

from arsenal_identity import NO_RETRY, TokenClaims, TokenError
from arsenal_identity.exchange import Request
from arsenal_identity.offline import MAX_AGE_S, MIN_AGE_S, TokenChecker

ISSUER = "http://identity.test"
ID = "player-1@a.b/v1:id"
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
NOW = datetime.now(UTC).replace(microsecond=0)


def public(key: Ed25519PrivateKey, kid: str) -> dict[str, Any]:
    """The JWK of a key, as the service publishes it."""
    return {**json.loads(OKPAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": "EdDSA"}


def token(key: Ed25519PrivateKey = KEY, kid: str = "k1", *, without: str = "", **claims: object) -> str:
    """A token of the service, but for what is given."""
    own = {
        "iss": ISSUER,
        "sub": ID,
        "iat": NOW,
        "exp": NOW + timedelta(hours=1),
        "jti": str(int(NOW.timestamp() * 1000)),
    }
    return jwt.encode(
        {name: value for name, value in {**own, **claims}.items() if name != without},
        key,
        algorithm="EdDSA",
        headers={"kid": kid},
    )


KEYS = {"keys": [public(KEY, "k1")]}


def test_a_good_token_says_what_it_says_and_keys_are_fetched_once() -> None:
    scripted = Scripted(ok(KEYS))
    for _ in range(3):
        claims = scripted.client.check_token(token())
        assert claims == TokenClaims(ID, ISSUER, NOW, NOW + timedelta(hours=1))
    assert [request.url.path for request in scripted.requests] == ["/.well-known/jwks.json"]


REFUSED: list[tuple[str, Callable[[], str], str]] = [
    ("another key", lambda: token(OTHER), "Signature"),
    ("an unknown key", lambda: token(OTHER, "k2"), "no key of this service"),
    ("another issuer", lambda: token(iss="http://elsewhere"), "issuer"),
    ("a service token", lambda: token(aud="arsenal-identity"), "udience"),
    ("one that has expired", lambda: token(iat=NOW - timedelta(hours=2), exp=NOW - timedelta(hours=1)), "expired"),
    ("one from the future", lambda: token(iat=NOW + timedelta(hours=1)), "not valid yet"),
    ("one whose end is no number", lambda: token(exp="soon"), "refused"),
    ("one without an end", lambda: token(without="exp"), "exp"),
    ("one without a life", lambda: token(without="jti"), "jti"),
    ("one of a strange life", lambda: token(jti="x"), "refused"),
    ("no token", lambda: "nonsense", "not a token"),
    ("none as algorithm", lambda: jwt.encode({"sub": ID}, "", algorithm="none", headers={"kid": "k1"}), "alg value"),
    (
        "the public key as secret",
        lambda: jwt.encode({"sub": ID}, KEYS["keys"][0]["x"], algorithm="HS256", headers={"kid": "k1"}),
        "alg value",
    ),
]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_bad_token_is_refused_with_a_reason(make: Callable[[], str], reason: str) -> None:
    with pytest.raises(TokenError, match=reason):
        Scripted(ok(KEYS)).client.check_token(make())


def test_a_service_that_signs_with_a_secret_is_named_as_the_reason() -> None:
    with pytest.raises(TokenError, match="publishes no keys"):
        Scripted(ok({"keys": []})).client.check_token(token())


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def run(checker: TokenChecker, text: str, keys: dict[str, Any] = KEYS) -> tuple[int, str]:
    """Drive a check; returns how many requests it made, and the identity or why the token is refused."""
    steps, sent, answer = checker.check(text), 0, None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as stop:
            return sent, stop.value.identity
        except TokenError as error:
            return sent, str(error)
        assert isinstance(step, Request)
        sent += 1
        answer = ok(keys)


@pytest.mark.parametrize(
    ("after_s", "outcome"),
    [
        (-10.001, "The token is not valid yet."),
        (-10.0, ID),
        (3609.999, ID),
        (3610.0, "The token has expired."),
    ],
)
def test_clocks_may_differ_by_the_leeway(after_s: float, outcome: str) -> None:
    checker = TokenChecker(ISSUER, 10.0, NO_RETRY, wall=Clock(NOW.timestamp() + after_s))
    assert run(checker, token()) == (1, outcome)


def test_keys_are_fetched_anew_when_they_are_old_or_lack_a_key_but_not_for_every_bad_token() -> None:
    clock = Clock()
    checker = TokenChecker(ISSUER, 10.0, NO_RETRY, monotonic=clock, wall=Clock(NOW.timestamp()))
    both = {"keys": [public(KEY, "k1"), public(OTHER, "k2")]}
    newer, unknown = token(OTHER, "k2"), "The token names no key of this service."
    assert run(checker, token()) == (1, ID)
    clock.now_s = MIN_AGE_S - 1
    assert run(checker, newer, both) == (0, unknown)  # fetched a moment ago
    clock.now_s = MIN_AGE_S
    assert run(checker, newer, both) == (1, ID)  # a rotation is noticed
    clock.now_s += MAX_AGE_S - 1
    assert run(checker, token(), both) == (0, ID)
    clock.now_s += 1
    assert run(checker, token()) == (1, ID)  # a dropped key is noticed
    assert run(checker, newer, both) == (0, unknown)
