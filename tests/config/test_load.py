"""The configuration: values, refusals, and secrets that are never shown."""

import dataclasses
import sys
from pathlib import Path

import pytest

from arsenal_fast.config.load import load, rows
from arsenal_fast.config.schema import TABLE
from arsenal_fast.stores.redis.url import parse_url
from tests.support.configuration import KEY, PRODUCTION, ROOT, faults


def example() -> dict[str, str]:
    """What Docker Compose would read from .env.production.example."""
    lines = (ROOT / ".env.production.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_an_empty_environment_is_a_development_service_in_memory() -> None:
    config = load({})
    assert (config.node_env, config.host, config.port, config.workers) == ("development", "::", 3655, 1)
    assert config.embedded
    assert not config.production
    assert not config.tls
    assert (config.rate_limit_requests, config.rate_limit_window) == (100, 3600)
    assert config.rate_limit_on_redis_failure == "local"
    assert config.redis_timeout_ms == 250
    assert config.cors_origin == ("*",)
    assert config.api_base_url == "http://localhost:3655"
    assert config.jwt_secret is None
    assert config.identity_domain == "sports.api.yourbook.com"
    assert (config.log_format, config.log_level, config.access_log) == ("text", "info", "errors")
    assert (config.drain_delay, config.drain_seconds) == (0, 25)
    assert config.warnings == ()


def test_production_has_its_own_defaults() -> None:
    config = load(PRODUCTION)
    assert config.production
    assert (config.log_format, config.drain_delay) == ("ecs", 5)
    assert config.warnings == ()


def test_an_empty_value_counts_as_absent() -> None:
    assert load({row.name: "" for row in TABLE}) == load({})


def test_all_faults_are_told_at_once_in_the_order_of_the_table() -> None:
    told = faults({"PORT": "x", "LOG_LEVEL": "x", "HOST": "x"})
    assert [fault.split()[0] for fault in told] == ["HOST", "PORT", "LOG_LEVEL"]


@pytest.mark.parametrize("name", ["REDIS_URL", "JWT_SECRET", "API_BASE_URL", "CORS_ORIGIN"])
def test_production_insists_on_what_it_needs(name: str) -> None:
    told = faults({key: value for key, value in PRODUCTION.items() if key != name})
    assert len(told) == 1
    assert told[0].startswith(f"{name} must be set when NODE_ENV is production")


def test_production_without_anything_names_all_four() -> None:
    assert len(faults({"NODE_ENV": "production"})) == 4


def test_production_refuses_memory() -> None:
    assert faults({**PRODUCTION, "REDIS_URL": "memory://"})[0].startswith("REDIS_URL must not be memory://")


@pytest.mark.parametrize(
    "secret",
    ["your-production-jwt-secret-here", "x" * 31, "ä" * 15, "CHANGE-ME-" * 5, "your-production-jwt-secret-here" * 2],
)
def test_production_refuses_a_short_or_published_secret_and_does_not_repeat_it(secret: str) -> None:
    told = faults({**PRODUCTION, "JWT_SECRET": secret})
    assert len(told) == 1
    assert told[0].startswith("JWT_SECRET ")
    assert secret not in told[0]


def test_development_warns_of_a_secret_that_production_would_refuse() -> None:
    assert load({"JWT_SECRET": "short"}).warnings[0].startswith("JWT_SECRET would be refused in production")


def test_memory_is_for_one_worker() -> None:
    assert faults({"WORKERS": "2"}) == (
        "WORKERS is 2 but REDIS_URL is memory://, which is for one worker: set REDIS_URL, or WORKERS to 1.",
    )
    assert load({"WORKERS": "2", "REDIS_URL": "redis://localhost"}).workers == 2


def test_auto_is_as_many_workers_as_may_be() -> None:
    assert load({"WORKERS": "auto"}).workers == 1
    assert 1 <= load({"WORKERS": "AUTO", "REDIS_URL": "redis://localhost"}).workers <= 64


def test_a_limit_of_more_than_one_request_a_microsecond_is_refused() -> None:
    assert "RATE_LIMIT_REQUESTS" in faults({"RATE_LIMIT_REQUESTS": "1000001", "RATE_LIMIT_WINDOW": "1"})[0]
    assert load({"RATE_LIMIT_REQUESTS": "1000000", "RATE_LIMIT_WINDOW": "1"}).rate_limit_window == 1


def test_tls_needs_both_files(tmp_path: Path) -> None:
    file = tmp_path / "tls.pem"
    file.touch()
    assert faults({"TLS_CERT_FILE": str(file)})[0].startswith("TLS_KEY_FILE must be set too")
    assert faults({"TLS_KEY_FILE": str(file)})[0].startswith("TLS_CERT_FILE must be set too")
    assert faults({"TLS_KEY_PASSWORD_FILE": str(file)})[0].startswith("TLS_KEY_FILE must be set too")
    config = load({"TLS_CERT_FILE": str(file), "TLS_KEY_FILE": str(file)})
    assert config.tls
    assert config.api_base_url == "https://localhost:3655"


def test_the_default_base_url_follows_the_port() -> None:
    assert load({"PORT": "8080"}).api_base_url == "http://localhost:8080"


def test_the_secrets_are_known_to_who_must_mask_them() -> None:
    environ = {**PRODUCTION, "REDIS_URL": "redis://app:p%40ss@redis"}
    assert set(load(environ).secrets()) == {KEY, "p@ss", "p%40ss"}
    assert load({}).secrets() == ()


WARNED = [
    ({"RATE_LIMIT_REQUEST": "5"}, "RATE_LIMIT_REQUEST is not read; is RATE_LIMIT_REQUESTS meant?"),
    ({"TRUSTED_PROXY": "x"}, "TRUSTED_PROXY is not read; is TRUSTED_PROXIES meant?"),
    ({"REDIS_TIMEOUT": "1"}, "REDIS_TIMEOUT is not read; is REDIS_TIMEOUT_MS meant?"),
    ({"CORS_ORIGINS": "x"}, "CORS_ORIGINS is not read; is CORS_ORIGIN meant?"),
    ({"LOGLEVEL": "x"}, "LOGLEVEL is not read; is LOG_LEVEL meant?"),
    ({"DTABASE_URL": "x"}, "DTABASE_URL is not read; is DATABASE_URL meant?"),
    ({"EDIS_URL": "x"}, "EDIS_URL is not read; is REDIS_URL meant?"),
    ({"redis_url": "x"}, "redis_url is not read; is REDIS_URL meant?"),
    ({"KEEPALIVE_TIMEOUT": "x"}, "KEEPALIVE_TIMEOUT is not read; is KEEP_ALIVE_TIMEOUT meant?"),
    ({"JWT_SECRETS": "x"}, "JWT_SECRETS is not read; is JWT_SECRET meant?"),
    ({"RATE_LIMIT_MAX": "x"}, "RATE_LIMIT_MAX is not read."),
    ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "TRUSTED_PROXIES has 0.0.0.0/0: every client can choose"),
    ({"TRUSTED_PROXIES": "::/0"}, "TRUSTED_PROXIES has ::/0: every client can choose"),
    (
        {"TRUSTED_PROXIES": "192.0.2.1,10.0.0.0/8"},
        "TRUSTED_PROXIES has 10.0.0.0/8: every client in there can choose",
    ),
    ({"TRUSTED_PROXIES": "172.16.0.0/12"}, "TRUSTED_PROXIES has 172.16.0.0/12: every client in there can choose"),
    ({"TRUSTED_PROXIES": "2001:db8::/32"}, "TRUSTED_PROXIES has 2001:db8::/32: every client in there can choose"),
    ({**PRODUCTION, "CORS_ORIGIN": "*"}, "CORS_ORIGIN is *: scripts of every web site"),
    ({**PRODUCTION, "API_BASE_URL": "http://a.example"}, "API_BASE_URL is http"),
    ({**PRODUCTION, "RATE_LIMIT_REQUESTS": "0"}, "RATE_LIMIT_REQUESTS is 0"),
    ({**PRODUCTION, "JWT_SECRET": "x" * 32}, "JWT_SECRET has fewer than 8 different characters"),
]


