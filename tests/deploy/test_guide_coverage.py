"""docs/guide-coverage.md names only files, make targets, variables and endpoints that exist."""

import re
from pathlib import Path
from typing import Final

import pytest

from arsenal_fast.api.routes import ROUTES
from arsenal_fast.config.schema import TABLE

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "guide-coverage.md").read_text()

GUIDE: Final = {
    "variables": """
        NODE_ENV PORT REDIS_URL JWT_SECRET API_BASE_URL CORS_ORIGIN RATE_LIMIT_REQUESTS RATE_LIMIT_WINDOW
        IDENTITY_URL IDENTITY_SERVICE TG_TOKEN GITHUB_RUN_ID GITHUB_ENV NPM_EMAIL NPM_TOKEN
    """,
    "endpoints": """
        /api/v1/id /api/v1/identities /api/v1/validate /api/health /api/metrics /api/telemetry /api/docs
    """,
    "names": """
        identity-service identity-config identity-secrets identity-ingress redis-master identity_requests_total
        identity_cache_hit_ratio identity_service_up IdentityServiceDown HighErrorRate bootstrap-prod.sh
        createPlayerSession useIdentity X-RateLimit-Limit X-RateLimit-Remaining X-Frame-Options X-Content-Type-Options
    """,
}
"""What the guide has of each kind; the guide itself is not part of the repository."""

CALLERS: Final = {
    "IDENTITY_SERVICE",
    "IDENTITY_URL",
    "TG_TOKEN",
    "GITHUB_ENV",
    "GITHUB_RUN_ID",
    "NPM_EMAIL",
    "NPM_TOKEN",
}
"""Variables of those who call the service, in the guide and in the examples."""

SUFFIXES: Final = "py|md|ts|tsx|yml|yaml|sh|json|example"
PATHS: Final = re.compile(rf"`((?:[\w.-]+/)*[\w.-]+\.(?:{SUFFIXES})|\.ci/run|k8s/[\w/-]+)`")


def rows() -> list[list[str]]:
    """The cells of each row; a ``\\|`` is none of their borders."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| Guide |")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_row_says_what_is_here_and_how_it_is_checked_or_why_not() -> None:
    assert len(rows()) > 50
    for row in rows():
        guide, here, checked, departure = row
        assert guide, row
        assert here, row
        assert PATHS.search(checked) or "`make " in checked or (checked == "—" and departure), row


@pytest.mark.deploy("the guide is covered by what is there", tool="its table")
def test_every_file_that_is_named_is_there() -> None:
    named = {path for _, here, checked, _ in rows() for cell in (here, checked) for path in PATHS.findall(cell)}
    assert len(named) > 50
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert missing == [], "\n".join(missing)


@pytest.mark.deploy("the guide is covered by what is there", tool="its table")
def test_every_make_target_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z0-9-]+)", PAGE)) <= targets


def test_every_variable_is_one_of_the_service_or_of_a_caller() -> None:
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", PAGE))
    assert named - {row.name for row in TABLE} - CALLERS == {"UPGRADE_FROM"} & named


def test_every_endpoint_is_one_of_the_service() -> None:
    named = set(re.findall(r"(?<![\w./])/api/[\w./]+\w", PAGE))
    assert named - {route.path for route in ROUTES} == set()


@pytest.mark.parametrize("kind", GUIDE)
def test_nothing_of_the_guide_is_left_out(kind: str) -> None:
    assert [name for name in GUIDE[kind].split() if name not in PAGE] == []
