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

from arsenal_fast.errors import InvalidIdentity
from arsenal_fast.identity import grammar
from arsenal_fast.identity.life import MAX_TTL, parse_ttl, ttl_fault
from arsenal_fast.service import schemas
from arsenal_fast.service.openapi import HEADERS, document
from arsenal_fast.service.routes import ROUTES
from arsenal_fast.service.schemas import PARAMETERS, SCHEMAS
from tests.support.rig import Answer, Rig

BASE_URL = "https://identity.api.yourbook.com"
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


@pytest.mark.parametrize("name", sorted({*SCHEMAS} - {"ValidationRequest", "ValidationAnswer"}))
def test_a_schema_without_a_required_member_would_check_nothing(name: str) -> None:
    assert SCHEMAS[name]["required"], name


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
]


@pytest.mark.parametrize(("name", "body"), REFUSED_BODIES)
def test_what_the_schema_of_a_body_refuses_the_service_refuses(name: str, body: object) -> None:
    path = {"BatchRequest": "/api/v1/identities", "ValidationRequest": "/api/v1/validate"}[name]
    assert not validator(name).is_valid(body)
    assert Rig().post(path, body).status == 400


# The patterns are the grammar, said in ECMA-262. Near misses are what a random text seldom is.

NEAR = st.text(st.sampled_from("aZ09_.-@/:v \n\r\té٣ßK"), max_size=12)
LONG = st.integers(55, 70).map(lambda size: "a" * size)
LABELS = st.lists(st.one_of(NEAR, LONG), max_size=5).map(".".join)
PARTS: list[tuple[str, dict[str, Any], Callable[[str], str | None]]] = [
    ("prefix", schemas.PREFIX, grammar.prefix_fault),
    ("run", schemas.RUN, grammar.run_fault),
    ("domain", schemas.DOMAIN, grammar.domain_fault),
    ("version", schemas.VERSION, grammar.version_fault),
]


@pytest.mark.parametrize(("schema", "fault"), [row[1:] for row in PARTS], ids=[row[0] for row in PARTS])
@given(text=st.one_of(NEAR, LONG, LABELS, st.text(), st.integers(0, 1099).map("v{}".format)))
@settings(max_examples=300, deadline=None)
def test_a_pattern_admits_exactly_what_the_grammar_admits(
    schema: dict[str, Any], fault: Callable[[str], str | None], text: str
) -> None:
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(text) == (fault(text) is None)


@given(
    prefix=st.from_regex(schemas.PREFIX_PATTERN[1:-1], fullmatch=True).filter(lambda text: len(text) < 31),
    run=st.from_regex(schemas.RUN_PATTERN[1:-1], fullmatch=True).filter(lambda text: len(text) < 31),
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
    try:
        handed_out = grammar.parse(text).id == text
    except InvalidIdentity:
        handed_out = False
    assert jsonschema_rs.Draft202012Validator(SCHEMAS["Identity"]["properties"]["id"]).is_valid(text) == handed_out


@pytest.mark.parametrize("ttl", [-1, 0, 1, 60, 3600, MAX_TTL, MAX_TTL + 1])
def test_the_range_of_the_ttl_is_the_one_that_is_enforced(ttl: int) -> None:
    documented = jsonschema_rs.Draft202012Validator(schemas.TTL).is_valid(ttl)
    assert documented == (ttl_fault(ttl) is None)
    if documented:
        assert parse_ttl(str(ttl)) == ttl


# What the service answers is what the document says it answers.

ID = "player-123456@sports.api.yourbook.com/v1:id"
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
]


def ask(rig: Rig, target: str, body: object) -> Answer:
    return rig.get(target) if body is None else rig.post(target, body)


@pytest.mark.parametrize(("name", "target", "body"), ANSWERS)
def test_answers_fit_their_schema(name: str, target: str, body: object) -> None:
    rig = Rig()
    rig.get("/api/v1/id?prefix=player&run=123456")
    answer = ask(rig, target, body)
    assert (answer.status >= 400) == (name == "Problem")
    validator(name).validate(answer.json)


@pytest.mark.parametrize(("name", "target", "body"), ANSWERS)
def test_answers_have_no_member_that_is_not_documented(name: str, target: str, body: object) -> None:
    rig = Rig()
    rig.get("/api/v1/id?prefix=player&run=123456")
    assert undocumented(ask(rig, target, body).json, SCHEMAS[name]) == []


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


@pytest.mark.parametrize("pattern", [schemas.ID_PATTERN, schemas.DOMAIN_PATTERN, schemas.RUN_PATTERN])
def test_patterns_are_anchored_and_use_nothing_that_ecma_262_lacks(pattern: str) -> None:
    assert pattern.startswith("^")
    assert pattern.endswith("$")
    assert re.search(r"[*+?}]\+|\(\?[^:=!]", pattern) is None
