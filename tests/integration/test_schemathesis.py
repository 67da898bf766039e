"""The running service keeps every promise of its own document, for requests that schemathesis makes up.

Each operation gets the examples of the document, the edges of its schemas (valid and not), and a bounded
number of random requests. What is checked of each answer: no 5xx, documented status, type, body and header
fields, invalid requests refused, valid ones not, methods that are not there refused with ``Allow``.
"""

from collections.abc import Iterator
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
from schemathesis.specs.openapi.checks import positive_data_acceptance

from arsenal_fast.identity.grammar import local_fault
from arsenal_fast.service.handlers.identities import DEFAULT_PREFIX
from arsenal_fast.service.openapi import document
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

EXAMPLES = 60
"""Random requests for each operation, on top of the examples and edges."""

QUOTA = 1_000_000
"""So many that nobody is limited, and the rate-limit header fields are there to be checked."""

METHODS = {"get", "put", "post", "delete", "patch", "trace"}
"""Sent where they are not documented; a method that HTTP/1.1 does not know (QUERY) is a 501 instead of a 405."""

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
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(RATE_LIMIT_REQUESTS=str(QUOTA), ACCESS_LOG="off") as running:
        yield running
        assert "Traceback" not in running.stderr


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
    excluded: list[CheckFunction] = [positive_data_acceptance] if beyond_json_schema(case) else []
    case.call_and_validate(base_url=service.url, session=session, timeout=5, excluded_checks=excluded)


def beyond_json_schema(case: Case[Any]) -> bool:
    """Whether the case breaks a rule that JSON Schema can't say.

    A prefix and a run, each of them good, may be too long together; and to JSON Schema 60.0 is an integer.
    """
    body = case.body if isinstance(case.body, dict) else {}
    if isinstance(body.get("ttl"), float):
        return True
    environments = body.get("environments")
    rows = [case.query or {}, *(environments if isinstance(environments, list) else ())]
    return any(isinstance(row, dict) and local_fault(*parts(row)) is not None for row in rows)


def parts(row: dict[str, object]) -> tuple[str, str]:
    # Without a run one of 19 digits is made.
    return str(row.get("prefix", DEFAULT_PREFIX)), str(row.get("run", "0" * 19))


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