@pytest.mark.parametrize(("environ", "sentence"), WARNED)
def test_what_is_probably_not_meant_is_a_warning(environ: dict[str, str], sentence: str) -> None:
    warnings = load(environ).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith(sentence)


def test_the_variables_of_other_programs_give_no_warning() -> None:
    others = {
        "HOSTNAME": "a",
        "PATH": "/bin",
        "NODE_NAME": "a",
        "NODE_VERSION": "20",
        "REDIS_PORT": "tcp://10.0.0.1:6379",
        "REDIS_SERVICE_HOST": "10.0.0.1",
        "REDIS_PORT_6379_TCP_ADDR": "10.0.0.1",
        "IDENTITY_SERVICE_HOST": "10.0.0.2",
        "IDENTITY_SERVICE_SERVICE_PORT": "80",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "LOGNAME": "root",
        "DATABASE_HOST": "db",
        "HTTP_PROXY": "x",
        "https_proxy": "x",
        "NODE_OPTIONS": "x",
        "POSTGRES_URL": "x",
        "REDISCLI_AUTH": "x",
        "MEMORY_LIMIT": "x",
        "MAX_WORKERS": "4",
        "WORKDIR": "/",
    }
    assert load(others).warnings == ()


def test_the_rows_of_check_tell_where_a_value_comes_from() -> None:
    table = {name: (value, source) for name, value, source in rows(load({"PORT": "80", "HEADER_TIMEOUT": "0.5"}))}
    assert list(table) == [row.name for row in TABLE]
    assert table["PORT"] == ("80", "environment")
    assert table["HEADER_TIMEOUT"] == ("0.5", "environment")
    assert table["BODY_TIMEOUT"] == ("30", "default")
    assert table["TRUSTED_PROXIES"] == ("-", "default")
    assert {name: value for name, value, _ in rows(load(PRODUCTION))}["JWT_SECRET"] == "***"


