"""The schemas: their examples are valid, and their patterns and ranges accept what the service accepts."""

import re
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.api.handlers.revocation import moment
from arsenal_fast.api.schemas import PARAMETERS, SCHEMAS, parts
from arsenal_fast.identity import grammar, runs
from arsenal_fast.identity.validity import MAX_TTL, parse_ttl, ttl_fault
from arsenal_fast.ledger.model import parse_cursor
from arsenal_fast.tokens.claims import SCOPES
from tests.support.openapi import ID, MOMENT, bearer, validator
from tests.support.rig import Rig


@pytest.mark.parametrize("name", SCHEMAS)
def test_examples_fit_their_schema(name: str) -> None:
    fits = validator(name)
    for example in SCHEMAS[name].get("examples", ()):
        fits.validate(example)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_without_a_required_member_would_check_nothing(name: str) -> None:
    for form in SCHEMAS[name].get("oneOf", [SCHEMAS[name]]):
        assert form.get("required") or form["$ref"], name


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name.endswith("Request")])
def test_no_two_forms_of_a_body_are_the_same(name: str) -> None:
    for example in SCHEMAS[name]["examples"]:
        forms = SCHEMAS[name].get("oneOf", [SCHEMAS[name]])
        assert [jsonschema_rs.Draft202012Validator(form).is_valid(example) for form in forms].count(True) == 1


REFUSED_BODIES = [
    ("BatchRequest", {}),
    ("BatchRequest", {"environments": []}),
    ("BatchRequest", {"environments": [{"name": "a"}] * 1001}),
    ("BatchRequest", {"environments": [{"prefix": "player"}]}),
    ("BatchRequest", {"environments": [{"name": "a", "nmae": "b"}]}),
    ("BatchRequest", {"environments": [{"name": "a"}], "ttl": 0}),
    ("BatchRequest", {"environments": [{"name": "a"}], "ttl": "60"}),
    ("BatchRequest", {"environments": [{"name": "a"}], "more": 1}),
    ("ValidationRequest", {}),
    ("ValidationRequest", {"identity": "a", "identities": ["a"]}),
    ("ValidationRequest", {"identity": None}),
    ("ValidationRequest", {"identities": []}),
    ("ValidationRequest", {"identities": ["a"] * 1001}),
    ("ValidationRequest", {"token": None}),
    ("ValidationRequest", {"identity": None, "token": "a"}),
    ("ValidationRequest", {"identities": ["a"], "token": "a"}),
    ("ValidationRequest", {"identity": "a", "tokens": "a"}),
    ("RevocationRequest", {}),
    ("RevocationRequest", {"token": "a"}),
    ("RevocationRequest", {"prefix": "player"}),
    ("RevocationRequest", {"identity": "no identity"}),
    ("RevocationRequest", {"identity": None}),
    ("RevocationRequest", {"identity": ID, "token": None}),
    ("RevocationRequest", {"identity": ID, "prefix": "player"}),
    ("RevocationRequest", {"identity": ID, "issued_before": MOMENT}),
    ("RevocationRequest", {"identities": [ID]}),
    ("RevocationRequest", {"prefix": "a-b", "issued_before": MOMENT}),
    ("RevocationRequest", {"prefix": "", "issued_before": MOMENT}),
    ("RevocationRequest", {"prefix": None, "issued_before": MOMENT}),
    ("RevocationRequest", {"prefix": "player", "issued_before": 1763805600}),
    ("RevocationRequest", {"issued_before": "2025-11-22"}),
    ("RevocationRequest", {"issued_before": "2025-11-22 10:00:00Z"}),
    ("RevocationRequest", {"issued_before": "2025-11-22T10:00:00"}),
]

PATHS = {
    "BatchRequest": "/api/v1/identities",
    "ValidationRequest": "/api/v1/validate",
    "RevocationRequest": "/api/v1/revoke",
}


@pytest.mark.parametrize(("name", "body"), REFUSED_BODIES)
def test_what_the_schema_of_a_body_refuses_the_service_refuses(name: str, body: object) -> None:
    assert not validator(name).is_valid(body)
    rig = Rig()
    assert rig.post(PATHS[name], body, **bearer(rig, *SCOPES)).status == 400


TAKEN_BODIES = [
    ("ValidationRequest", {"identity": "", "token": ""}),
    ("RevocationRequest", {"identity": ID.replace("sports", "SPORTS")}),
    ("RevocationRequest", {"issued_before": MOMENT}),
    ("RevocationRequest", {"prefix": "Player.", "issued_before": "2025-11-22t11:00:00.000001+01:00"}),
]


@pytest.mark.parametrize(("name", "body"), TAKEN_BODIES)
def test_what_the_schema_of_a_body_takes_the_service_takes(name: str, body: object) -> None:
    validator(name).validate(body)
    rig = Rig()
    rig.get("/api/v1/id?prefix=player&run=123456")
    assert rig.post(PATHS[name], body, **bearer(rig, *SCOPES)).status == 200


# The patterns are the grammar, said in ECMA-262. Near misses are what a random text seldom is.

NEAR = st.text(st.sampled_from("aZ09_.-@/:v \n\r\té٣ßK"), max_size=12)

