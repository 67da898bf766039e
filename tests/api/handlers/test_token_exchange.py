"""``POST /api/v1/token``: what is asked, and what an exchanged token may do; the issuer is on the loopback."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from arsenal_fast.api.handlers.token_exchange import ACCESS_TOKEN, GRANT, MAX_BODY
from tests.support.oidc_issuer import OidcIssuer
from tests.support.rig import START, Rig
from tests.support.token_exchange import ask, post, refused, serving


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with OidcIssuer() as issuer:
        yield issuer


def test_a_good_token_becomes_a_short_service_token_for_the_prefixes_of_its_rule(issuer: OidcIssuer) -> None:
    rig = serving(issuer)
    answer = ask(rig, issuer.token(START))
    assert answer.status == 200
    token = answer.json.pop("access_token")
    assert answer.json == {
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": "issue:ci",
    }
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    bearer = f"Bearer {token}"
    for prefix, status in (("ci", 200), ("CI", 200), ("free", 200), ("vip", 403)):
        for _ in range(3):
            assert rig.get(f"/api/v1/id?prefix={prefix}&run=1", Authorization=bearer).status == status
    rows = [{"name": "a", "prefix": "ci", "run": "1"}, {"name": "b", "prefix": "vip", "run": "1"}]
    for count, status in ((1, 200), (2, 403)):
        body = {"environments": rows[:count]}
        assert rig.post("/api/v1/identities", body, Authorization=bearer).status == status
    assert rig.get("/api/v1/audit", Authorization=bearer).status == 403
    assert rig.get("/api/v1/limits", Authorization=bearer).json["client"] == "sub:ci/market-odds"
    rig.advance(900)
    assert rig.get("/api/v1/id?prefix=ci&run=1", Authorization=bearer).status == 401


BODIES: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "invalid_request", "The body has no grant_type."),
    "another grant": (b"grant_type=client_credentials", "unsupported_grant_type", "The grant_type must be urn:"),
    "no token": (b"subject_token_type=x", "invalid_request", "The body has no subject_token."),
    "empty token": (b"subject_token=", "invalid_request", "The body has no subject_token."),
    "no type": (b"subject_token=x", "invalid_request", "The subject_token_type must be urn:"),
    "twice": (b"subject_token=x&subject_token=x", "invalid_request", "A parameter is given more than once."),
    "bad escape": (b"subject_token=%zz", "invalid_request", "A parameter can't be read"),
    "no ASCII": (b"subject_token=\xe9", "invalid_request", "The body must be ASCII"),
    "too long": (b"subject_token=" + b"x" * MAX_BODY, "invalid_request", "The body must be ASCII of at most 16384"),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_bad_body_is_refused_with_its_reason(issuer: OidcIssuer, case: str) -> None:
    body, error, sentence = BODIES[case]
    grant = b"" if body == b"" or body.startswith(b"grant_type") else urlencode({"grant_type": GRANT}).encode() + b"&"
    assert refused(post(serving(issuer), grant + body), error).startswith(sentence)


PARAMETERS = [
    ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
    ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
    ({"actor_token": "x"}, "invalid_request"),
    ({"audience": "other"}, "invalid_target"),
    ({"resource": "https://other.example"}, "invalid_target"),
    ({"scope": "issue"}, "invalid_scope"),
    ({"scope": "issue:ci issue:vip"}, "invalid_scope"),
]


@pytest.mark.parametrize(("parameters", "error"), PARAMETERS)
def test_what_is_not_given_is_refused(issuer: OidcIssuer, parameters: dict[str, str], error: str) -> None:
    refused(ask(serving(issuer), issuer.token(START), **parameters), error)


def test_further_and_empty_parameters_are_ignored(issuer: OidcIssuer) -> None:
    further = {"client_id": "ci", "scope": "issue:ci", "audience": "", "requested_token_type": ACCESS_TOKEN}
    assert ask(serving(issuer), issuer.token(START), **further).status == 200


def test_json_is_refused(issuer: OidcIssuer) -> None:
    assert "x-www-form-urlencoded" in refused(post(serving(issuer), b"{}", "application/json"))


def test_without_rules_no_token_is_exchanged(issuer: OidcIssuer) -> None:
    assert "OIDC_ISSUERS is not set" in refused(ask(Rig(), issuer.token(START)), "unsupported_grant_type")


def test_an_exchange_is_charged_to_the_address(issuer: OidcIssuer) -> None:
    rig = serving(issuer)
    ask(rig, issuer.token(START))
    ask(rig, "nonsense")
    assert rig.get("/api/v1/limits").json["remaining"] == 98
