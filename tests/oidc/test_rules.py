"""The rules of OIDC_ISSUERS: what is read, what is refused, what matches."""

import json
import re
from typing import Any

import pytest

from arsenal_fast.oidc.rules import Rules, parse_rules

TOML = """\
[[issuer]]
url = "https://token.actions.githubusercontent.com"
audience = "https://identity.api.yourbook.com"

[[issuer.rule]]
claims = { repository = "your-org/market-odds", ref = "refs/tags/v*" }
subject = "ci/market-odds"
prefixes = ["CI", "ci", "odds"]
rate_limit = 1000
"""
RULE: dict[str, Any] = {"claims": {"repository": "a/b"}, "subject": "ci", "prefixes": ["ci"], "rate_limit": 1}
ISSUER: dict[str, Any] = {"url": "https://a.example", "audience": "b", "rule": [RULE]}


def issuers(**members: Any) -> str:
    return json.dumps({"issuer": [{**ISSUER, **members}]})


def rule(**members: Any) -> str:
    return issuers(rule=[{**RULE, **members}])


def test_toml_and_json_of_the_same_rules_are_the_same() -> None:
    rules = parse_rules(TOML)
    (issuer,) = rules.issuers
    (only,) = issuer.rules
    assert (only.subject, only.prefixes, only.rate_limit, only.minutes) == ("ci/market-odds", ("ci", "odds"), 1000, 10)
    assert rules.prefixes == {"ci", "odds"}
    assert str(rules) == "https://token.actions.githubusercontent.com (1 rules)"
    claims = {"repository": "your-org/market-odds", "ref": "refs/tags/v*"}
    text = rule(claims=claims, subject="ci/market-odds", prefixes=["ci", "odds"], rate_limit=1000)
    url = {"url": issuer.url, "audience": issuer.audience}
    assert parse_rules(json.dumps({"issuer": [{**json.loads(text)["issuer"][0], **url}]})) == rules


MATCHES = [
    ({"repository": "your-org/market-odds", "ref": "refs/tags/v1"}, True),
    ({"repository": "your-org/market-odds", "ref": "refs/tags/v"}, True),
    ({"repository": "your-org/market-odds", "ref": "refs/tags/1"}, False),
    ({"repository": "your-org/market-odds"}, False),
    ({"repository": "your-org/market-odds-2", "ref": "refs/tags/v1"}, False),
    ({"repository": None, "ref": "refs/tags/v1"}, False),
]


@pytest.mark.parametrize(("claims", "matches"), MATCHES)
def test_every_claim_of_a_rule_must_match(claims: dict[str, object], matches: bool) -> None:
    assert parse_rules(TOML).issuers[0].rules[0].matches(claims) is matches


REFUSED = [
    ("", "needs 1 to 16 tables [[issuer]] in the document"),
    ("{", "must be TOML or JSON"),
    ("a = ", "must be TOML or JSON"),
    ('{"issuer": {}}', "needs 1 to 16 tables [[issuer]]"),
    ('{"issuers": []}', "has 'issuers' in the document; known are issuer"),
    (json.dumps({"issuer": [ISSUER, ISSUER]}), "has the same issuer twice"),
    (json.dumps({"issuer": [ISSUER] * 17}), "needs 1 to 16 tables"),
    (issuers(url="http://a.example"), "has a wrong url in issuer 1: it must be an https URL"),
    (issuers(url="https://u:p@a.example"), "must be an https URL without a user"),
    (issuers(url="https://a.example:x"), "has a wrong url in issuer 1"),
    (issuers(url="https://a.example?x"), "it must have no query"),
    (issuers(url="file:///etc/passwd"), "must be an https URL"),
    (issuers(url=7), "has a wrong url"),
    (issuers(audience=""), "needs audience in issuer 1"),
    (issuers(rule=[]), "needs 1 to 1000 tables [[rule]] in issuer 1"),
    (issuers(extra=1), "has 'extra' in issuer 1"),
    (rule(claims={}), "needs claims in rule 1 of issuer 1"),
    (rule(claims={"repository": "*"}), "needs claims in rule 1 of issuer 1"),
    (rule(claims={"run_id": 7}), "needs claims in rule 1 of issuer 1"),
    (rule(subject="a b"), "has a wrong subject in rule 1 of issuer 1"),
    (rule(prefixes=[]), "needs 1 to 32 prefixes"),
    (rule(prefixes=["a-b"]), "needs 1 to 32 prefixes"),
    (rule(prefixes="ci"), "needs 1 to 32 prefixes"),
    (rule(rate_limit=0), "needs rate_limit in rule 1 of issuer 1"),
    (rule(rate_limit=True), "needs rate_limit"),
    (rule(minutes=61), "needs minutes in rule 1 of issuer 1: a whole number from 1 to 60"),
    (rule(repo="x"), "has 'repo' in rule 1 of issuer 1"),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_a_wrong_rule_is_refused_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_rules(text)


def test_an_issuer_on_the_loopback_may_speak_http() -> None:
    for host in ("127.0.0.1:8080", "localhost", "[::1]:1"):
        assert isinstance(parse_rules(issuers(url=f"http://{host}")), Rules)
