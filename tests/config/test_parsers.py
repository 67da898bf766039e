"""Parsers of variables: values, and messages that repeat no secret."""

import pytest

from arsenal_fast.config import load as configuration
from arsenal_fast.config import parsers
from arsenal_fast.config.load import load, rows
from arsenal_fast.config.schema import TABLE
from tests.support.configuration import PRODUCTION, faults

ACCEPTED = [
    ("NODE_ENV", "Production", "production"),
    ("HOST", "::", "::"),
    ("HOST", "0:0:0:0:0:0:0:1", "::1"),
    ("HOST", "localhost", "localhost"),
    ("PORT", "1", 1),
    ("PORT", "65535", 65535),
    ("WORKERS", "64", 64),
    ("REDIS_TIMEOUT_MS", "10", 10),
    ("RATE_LIMIT_REQUESTS", "0", 0),
    ("RATE_LIMIT_WINDOW", "1", 1),
    ("RATE_LIMIT_ON_REDIS_FAILURE", "closed", "closed"),
    ("TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,127.0.0.1", ("10.0.0.0/8", "2001:db8::/32", "127.0.0.1")),
    ("CORS_ORIGIN", "*", ("*",)),
    ("CORS_ORIGIN", "HTTPS://A.Example:443, http://b.example:8080", ("https://a.example", "http://b.example:8080")),
    ("CORS_ORIGIN", "http://[::1]:3000", ("http://[::1]:3000",)),
    ("CORS_ORIGIN", "HTTPS://*.YourBook.com:443", ("https://*.yourbook.com",)),
    ("CORS_ORIGIN", "capacitor://localhost,http://localhost", ("capacitor://localhost", "http://localhost")),
    ("CORS_ORIGIN", "https://a.example,https://a.example", ("https://a.example",)),
    ("API_BASE_URL", "https://Identity.example/base/", "https://identity.example/base"),
    ("API_BASE_URL", "http://10.0.0.1:8080", "http://10.0.0.1:8080"),
    ("API_BASE_URL", "http://identity_service:80", "http://identity_service"),
    ("IDENTITY_DOMAIN", "Mail.Example", "mail.example"),
    ("HEADER_TIMEOUT", "0.5", 0.5),
    ("DRAIN_DELAY", "0", 0.0),
    ("MEMORY_BUDGET", "200M", 200 << 20),
    ("MEMORY_BUDGET", "512MiB", 512 << 20),
    ("MEMORY_BUDGET", "1gb", 1 << 30),
    ("MEMORY_BUDGET", "4096Ki", 4 << 20),
    ("MEMORY_BUDGET", "209715200", 200 << 20),
    ("MEMORY_BUDGET", "Auto", 0),
    ("MAX_CONNECTIONS", "auto", 0),
    ("LOG_LEVEL", "DEBUG", "debug"),
    ("ACCESS_LOG", "all", "all"),
    ("METRICS_ACCESS", "token", "token"),
    ("MANAGEMENT_PORT", "9090", 9090),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/", "http://collector:4318"),
    ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", "parentbased_traceidratio"),
    ("OTEL_TRACES_SAMPLER_ARG", "0.05", 0.05),
    ("OTEL_SDK_DISABLED", "TRUE", "true"),
]


@pytest.mark.parametrize(("name", "text", "value"), ACCEPTED)
def test_a_good_value_is_read(name: str, text: str, value: object) -> None:
    row = next(row for row in TABLE if row.name == name)
    assert row.read(text) == value


