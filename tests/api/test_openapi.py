"""The document agrees with the routes, the grammar and the responses, and is valid OpenAPI 3.1."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import pytest

from arsenal_fast.api.openapi import HEADERS
from arsenal_fast.api.routes import ROUTES
from arsenal_fast.api.schemas import PARAMETERS, SCHEMAS
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.model import AuditEvent, AuditPage, AuditQuery, Cursor
from arsenal_fast.tokens.claims import SCOPES
from tests.support.ledgers import SwitchedLedger
from tests.support.openapi import BASE_URL, DOCUMENT, ID, MOMENT, OPERATIONS, bearer, validator
from tests.support.rig import Answer, Rig
from tests.support.tokens import eddsa_keys


def test_the_document_is_openapi_3_1() -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator  # takes two seconds

    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_document_is_json_and_names_release_and_server() -> None:
    read = json.loads(json.dumps(DOCUMENT))
    assert (read["openapi"], read["info"]["version"]) == ("3.1.0", "4.2.0")
    assert read["servers"] == [{"url": BASE_URL}]


def test_every_documented_row_and_nothing_else_is_there() -> None:
    there = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert there == {(route.method, route.path) for route in ROUTES if route.summary}


def test_every_tag_is_explained() -> None:
    explained = {tag["name"] for tag in DOCUMENT["tags"]}
    assert {tag for _, operation in OPERATIONS for tag in operation["tags"]} == explained


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


def test_examples_of_parameters_and_headers_fit_their_schema() -> None:
    for part in (*PARAMETERS.values(), *(header for header in HEADERS.values() if "example" in header)):
        jsonschema_rs.Draft202012Validator(part["schema"]).validate(part["example"])


def test_every_word_of_a_services_state_is_documented() -> None:
    words = SCHEMAS["Health"]["properties"]["services"]["properties"]
    ledgers = {Ledger("sqlite:///nowhere/a.db").status, "disabled", "healthy", "degraded"}
    assert {*words["database"]["enum"]} == ledgers
    assert {*words["redis"]["enum"]} == {Rig().service.backend.status, "healthy", "unavailable"}
    assert {*words["api"]["enum"]} == {"starting", "healthy", "draining"}


# What code generators need: a name for each type, and no two of one name.


def objects(value: object) -> Iterator[dict[str, Any]]:
    """The schemas of objects within a schema, itself included."""
    if isinstance(value, list):
        for item in value:
            yield from objects(item)
    elif isinstance(value, dict):
        if isinstance(value.get("properties"), dict):
            yield value
        for key, item in value.items():
            if key != "examples":
                yield from objects(item)


def test_every_object_is_a_component_of_its_own() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert [found for found in objects(schema) if found is not schema] == [], name
    assert list(objects(DOCUMENT["paths"])) == []


def test_no_two_objects_have_one_name() -> None:
    within = [found for schema in SCHEMAS.values() for found in objects(schema) if found is not schema]
    assert len(within) > 20
    assert len(DOCUMENT["components"]["schemas"]) == len(SCHEMAS) + len(within)
    for name in DOCUMENT["components"]["schemas"]:
        assert re.fullmatch("[A-Z][A-Za-z]+", name)


def test_no_member_has_a_default_for_generators_take_it_as_always_present() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for member, each in schema.get("properties", {}).items():
            assert "default" not in each, (name, member)


def test_no_object_has_a_member_of_its_own_name() -> None:
    """openapi-python-client gives both the same variable."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() not in schema.get("properties", {})


def test_no_header_field_has_an_example_for_swagger_ui_would_send_it() -> None:
    fields = [each for each in DOCUMENT["components"]["parameters"].values() if each["in"] == "header"]
    assert fields
    assert [each for each in fields if "example" in each or "example" in each["schema"]] == []


def test_operation_ids_are_distinct() -> None:
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert {"issue_one", "issue_batch", "validate", "revoke", "limits"} <= set(names)


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
    ("TokenPage", "/api/v1/tokens", None),
    ("MintedToken", "/api/v1/tokens", {"subject": "bot", "rate_limit": 7}),
    ("TokenChange", "/api/v1/tokens/revoke", {"id": "0123456789abcdef0123"}),
    ("TokenChange", "/api/v1/tokens/revoke", {"subject": "bot"}),
    ("TokenChange", "/api/v1/tokens/limit", {"id": "0123456789abcdef0123", "rate_limit": 7}),
    ("Problem", "/api/v1/tokens", {"subject": "no name", "days": 0}),
    ("Problem", "/api/v1/tokens?limit=0&cursor=1&subject=%20", None),
    ("Problem", "/api/v1/tokens/limit", {"id": "x", "rate_limit": 0}),
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
            nothing._replace(seq=3, kind="token_minted", token="0123456789abcdef0123", subject="bot", rate_limit=7),
            AuditEvent(2, "issued", at, "player", "1", "a.b", "v1", at, at + 1, None, "prod", "203.0.113.9", None),
        ]
        done(AuditPage(events, Cursor(at, 2)))


NO_PARTS = (None, None, None, None)


def fresh_rig() -> Rig:
    """A worker that has issued ID, and has a page of the audit to show."""
    rig = Rig(ledger=OnePage())
    rig.get("/api/v1/id?prefix=player&run=123456")
    return rig


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