LONG = st.integers(55, 70).map(lambda size: "a" * size)

LABELS = st.lists(st.one_of(NEAR, LONG), max_size=5).map(".".join)

DRAWN = st.from_regex(runs.DRAWN, fullmatch=True).flatmap(lambda run: st.sampled_from([run, run[:-1], run + "0"]))

PARTS: list[tuple[str, dict[str, Any], Callable[[str], object]]] = [
    ("prefix", parts.PREFIX, grammar.prefix_fault),
    ("run", parts.RUN, lambda run: runs.is_drawn(run) or grammar.run_fault(run)),
    ("any run", PARAMETERS["any_run"]["schema"], grammar.run_fault),
    ("domain", parts.DOMAIN, grammar.domain_fault),
    ("version", parts.VERSION, grammar.version_fault),
]


@pytest.mark.parametrize(("schema", "fault"), [row[1:] for row in PARTS], ids=[row[0] for row in PARTS])
@given(text=st.one_of(NEAR, LONG, LABELS, DRAWN, st.text(), st.integers(0, 1099).map("v{}".format)))
@settings(max_examples=300, deadline=None)
def test_a_pattern_admits_exactly_what_the_grammar_admits(
    schema: dict[str, Any], fault: Callable[[str], object], text: str
) -> None:
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(text) == (not fault(text))


@given(
    prefix=st.from_regex(parts.PREFIX_PATTERN[1:-1], fullmatch=True).filter(lambda text: len(text) < 31),
    run=st.from_regex(parts.RUN_PATTERN[1:-1], fullmatch=True).filter(lambda text: len(text) < 31),
)
@settings(max_examples=50, deadline=None)
def test_every_identity_that_can_be_handed_out_fits_the_documented_pattern(prefix: str, run: str) -> None:
    identity = grammar.compose(prefix, run, "Sports.API.yourbook.com", "v1")
    properties = SCHEMAS["Identity"]["properties"]
    jsonschema_rs.Draft202012Validator(properties["id"]).validate(identity.id)
    jsonschema_rs.Draft202012Validator(properties["email"]).validate(identity.email)


@given(text=st.one_of(NEAR, NEAR.map("a-b@{}/v1:id".format), NEAR.map("a-b@c{}:id".format)))
@settings(max_examples=300, deadline=None)
def test_what_is_no_identity_does_not_fit_the_documented_pattern(text: str) -> None:
    identity = grammar.parse(text)
    handed_out = isinstance(identity, grammar.Identity) and identity.id == text
    assert jsonschema_rs.Draft202012Validator(SCHEMAS["Identity"]["properties"]["id"]).is_valid(text) == handed_out


@pytest.mark.parametrize("ttl", [-1, 0, 1, 60, 3600, MAX_TTL, MAX_TTL + 1])
def test_the_range_of_the_ttl_is_the_one_that_is_enforced(ttl: int) -> None:
    documented = jsonschema_rs.Draft202012Validator(parts.TTL).is_valid(ttl)
    assert documented == (ttl_fault(ttl) is None)
    if documented:
        assert parse_ttl(str(ttl)) == ttl


@given(
    text=st.one_of(
        st.datetimes().map("{}Z".format),
        st.datetimes().map(lambda at: f"{at.isoformat()}+01:00"),
        st.from_regex(parts.MOMENT_PATTERN[1:-1], fullmatch=True),
        NEAR,
    )
)
@settings(max_examples=300, deadline=None)
def test_a_moment_that_the_service_reads_fits_the_documented_pattern(text: str) -> None:
    try:
        moment(text)
    except ValueError:
        return  # the pattern does not check the calendar
    jsonschema_rs.Draft202012Validator(PARAMETERS["since"]["schema"]).validate(text)


@given(text=st.one_of(st.from_regex(r"[0-9]{0,19}-?[0-9]{0,19}"), NEAR))
@settings(max_examples=300, deadline=None)
def test_the_pattern_of_a_cursor_admits_exactly_what_is_read(text: str) -> None:
    documented = jsonschema_rs.Draft202012Validator(PARAMETERS["cursor"]["schema"]).is_valid(text)
    try:
        parse_cursor(text)
    except ValueError:
        assert not documented
    else:
        assert documented


@given(text=st.one_of(NEAR, NEAR.map("a-b@{}/v1:id".format), NEAR.map("a-b@c{}:id".format)))
@settings(max_examples=300, deadline=None)
def test_what_may_be_revoked_is_what_the_grammar_reads(text: str) -> None:
    is_identity = isinstance(grammar.parse(text), grammar.Identity)
    schema = SCHEMAS["RevocationRequest"]["oneOf"][0]["properties"]["identity"]
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(text) == is_identity


@pytest.mark.parametrize("pattern", [parts.ID_PATTERN, parts.DOMAIN_PATTERN, parts.RUN_PATTERN, parts.MOMENT_PATTERN])
def test_patterns_are_anchored_and_use_nothing_that_ecma_262_lacks(pattern: str) -> None:
    assert pattern.startswith("^")
    assert pattern.endswith("$")
    assert re.search(r"[*+?}]\+|\(\?[^:=!]", pattern) is None
