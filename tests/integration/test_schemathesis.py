"""The running service conforms to its OpenAPI document, for requests that schemathesis generates.

Each operation gets the examples of the document, the edges of its schemas (valid and not), and a bounded
number of random requests; once from an address, and once with a service token of every scope. What is checked of
each answer: no 5xx, documented status, type, body and header fields, invalid requests refused, valid ones not,
methods that are not there refused with ``Allow``; that what needs a token is refused without one and with a bad
one. The ledger is a real one, in a file.
"""

import time
from collections.abc import Iterator
from math import inf
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import CheckFunction
from schemathesis.config import (
    CoveragePhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from arsenal_fast.api.handlers.revocation import moment
from arsenal_fast.api.limits import DEFAULT_PREFIX
from arsenal_fast.api.openapi import document
from arsenal_fast.identity.grammar import MAX_LOCAL, local_fault
from arsenal_fast.identity.runs import LENGTH
from arsenal_fast.registry.service_tokens import name_fault
from arsenal_fast.tokens.claims import SCOPES
from tests.support.service import ServiceProcess, command

pytestmark = pytest.mark.integration

EXAMPLES = 60
"""Random requests for each operation, on top of the examples and edges."""

SECRET = "a secret of the tests, 32 octets long"

QUOTA = 1_000_000
"""So many that no request is limited, and the rate-limit header fields are there to be checked."""

METHODS = {"get", "put", "post", "delete", "patch", "trace"}
"""Sent where they are not documented; a method that is unknown to HTTP/1.1 (QUERY) is a 501 instead of a 405."""

schema = schemathesis.openapi.from_dict(
    document("http://127.0.0.1"),
    config=SchemathesisConfig(
        seed=42,
        projects=ProjectsConfig(
            default=ProjectConfig(
                generation=GenerationConfig(deterministic=True),
                phases=PhasesConfig(coverage=CoveragePhaseConfig(unexpected_methods=METHODS)),
            )
        ),
    ),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    ledger = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/identity.db"
    env = {"RATE_LIMIT_REQUESTS": str(QUOTA), "JWT_SECRET": SECRET, "PROTECTED_PREFIXES": "vip"}
    with ServiceProcess(**env, DATABASE_URL=ledger, ACCESS_LOG="off") as running:
        yield running
        assert "Traceback" not in running.stderr
        assert requests.get(f"{running.url}/api/health", timeout=5).json()["status"] == "healthy"


@pytest.fixture(scope="module")
def bearer(service: ServiceProcess) -> dict[str, str]:
    """The field of a service token that allows everything, minted as an operator does."""
    wanted = ("--subject", "schemathesis", "--scope", ",".join(SCOPES), "--rate-limit", str(QUOTA), "--days", "1")
    minted = command(
        "token", *wanted, "--per-subject", str(QUOTA), env={"JWT_SECRET": SECRET, "PORT": str(service.port)}
    )
    assert minted.returncode == 0, minted.stderr
    return {"Authorization": f"Bearer {minted.stdout.strip()}"}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as kept:
        yield kept


def test_the_service_serves_the_document_that_the_others_are_made_of(service: ServiceProcess) -> None:
    served = requests.get(f"{service.url}/api/openapi.json", timeout=5).json()
    assert served == document(f"http://localhost:{service.port}")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_service_does_as_its_document_says(
    case: Case[Any], service: ServiceProcess, session: requests.Session
) -> None:
    excluded = beside_the_point(case)
    case.call_and_validate(base_url=service.url, session=session, timeout=5, excluded_checks=excluded)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_service_conforms_to_its_document_for_callers_with_a_service_token(
    case: Case[Any], service: ServiceProcess, session: requests.Session, bearer: dict[str, str]
) -> None:
    excluded = beside_the_point(case)
    answer = case.call_and_validate(
        base_url=service.url, session=session, timeout=5, excluded_checks=excluded, headers=dict(bearer)
    )
    # Some cases are without the field.
    if answer.request.headers.get("Authorization") == bearer["Authorization"] and not wrong_token(case):
        assert answer.status_code not in (401, 403), "a token of every scope was refused"


def wrong_token(case: Case[Any]) -> bool:
    """Whether the case has its own bad token: that of an identity, in a body to revoke it by."""
    return isinstance(case.body, dict) and "token" in case.body


def beside_the_point(case: Case[Any]) -> list[CheckFunction]:
    """The checks that say nothing of this case.

    Where no query is read an unknown parameter is ignored and no fault; schemathesis takes it for one where the case
    has another, such as a missing token, which a test then adds.
    """
    excluded: list[CheckFunction] = [positive_data_acceptance] if beyond_json_schema(case) else []
    known = {parameter.name for parameter in case.operation.query}
    if not known.issuperset(case.query or {}):
        excluded.append(negative_data_rejection)
    return excluded


def beyond_json_schema(case: Case[Any]) -> bool:
    """Whether the case breaks a rule that JSON Schema can't say.

    A prefix and a run, each of them good, may be too long together; to JSON Schema 60.0 is an integer; and a moment
    of the right form may be on no calendar, or in the future where it must not be. An ID token must be signed, a
    token's limit of each end user is for the scope ``behalf``, and its name is printable.
    """
    if case.operation.path == "/api/v1/token":
        return True
    body = case.body if isinstance(case.body, dict) else {}
    if any(isinstance(body.get(name), float) for name in ("ttl", "rate_limit", "days", "per_subject")):
        return True
    if ("behalf" in str(body.get("scope")).split()) != ("per_subject" in body):
        return True
    if case.operation.path == "/api/v1/tokens" and name_fault(str(body.get("name", "x"))) is not None:
        return True
    if not all(is_moment(member) for member in moments(case.query or {}, body)):
        return True
    if is_too_long(body.get("identity")):
        return True
    environments = body.get("environments")
    rows = [case.query or {}, *(environments if isinstance(environments, list) else ())]
    return any(isinstance(row, dict) and local_fault(*parts(row)) is not None for row in rows)


def moments(query: dict[str, Any], body: dict[str, Any]) -> list[tuple[str, float]]:
    """What is said of moments, with the last one that is taken."""
    asked = [(str(query[name]), inf) for name in ("since", "until") if name in query]
    return asked + ([(str(body["issued_before"]), time.time() * 1000)] if "issued_before" in body else [])


def is_moment(said: tuple[str, float]) -> bool:
    text, latest = said
    try:
        return (0 if latest < inf else -inf) < moment(text) <= latest
    except ValueError:
        return False


def is_too_long(identity: object) -> bool:
    return isinstance(identity, str) and len(identity.partition("@")[0]) > MAX_LOCAL


def parts(row: dict[str, object]) -> tuple[str, str]:
    return str(row.get("prefix", DEFAULT_PREFIX)), str(row.get("run", "_" * LENGTH))


def test_a_link_of_the_document_leads_from_what_was_issued_to_its_verdict(
    service: ServiceProcess, session: requests.Session
) -> None:
    operations = document(service.url)["paths"]
    (link,) = operations["/api/v1/id"]["get"]["responses"]["200"]["links"].values()
    target = next(path for path, item in operations.items() for each in item.values() if is_called(each, link))
    assert link["requestBody"] == {"identity": "$response.body#/id"}
    issued = session.get(f"{service.url}/api/v1/id?prefix=player&run=link", timeout=5).json()
    verdict = session.post(f"{service.url}{target}", json={"identity": issued["id"]}, timeout=5).json()
    assert verdict["valid"] is True


def is_called(operation: dict[str, object], link: dict[str, object]) -> bool:
    return operation["operationId"] == link["operationId"]
