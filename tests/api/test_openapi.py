"""The document says what the table, the grammar and the answers say, and is an OpenAPI 3.1 document."""

import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from arsenal_fast.api.handlers.revocation import moment
from arsenal_fast.api.openapi import HEADERS, document
from arsenal_fast.api.routes import ROUTES
from arsenal_fast.api.schemas import PARAMETERS, SCHEMAS, parts
from arsenal_fast.identity import grammar, runs
from arsenal_fast.identity.validity import MAX_TTL, parse_ttl, ttl_fault
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.model import AuditEvent, AuditPage, AuditQuery, Cursor, parse_cursor
from arsenal_fast.tokens.claims import SCOPES
from tests.support.ledgers import SwitchedLedger
from tests.support.rig import Answer, Rig
from tests.support.tokens import eddsa_keys

BASE_URL = "https://identity.api.yourbook.com"
ID = "player-123456@sports.api.yourbook.com/v1:id"
MOMENT = "2025-11-22T10:00:00.000Z"
DOCUMENT = document(BASE_URL)
OPERATIONS = [
    (route, DOCUMENT["paths"][route.path][route.method.lower()]) for route in ROUTES if route.operation is not None
]


def validator(name: str) -> Any:
    """A validator of one schema of the document, with its references in reach and its formats checked."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def test_the_document_is_openapi_3_1() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_document_is_json_and_names_release_and_server() -> None:
    read = json.loads(json.dumps(DOCUMENT))
    assert (read["openapi"], read["info"]["version"]) == ("3.1.0", "4.2.0")
    assert read["servers"] == [{"url": BASE_URL}]


def test_every_documented_row_and_nothing_else_is_there() -> None:
    there = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert there == {(route.method, route.path) for route in ROUTES if route.operation is not None}


def test_operation_ids_are_the_handlers_names_and_differ() -> None:
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert ids == [route.handler.__name__ for route, _ in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_every_tag_is_explained() -> None:
    explained = {tag["name"] for tag in DOCUMENT["tags"]}
    assert {tag for _, operation in OPERATIONS for tag in operation["tags"]} == explained


def test_limited_rows_tell_of_429_and_how_long_to_wait() -> None:
    for route, operation in OPERATIONS:
        assert ("429" in operation["responses"]) == route.limited, route.path
        if route.limited:
            assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_rows_with_a_body_tell_of_413_and_415() -> None:
    for route, operation in OPERATIONS:
        has_body = "requestBody" in operation
        assert has_body == (route.method == "POST")
        assert ({"413", "415"} <= operation["responses"].keys()) == has_body


def test_every_answer_of_the_api_documents_the_rate_limit_headers() -> None:
    names = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"}
    for route, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            documented = names & answer["headers"].keys()
            assert documented == (names if route.path.startswith("/api/v1/") else set()), (route.path, status)


def test_every_problem_is_problem_json_and_its_example_fits() -> None:
    fits = validator("Problem")
    for route, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                example = answer["content"]["application/problem+json"]["example"]
                assert example["status"] == int(status), route.path
                fits.validate(example)


def test_a_503_of_the_rows_own_keeps_its_body_next_to_the_problem() -> None:
    contents = DOCUMENT["paths"]["/api/health/ready"]["get"]["responses"]["503"]["content"]
    assert contents.keys() == {"application/json", "application/problem+json"}


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


def test_examples_of_parameters_and_headers_fit_their_schema() -> None:
    for part in (*PARAMETERS.values(), *(header for header in HEADERS.values() if "example" in header)):
        jsonschema_rs.Draft202012Validator(part["schema"]).validate(part["example"])


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
        return  # the pattern knows no calendar
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


def test_every_word_of_a_services_state_is_documented() -> None:
    words = SCHEMAS["Health"]["properties"]["services"]["properties"]
    ledgers = {Ledger("sqlite:///nowhere/a.db").status, "disabled", "healthy", "degraded"}
    assert {*words["database"]["enum"]} == ledgers
    assert {*words["redis"]["enum"]} == {Rig().service.backend.status, "healthy", "unavailable"}
    assert {*words["api"]["enum"]} == {"starting", "healthy", "draining"}


# Service tokens.


def test_every_row_that_knows_service_tokens_says_whether_it_needs_one_and_of_which_scope() -> None:
    (scheme,) = DOCUMENT["components"]["securitySchemes"]
    told = {route.path: operation.get("security") for route, operation in OPERATIONS}
    assert {path: security for path, security in told.items() if security is not None} == {
        "/api/v1/id": [{}, {scheme: ["issue"]}],
        "/api/v1/identities": [{}, {scheme: ["issue"]}],
        "/api/v1/validate": [{}, {scheme: []}],
        "/api/v1/revoke": [{}, {scheme: ["revoke"]}],
        "/api/v1/audit": [{scheme: ["audit"]}],
        "/api/v1/limits": [{}, {scheme: []}],
    }


def test_a_401_is_told_of_everywhere_in_the_api_and_a_403_where_a_scope_is_asked_for() -> None:
    for route, operation in OPERATIONS:
        assert route.operation is not None
        assert ("401" in operation["responses"]) == route.path.startswith("/api/v1/"), route.path
        assert ("403" in operation["responses"]) == (route.operation.scope is not None), route.path
        for status in {"401", "403"} & operation["responses"].keys():
            assert "WWW-Authenticate" in operation["responses"][status]["headers"]


REFUSED_TOKENS: list[tuple[int, str, object, str | None]] = [
    (401, "/api/v1/id", None, "Bearer nonsense"),
    (401, "/api/v1/validate", {"identity": ID}, "Basic dXNlcjpwYXNz"),
    (401, "/api/v1/limits", None, "Bearer nonsense"),
    (401, "/api/v1/audit", None, None),
    (401, "/api/v1/id?prefix=vip", None, None),
    (401, "/api/v1/revoke", {"identity": ID}, None),
    (403, "/api/v1/audit", None, ""),
    (403, "/api/v1/id?prefix=vip", None, ""),
    (403, "/api/v1/revoke", {"issued_before": MOMENT}, ""),
]
"""Status, target, body, Authorization ("" is a good token without a scope)."""


@pytest.mark.parametrize(("status", "target", "body", "authorization"), REFUSED_TOKENS)
def test_a_refused_token_is_answered_as_documented(
    status: int, target: str, body: object, authorization: str | None
) -> None:
    rig = Rig({"protected_prefixes": frozenset({"vip"})})
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = ask(rig, target, body, **(bearer(rig) if authorization == "" else headers))
    assert answer.status == status
    validator("Problem").validate(answer.json)
    jsonschema_rs.Draft202012Validator(HEADERS["WWW-Authenticate"]["schema"]).validate(
        answer.headers["www-authenticate"]
    )


# What the service answers is what the document says it answers.

BATCH = {"environments": [{"name": "prod", "prefix": "player", "run": "123456"}, {"name": "two"}]}
ANSWERS: list[tuple[str, str, object]] = [
    ("Identity", "/api/v1/id?prefix=player&run=123456", None),
    ("Identity", "/api/v1/id", None),
    ("Batch", "/api/v1/identities", BATCH),
    ("ValidationAnswer", "/api/v1/validate", {"identity": ID}),
    ("ValidationAnswer", "/api/v1/validate", {"identity": "player-1@unheard.of/v1:id"}),
    ("ValidationAnswer", "/api/v1/validate", {"identities": [ID, "nonsense", ""]}),
    ("Limits", "/api/v1/limits", None),
    ("Health", "/api/health", None),
    ("Probe", "/api/health/live", None),
    ("Probe", "/api/health/ready", None),
    ("Probe", "/api/health/startup", None),
    ("Telemetry", "/api/telemetry", None),
    ("Problem", "/api/v1/id?prefix=a-b&ttl=0", None),
    ("Problem", "/api/v1/identities", {"environments": [{"name": ""}]}),
    ("Problem", "/api/v1/nothing", None),
    ("ValidationAnswer", "/api/v1/validate", {"token": "nonsense"}),
    ("ValidationAnswer", "/api/v1/validate", {"identity": ID, "token": "nonsense"}),
    ("Revocation", "/api/v1/revoke", {"identity": ID}),
    ("Revocation", "/api/v1/revoke", {"prefix": "player", "issued_before": MOMENT}),
    ("Revocation", "/api/v1/revoke", {"issued_before": MOMENT}),
    ("Audit", "/api/v1/audit?prefix=player&run=1&limit=2&cursor=1-1", None),
    ("KeySet", "/.well-known/jwks.json", None),
    ("Problem", "/api/v1/audit?since=yesterday&until=2025-02-30T00:00:00Z&limit=0&cursor=1", None),
    ("Problem", "/api/v1/revoke", {"identity": ID.replace("player", "nobody")}),
    ("Problem", "/api/v1/revoke", {"identity": ID, "token": "nonsense"}),
]


class OnePage(SwitchedLedger):
    """A ledger in memory that always answers an audit with the same page."""

    def audit(self, query: AuditQuery, done: Callable[[AuditPage | None], None]) -> None:
        at = 1_763_805_600_000
        nothing = AuditEvent(4, "audit_read", at, *NO_PARTS, None, None, None, None, "sub:ops", "r-1")
        events = [
            nothing,
            nothing._replace(seq=3, kind="revoked_all", issued_before=at),
            AuditEvent(2, "issued", at, "player", "1", "a.b", "v1", at, at + 1, None, "prod", "203.0.113.9", None),
        ]
        done(AuditPage(events, Cursor(at, 2)))


NO_PARTS = (None, None, None, None)


def fresh_rig() -> Rig:
    """A worker that has issued ID, and has a page of the audit to show."""
    rig = Rig(ledger=OnePage())
    rig.get("/api/v1/id?prefix=player&run=123456")
    return rig


def bearer(rig: Rig, *scopes: str) -> dict[str, str]:
    """The field of a good service token."""
    return {"Authorization": f"Bearer {rig.keys.mint_service('ops', scopes, 1000, 1, rig.wall)}"}


def ask(rig: Rig, target: str, body: object, **headers: str) -> Answer:
    return rig.get(target, **headers) if body is None else rig.post(target, body, **headers)


@pytest.mark.parametrize(("name", "target", "body"), ANSWERS)
def test_answers_fit_their_schema(name: str, target: str, body: object) -> None:
    rig = fresh_rig()
    answer = ask(rig, target, body, **bearer(rig, *SCOPES))
    assert (answer.status >= 400) == (name == "Problem")
    validator(name).validate(answer.json)


@pytest.mark.parametrize(("name", "target", "body"), ANSWERS)
def test_answers_have_no_member_that_is_not_documented(name: str, target: str, body: object) -> None:
    rig = fresh_rig()
    assert undocumented(ask(rig, target, body, **bearer(rig, *SCOPES)).json, SCHEMAS[name]) == []


def undocumented(value: object, schema: dict[str, Any], at: str = "") -> list[str]:
    """Pointers of the members that a schema does not name."""
    if "$ref" in schema:
        return undocumented(value, SCHEMAS[schema["$ref"].rpartition("/")[2]], at)
    if "oneOf" in schema:
        return min((undocumented(value, each, at) for each in schema["oneOf"]), key=len)
    if isinstance(value, list):
        return [
            found for index, item in enumerate(value) for found in undocumented(item, schema["items"], f"{at}/{index}")
        ]
    if not isinstance(value, dict):
        return []
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    found = []
    for name, member in value.items():
        inner = properties.get(name, others)
        found += undocumented(member, inner, f"{at}/{name}") if isinstance(inner, dict) else [f"{at}/{name}"]
    return found


def test_published_keys_fit_their_schema() -> None:
    rig = Rig()
    rig.service.keys = eddsa_keys()
    answer = rig.get("/.well-known/jwks.json").json
    assert answer["keys"]
    validator("KeySet").validate(answer)
    assert undocumented(answer, SCHEMAS["KeySet"]) == []


def test_a_refusal_by_the_limiter_fits_the_document() -> None:
    rig = Rig()
    for _ in range(100):
        rig.get("/api/v1/id")
    answer = rig.get("/api/v1/id")
    assert answer.status == 429
    validator("Problem").validate(answer.json)
    responses = DOCUMENT["paths"]["/api/v1/id"]["get"]["responses"]
    for name in responses["429"]["headers"].keys() - {"X-Request-Id"}:
        value: str | int = answer.headers[name.lower()]
        schema = HEADERS[name]["schema"]
        jsonschema_rs.Draft202012Validator(schema).validate(int(value) if schema["type"] == "integer" else value)


@pytest.mark.parametrize("pattern", [parts.ID_PATTERN, parts.DOMAIN_PATTERN, parts.RUN_PATTERN, parts.MOMENT_PATTERN])
def test_patterns_are_anchored_and_use_nothing_that_ecma_262_lacks(pattern: str) -> None:
    assert pattern.startswith("^")
    assert pattern.endswith("$")
    assert re.search(r"[*+?}]\+|\(\?[^:=!]", pattern) is None