REFUSED = {
    "JWT_SECRET_PREVIOUS": ["a\nb", "\x7f"],
    "JWT_PRIVATE_KEY": ["", "secret", "/nowhere/key.pem", "file:/nowhere", "/dev/null", "-----BEGIN NOTHING-----"][1:],
    "PROTECTED_PREFIXES": ["player-1", ",", "player,,prod", "a b", "é"],
    "DATABASE_URL": [
        "identity.db",
        "sqlite:",
        "sqlite://data/x.db",
        "sqlite:///",
        "mysql://h/d",
        "postgresql://",
        "NONE",
    ],
    "LEDGER_RETENTION_DAYS": ["-1", "36501", "1.5", "ten"],
    "LEDGER_MAX_ROWS": ["-1", "1000000000001", "1e6", "1_000", "10GB"],
    "NODE_ENV": ["prod", "production ", "pröduction"],
    "HOST": ["example.org", "x86_64-conda-linux-gnu", "0.0.0.0:80", "fe80::1%eth0", "*", "0x7f.1", "127.1"],
    "PORT": ["0", "65536", "-1", "+1", " 1", "1 ", "1_0", "0x50", "1e3", "3655.0", "٣٦٥٥", "²", "tcp://1.2.3.4:1"],
    "WORKERS": ["0", "65", "-1", "1.5", "two", "automatic"],
    "REDIS_URL": [
        "localhost:6379",
        "http://redis",
        "redis:",
        "redis://",
        "redis://redis:0",
        "redis://redis:70000",
        "redis://redis/one",
        "redis://redis/0\n",
        "redis://redis/-1",
        "unix://",
        "memory",
        "memory://x",
        "REDIS://redis",
    ],
    "REDIS_TIMEOUT_MS": ["9", "10001", "250ms", "0.25"],
    "RATE_LIMIT_REQUESTS": ["-1", "1e3", "100    # Requests per hour per IP", "9" * 30],
    "RATE_LIMIT_WINDOW": ["0", "1h", "31536001"],
    "RATE_LIMIT_ON_REDIS_FAILURE": ["allow"],
    "TRUSTED_PROXIES": [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "proxy",
        "10.0.0.0/8,",
        "10.0.0.0/255.0.0.0",
        "::1%lo",
        "10.0.0.٣",
    ],
    "CORS_ORIGIN": [
        "sports.yourbook.com",
        "https://sports.yourbook.com/",
        "https://a.example/path",
        "https://*.example",
        "https://*.*.example.com",
        "https://a*.example.com",
        "*.example.com",
        "https://*..example.com",
        "capacitor://localhost/path",
        "file://localhost",
        "capacitor:localhost",
        "https://a.example,*",
        "https://a.example,",
        "https://a..example",
        "https://a.example:0",
        "https://a.example:65536",
        "https://999.1.1.1",
        "https://[::1",
        "https://[:::]",
        "null",
        "ftp://a.example",
        "https://a.example\r\nX-Evil: 1",
        "https://ä.example",
    ],
    "API_BASE_URL": [
        "identity.example",
        "https://",
        "https://a.example?x",
        "https://a.example#x",
        'https://a.example/"',
        "https://a.example/\n",
        "https://a.example//x",
        "ftp://a.example",
        "https://a.example:port",
    ],
    "OIDC_ISSUERS": ["{", "[]", "{}", "/nowhere/rules.toml", "/", "https://a.example", '{"issuer": []}'],
    "IGNORED_PARAMETERS": ["*_x", "utm_**", "a b", "utm_*,", "a=b", "x" * 65, "ä"],
    "JWT_SECRET": ["key\n", "k\0ey", "key\x7f", "\udc80"],
    "IDENTITY_DOMAIN": ["-a.example", "a b", "a_b.example", "a..example", "ä.example", "a.example\n", "x" * 64],
    "MEMORY_BUDGET": ["0", "200", "512k", "0x10M", "1.5G", "200 M", "-1G", "99999T", "M", "half"],
    "IDENTITY_CACHE_SIZE": ["0", "64k"],
    "MAX_CONNECTIONS": ["0", "1000001"],
    "HEADER_TIMEOUT": ["0", "-1", "10s", ".5", "1.", "1e1", "inf", "nan", "3601"],
    "BODY_TIMEOUT": ["0"],
    "KEEP_ALIVE_TIMEOUT": ["0", "86401"],
    "WRITE_TIMEOUT": ["0"],
    "DRAIN_DELAY": ["301"],
    "DRAIN_SECONDS": ["301", "-0"],
    "TLS_CERT_FILE": ["/nowhere/tls.crt", "/", "/dev/null", "\0"],
    "TLS_KEY_FILE": ["/nowhere/tls.key", "-----BEGIN PRIVATE KEY-----\nMIIE"],
    "TLS_KEY_PASSWORD_FILE": ["/nowhere/password", "/", "hunter22"],
    "LOG_FORMAT": ["json"],
    "LOG_LEVEL": ["verbose", "20"],
    "ACCESS_LOG": ["on", "true"],
    "METRICS_ACCESS": ["closed", "tokens"],
    "MANAGEMENT_PORT": ["0", "65536", "none"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": ["collector:4318", "grpc://collector", "http://user:secret@collector"],
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ["/v1/traces"],
    "OTEL_TRACES_SAMPLER": ["on", "jaeger_remote"],
    "OTEL_TRACES_SAMPLER_ARG": ["1.1", "5%", "-0"],
    "OTEL_SDK_DISABLED": ["1", "yes"],
    "LIMITS_FILE": ["/nowhere/limits.toml", "/", "\0", "/dev/null", "pyproject.toml", "file:/nowhere"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in REFUSED for text in REFUSED[name]])
def test_a_bad_value_is_one_sentence_that_begins_with_its_variable(name: str, text: str) -> None:
    told = [fault for fault in faults({name: text}) if fault.startswith(f"{name} ")]
    assert len(told) == 1
    assert told[0].endswith(".")
    assert told[0].isascii()
    assert told[0].isprintable()
    assert len(told[0]) < 300


def test_every_variable_has_something_that_it_refuses() -> None:
    assert set(REFUSED) == {row.name for row in TABLE}


def test_a_sentence_names_the_bad_text_and_the_range() -> None:
    assert faults({"PORT": "70000"}) == ("PORT must be a whole number from 1 to 65535, not '70000'.",)


def test_the_length_of_a_secret_counts_in_octets() -> None:
    assert load({**PRODUCTION, "JWT_SECRET": "äöüßéèêç" * 2}).jwt_secret is not None


SECRET_URLS = [
    ("redis://:hunter22@redis:6379/1", "redis://***@redis:6379/1"),
    ("rediss://app:hunter22@[::1]/3", "rediss://***@[::1]:6379/3"),
    ("unix://:hunter22@/run/redis.sock?db=2", "unix:///run/redis.sock?db=2".replace("///", "//***@/")),
    ("redis://redis", "redis://redis:6379/0"),
    ("memory://", "memory://"),
]


@pytest.mark.parametrize(("url", "shown"), SECRET_URLS)
def test_a_redis_url_is_used_whole_and_shown_without_its_password(url: str, shown: str) -> None:
    config = load({"REDIS_URL": url})
    assert config.redis_url.reveal() == url
    assert {name: value for name, value, _ in rows(config)}["REDIS_URL"] == shown
    assert "hunter22" not in repr(config)


def test_no_refusal_repeats_a_password() -> None:
    for url in (
        "redis://:hunter22@",
        "redis://u:hunter22@a:b",
        "redis//hunter22@x",
        "redis://:hunter22/@x",
        "hunter22",
    ):
        assert "hunter22" not in " ".join(faults({"REDIS_URL": url}))
    assert "hunter22" not in " ".join(faults({"API_BASE_URL": "https://u:hunter22@example"}))
    assert "hunter22" not in " ".join(faults({"TLS_KEY_FILE": "-----BEGIN PRIVATE KEY-----\nhunter22"}))
    assert "hunter22" not in " ".join(faults({"TLS_KEY_PASSWORD_FILE": "hunter22"}))


def test_a_bad_text_is_cut_before_it_is_repeated() -> None:
    assert len(parsers.shown("x" * 10_000)) < 50
    assert configuration.load({}).given == frozenset()


@pytest.mark.parametrize("seconds", ["620", "3650", "86400"])  # longer than Google's 600 s, Envoy's 3,600 s, all others
def test_idle_connections_can_be_kept_longer_than_a_balancer_keeps_them(seconds: str) -> None:
    assert configuration.load({"KEEP_ALIVE_TIMEOUT": seconds}).keep_alive_timeout == float(seconds)


@pytest.mark.parametrize("name", ["JWT_PRIVATE_KEY", "OIDC_ISSUERS", "TLS_CERT_FILE"])
def test_a_file_that_cannot_be_read_is_named(name: str) -> None:
    (told,) = (fault for fault in faults({name: "/nowhere/key.pem"}) if fault.startswith(f"{name} "))
    assert "'/nowhere/key.pem': No such file or directory" in told


def test_what_may_be_a_key_in_place_of_its_path_is_not_shown() -> None:
    (told,) = faults({"JWT_PRIVATE_KEY": "/kAbcdEFGH+ijkl0123456789abcdefgh/ab="})
    assert "kAbcd" not in told
