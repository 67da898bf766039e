"""Variables that are probably mistakes, and well-known secrets."""

import pytest

from arsenal_fast.cli.doctor.configuration import DRAW_ONE, examine
from arsenal_fast.cli.doctor.finding import Finding, Level, worst
from tests.cli.doctor.conftest import Configured


def test_a_complete_configuration_is_ok(configured: Configured) -> None:
    findings = list(examine(configured()))
    assert [finding.check for finding in findings] == ["configuration", "secrets"]
    assert worst(findings) is Level.OK
    assert not any(finding.mend for finding in findings)


DOUBTFUL = [
    ({"CORS_ORIGIN": "*"}, "CORS_ORIGIN is *", "Name the origins"),
    ({"API_BASE_URL": "http://identity"}, "API_BASE_URL is http", "https URL"),
    ({"RATE_LIMIT_REQUESTS": "0"}, "RATE_LIMIT_REQUESTS is 0", "100"),
    ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "TRUSTED_PROXIES has 0.0.0.0/0", "your own proxies"),
]


@pytest.mark.parametrize(("variables", "text", "mend"), DOUBTFUL)
def test_what_is_allowed_and_hardly_meant_is_warned_of(
    configured: Configured, variables: dict[str, str], text: str, mend: str
) -> None:
    (finding, secrets) = examine(configured(**variables))
    assert (finding.check, finding.level) == ("configuration", Level.WARN)
    assert text in finding.text
    assert mend in finding.mend
    assert secrets.level is Level.OK


def test_a_misspelt_variable_is_warned_of(configured: Configured) -> None:
    (finding, _) = examine(configured(TRUSTED_PROXY="10.0.0.1"))
    assert finding == Finding(
        "configuration",
        Level.WARN,
        "TRUSTED_PROXY is not read; is TRUSTED_PROXIES meant?",
        "Correct its name, or remove it.",
    )


WEAK = [
    ({"NODE_ENV": "development", "JWT_SECRET": "short"}, "would be refused in production"),
    ({"NODE_ENV": "development", "JWT_SECRET": ""}, "JWT_SECRET is not set"),
    ({"JWT_SECRET": "abababababababababababababababababab"}, "fewer than 8 different characters"),
    ({"REDIS_URL": "redis://redis:6379/1"}, "REDIS_URL has no password"),
    ({"REDIS_URL": "redis://:change-me-please@redis"}, "password in REDIS_URL is an example"),
    ({"REDIS_URL": "redis://arsenal:arsenal@redis"}, "password in REDIS_URL is an example"),
    (
        {"REDIS_URL": "rediss://:7b9e0c4a@redis?ssl_cert_reqs=none"},
        "ssl_cert_reqs=none: a program between here and Redis",
    ),
    ({"DATABASE_URL": "postgresql://ledger:postgres@db/identity"}, "password in DATABASE_URL is an example"),
    ({"DATABASE_URL": "postgresql://ledger:l%65dger@db/identity"}, "password in DATABASE_URL is an example"),
    ({"DATABASE_URL": "postgresql://db/identity?user=u&password=p%6fstgres"}, "password in DATABASE_URL is an example"),
]


@pytest.mark.parametrize(("variables", "text"), WEAK)
def test_a_secret_that_is_absent_short_or_an_example_is_warned_of(
    configured: Configured, variables: dict[str, str], text: str
) -> None:
    finding = list(examine(configured(**variables)))[-1]
    assert (finding.check, finding.level) == ("secrets", Level.WARN)
    assert text in finding.text
    assert finding.mend


@pytest.mark.parametrize(
    "variables",
    [
        {"REDIS_URL": "redis://127.0.0.1/0"},
        {"REDIS_URL": "redis://localhost/0"},
        {"REDIS_URL": "redis://[::1]/0"},
        {"REDIS_URL": "unix:///run/redis.sock"},
        {"NODE_ENV": "development", "REDIS_URL": "redis://redis"},
        {"DATABASE_URL": "postgresql://db/identity"},
        {"DATABASE_URL": "sqlite:///password"},
    ],
)
def test_a_password_is_not_asked_for_where_nobody_else_gets_in(
    configured: Configured, variables: dict[str, str]
) -> None:
    finding = list(examine(configured(**variables)))[-1]
    assert finding == Finding("secrets", Level.OK, "none is absent, short or an example")


def test_the_mend_of_a_weak_secret_is_a_command(configured: Configured) -> None:
    finding = list(examine(configured(NODE_ENV="development", JWT_SECRET="short")))[-1]
    assert finding.mend == DRAW_ONE