def test_the_example_file_unchanged_is_refused_in_production_for_its_secret() -> None:
    environ = example()
    assert environ["NODE_ENV"] == "production"
    told = faults(environ)
    assert len(told) == 1
    assert told[0].startswith("JWT_SECRET is the example")


def test_the_example_file_with_a_real_secret_loads_without_a_warning() -> None:
    config = load({**example(), "JWT_SECRET": KEY})
    assert config.warnings == ()
    address = parse_url(config.redis_url.reveal())
    assert (address.host, address.port, address.database) == ("redis", 6379, 1)
    assert address.password.startswith(b"change-me"), "deploy/redis/run.sh refuses it"


QUOTED = {
    "NODE_ENV": "production",
    "PORT": "8080",
    "REDIS_URL": "redis://:hunter22@redis/1",
    "CORS_ORIGIN": "https://sports.yourbook.com",
    "API_BASE_URL": "https://identity.api.yourbook.com",
    "JWT_SECRET": "0123456789-abcdefghij-ABCDEFGHIJ-secret",
    "DRAIN_DELAY": "7",
}


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_around_any_value_are_understood_and_warned_of(quote: str) -> None:
    """As `docker run --env-file` hands them on, where a shell and Compose take them off."""
    quoted = load({name: f"{quote}{text}{quote}" for name, text in QUOTED.items()})
    bare = load(QUOTED)
    assert dataclasses.replace(quoted, warnings=()) == bare
    told = [warning for warning in quoted.warnings if "quotes" in warning]
    assert [warning.split()[0] for warning in told] == [row.name for row in TABLE if row.name in QUOTED]
    assert "hunter22" not in "".join(told)
    assert bare.warnings == ()


def test_an_empty_pair_of_quotes_is_an_absent_value() -> None:
    config = load({"PORT": '""'})
    assert config.port == 3655
    assert "PORT" not in config.given


@pytest.mark.parametrize("secret", ["'", '"', "'a\"", "a''", 'a"b"c', "\"'"])
def test_quotes_that_are_no_pair_are_a_part_of_the_value(secret: str) -> None:
    config = load({"JWT_SECRET": secret})
    assert config.jwt_secret is not None
    assert config.jwt_secret.reveal() == secret
    assert not [warning for warning in config.warnings if "quotes" in warning]


COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "traces"),
    [
        ({}, False),
        (COLLECTOR, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({**COLLECTOR, "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, False),
    ],
)
def test_there_are_spans_where_a_collector_is_named(environ: dict[str, str], traces: bool) -> None:
    assert load(environ).traces is traces


def test_a_collector_without_the_extra_is_a_fault_unless_it_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    (told,) = faults(COLLECTOR)
    assert told.startswith("OTEL_EXPORTER_OTLP_ENDPOINT needs the extra otel: ")
    assert not load({**COLLECTOR, "OTEL_SDK_DISABLED": "true"}).traces


@pytest.mark.parametrize(("protocol", "warned"), [("grpc", True), ("http/protobuf", False), ("", False)])
def test_another_protocol_of_the_collector_is_warned_of(protocol: str, warned: bool) -> None:
    config = load({**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert [each for each in config.warnings if "http/protobuf" in each] == list(config.warnings)
    assert bool(config.warnings) is warned
    assert load({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).warnings == ()


OF_THE_SDK = [
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
]


@pytest.mark.parametrize("name", OF_THE_SDK)
def test_the_other_variables_of_opentelemetry_are_not_misspelt(name: str) -> None:
    assert load({name: "1"}).warnings == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_TRACES_SAMPLR", "OTEL_TRACES_SAMPLER"),
        ("OTEL_SDK_DISABLE", "OTEL_SDK_DISABLED"),
        ("MANAGMENT_PORT", "MANAGEMENT_PORT"),
    ],
)
def test_a_name_that_is_nearly_one_is_found(name: str, meant: str) -> None:
    assert load({name: "1"}).warnings == (f"{name} is not read; is {meant} meant?",)


@pytest.mark.parametrize("environ", [{"PORT": "8080", "MANAGEMENT_PORT": "8080"}, {"MANAGEMENT_PORT": "3655"}])
def test_the_management_port_is_another_one(environ: dict[str, str]) -> None:
    (told,) = faults(environ)
    assert told == (
        f"MANAGEMENT_PORT is {environ['MANAGEMENT_PORT']}, which is PORT: choose another one, or leave it unset."
    )


def test_there_is_no_management_port_by_default() -> None:
    assert load({}).management_port is None
    assert load({"MANAGEMENT_PORT": "9090"}).management_port == 9090
