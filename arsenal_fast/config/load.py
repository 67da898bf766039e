"""Loads the configuration by the table of ``schema``, once at the start.

The attribute of a variable is its name in lower case. All faults are reported at once, one sentence each, none of
which repeats a secret. An empty value counts as absent; quotes around one are not a part of it. ``.env`` files
are not read here: Compose, Kubernetes or a shell set the environment.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from importlib.util import find_spec
from ipaddress import ip_network
from typing import Any, Final

from arsenal_fast import memory_budget
from arsenal_fast.config import parsers
from arsenal_fast.config.cgroup import cpu_limit, machine_memory, memory_limit
from arsenal_fast.config.schema import MIN_SECRET, PRODUCTION, TABLE, Config, Row
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.secret import Secret
from arsenal_fast.tokens.keys import Keys

__all__ = ["PLACEHOLDERS", "Config", "load", "memory_faults", "rows"]

PLACEHOLDERS: Final = ("your-production-jwt-secret-here", "change-me", "changeme", "change_me")
"""Parts of the example secrets; a secret that contains one was never set."""

NARROW: Final = {4: 16, 6: 48}
"""By IP version, the shortest plausible prefix of proxies: the pod network of a cluster, the network of a site."""


def load(environ: Mapping[str, str]) -> Config:
    """Load the configuration of an environment; raises ConfigurationError with a sentence for each fault."""
    texts = {row.name: _unquoted(environ.get(row.name, "")) for row in TABLE}
    production = texts["NODE_ENV"].lower() == PRODUCTION
    values: dict[str, Any] = {}
    faults: list[str] = []
    for row in TABLE:
        text = texts[row.name]
        if not text and row.required and production:
            faults.append(f"{row.name} must be set when NODE_ENV is production: {row.allowed}.")
            continue
        if not text and not (text := _default(row, production, values)):
            values[row.name] = row.empty
            continue
        try:
            values[row.name] = row.read(text)
        except ValueError as fault:
            faults.append(f"{row.name} {fault}.")
    if "REDIS_URL" in values and values.get("WORKERS") == parsers.AUTO:
        values["WORKERS"] = 1 if _embedded(values) else _cpus()
    for fault_of in _CHECKS:
        faults.extend(fault_of(values, production))
    if faults:
        raise ConfigurationError(faults)
    given = frozenset(name for name, text in texts.items() if text)
    config = Config(**{name.lower(): value for name, value in values.items()}, given=given)
    config, memory = _with_memory(config, memory_limit())
    doubtful = (*_misspelt(environ), *_quoted(environ, texts), *_doubtful(config), *_doubtful_traces(environ, config))
    return replace(config, warnings=(*doubtful, *memory))


def _unquoted(text: str) -> str:
    """Return the text without a pair of quotes around it.

    A shell, Compose and systemd remove them; ``docker run --env-file`` and Kubernetes' ``--from-env-file`` keep them.
    A secret must be the same text with all of them.
    """
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"" else text


def _quoted(environ: Mapping[str, str], texts: Mapping[str, str]) -> Iterator[str]:
    for name, text in texts.items():
        if text != environ.get(name, ""):
            yield f"{name} has quotes around its value, which are not taken for a part of it: leave them out."


def _with_memory(config: Config, limit: int | None) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration with the values derived from the available memory, and doubtful ones as sentences."""
    budget = config.memory_budget
    if budget == parsers.AUTO:
        automatic = memory_budget.of_machine(machine_memory(), config.workers)
        budget = automatic if limit is None else memory_budget.of_container(limit)
    config = replace(config, memory_budget=budget)
    connections = config.max_connections or None
    faults = memory_budget.faults(budget, limit, config.workers, tls=config.tls, connections=connections)
    return replace(config, max_connections=config.shares.connections), tuple(faults)


def memory_faults(config: Config) -> tuple[str, ...]:
    """Return the warnings about memory; ``warnings`` has these sentences too."""
    return tuple(each for each in config.warnings if each.startswith(("MEMORY_BUDGET", "MAX_CONNECTIONS")))


def _default(row: Row, production: bool, values: Mapping[str, Any]) -> str:
    text = row.default if row.in_production is None or not production else row.in_production
    if row.name == "API_BASE_URL":
        text = text.replace("PORT", str(values.get("PORT", 3655)))
        if values.get("TLS_CERT_FILE"):
            text = text.replace("http:", "https:")
    return text


def _cpus() -> int:
    """Return the number of CPUs for this process, by affinity and by the container's quota; at most 64."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, cpu_limit() or available, 64))


# Checks across variables. A check whose variables are invalid already yields nothing.


def _embedded(values: Mapping[str, Any]) -> bool:
    return "REDIS_URL" in values and values["REDIS_URL"].reveal() == parsers.MEMORY


def _check_state(values: Mapping[str, Any], production: bool) -> Iterator[str]:
    if not _embedded(values):
        return
    if production:
        yield "REDIS_URL must not be memory:// when NODE_ENV is production: redis://, rediss://, unix://."
    elif values.get("WORKERS", 1) > 1:
        yield (
            f"WORKERS is {values['WORKERS']} but REDIS_URL is memory://, which is for one worker: "
            "set REDIS_URL, or WORKERS to 1."
        )


def _check_ports(values: Mapping[str, Any], _production: bool) -> Iterator[str]:
    port = values.get("MANAGEMENT_PORT")
    if port is not None and port == values.get("PORT"):
        yield f"MANAGEMENT_PORT is {port}, which is PORT: choose another one, or leave it unset."


def _check_quota(values: Mapping[str, Any], _production: bool) -> Iterator[str]:
    requests, window = values.get("RATE_LIMIT_REQUESTS", 0), values.get("RATE_LIMIT_WINDOW")
    if requests and window and window * 1_000_000 // requests < 1:
        yield (
            f"RATE_LIMIT_REQUESTS is {requests} in a RATE_LIMIT_WINDOW of {window} s: more than one request "
            f"a microsecond can't be counted; at most {window * 1_000_000}."
        )


def _check_tls(values: Mapping[str, Any], _production: bool) -> Iterator[str]:
    certificate, key = values.get("TLS_CERT_FILE"), values.get("TLS_KEY_FILE")
    if certificate is not None and key is not None and bool(certificate) != bool(key):
        absent = "TLS_KEY_FILE" if certificate else "TLS_CERT_FILE"
        yield f"{absent} must be set too: TLS needs TLS_CERT_FILE and TLS_KEY_FILE, or neither."
    if values.get("TLS_KEY_PASSWORD_FILE") and key == "":
        yield "TLS_KEY_FILE must be set too: TLS_KEY_PASSWORD_FILE is for it alone."


def _check_secret(values: Mapping[str, Any], production: bool) -> Iterator[str]:
    for name in ("JWT_SECRET", "JWT_SECRET_PREVIOUS"):
        secret = values.get(name)
        if production and secret is not None and (fault := _weakness(secret)):
            yield f"{name} {fault}; take the output of `openssl rand -base64 48`."


def _weakness(secret: Secret) -> str | None:
    text = secret.reveal()
    if any(placeholder in text.lower() for placeholder in PLACEHOLDERS):
        return "is the example of the documentation, which is public"
    if (size := len(text.encode())) < MIN_SECRET:
        return f"must have at least {MIN_SECRET} bytes when NODE_ENV is production, not {size}"
    return None


def _check_keys(values: Mapping[str, Any], production: bool) -> Iterator[str]:
    key = values.get("JWT_PRIVATE_KEY")
    if key is not None:
        try:
            Keys(Secret("-"), issuer="-", private_key_pem=key)
        except ConfigurationError as error:
            yield from error.faults


def _check_traces(values: Mapping[str, Any], production: bool) -> Iterator[str]:
    if values.get("OTEL_SDK_DISABLED") == "true":
        return
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        if values.get(name) and not _has_otel():
            yield f"{name} needs the extra otel: pipx install '.[otel]' in the service's directory, or leave it unset."


def _has_otel() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # of a package above it
        return False


_CHECKS: Final = (
    *(_check_ports, _check_state, _check_quota, _check_tls),
    *(_check_secret, _check_keys, _check_traces),
)


def _doubtful(config: Config) -> Iterator[str]:
    for entry in config.trusted_proxies:
        network = ip_network(entry)
        if network.prefixlen == 0:
            yield f"TRUSTED_PROXIES has {entry}: every client can choose the address it is charged to."
        elif network.prefixlen < NARROW[network.version] and not network.is_loopback:
            yield f"TRUSTED_PROXIES has {entry}: every client in there can choose the address it is charged to."
    rules = config.oidc_issuers
    protected = {prefix.lower() for prefix in config.protected_prefixes}
    for prefix in sorted(rules.prefixes - protected if rules is not None else ()):
        yield f"OIDC_ISSUERS has the prefix {prefix}, which PROTECTED_PREFIXES has not: it is issued to everybody."
    limits = config.limits_file
    if limits is not None and "RATE_LIMIT_REQUESTS" in config.given:
        yield "RATE_LIMIT_REQUESTS is not read: LIMITS_FILE has the policies."
    for network in map(ip_network, limits.exempt if limits is not None else ()):
        if network.prefixlen == 0:
            yield f"LIMITS_FILE has {network} in exempt: no address is limited."
    secret = config.jwt_secret
    if secret is not None and not config.production and _weakness(secret):
        yield f"JWT_SECRET would be refused in production: it is an example or has under {MIN_SECRET} bytes."
    easily_guessed = secret is not None and len(set(secret.reveal())) < 8
    for found, sentence in (
        (config.cors_origin == ("*",), "CORS_ORIGIN is *: scripts of every web site may read the answers."),
        (config.api_base_url.startswith("http:"), "API_BASE_URL is http: production is meant to be reached by https."),
        (not config.rate_limit_requests and not limits, "RATE_LIMIT_REQUESTS is 0: no client is limited."),
        (easily_guessed, "JWT_SECRET has fewer than 8 different characters: can it be guessed?"),
    ):
        if config.production and found:
            yield sentence


def _doubtful_traces(environ: Mapping[str, str], config: Config) -> Iterator[str]:
    for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        if config.traces and environ.get(name, "") not in ("", "http/protobuf"):
            yield f"{name} is {environ[name][:64]!r}, but spans are sent as http/protobuf: has the URL its port?"


_OURS: Final = ("RATE_LIMIT_", "TRUSTED_PROX")
"""Prefixes of names that are meant for us, even if unlike any of ours."""
_OF_SDK: Final = re.compile(
    r"OTEL_(?!EXPORTER)(?!TRACES_S)(?!SDK_D).*|OTEL_EXPORTER_OTLP_(?:(?:TRACES|METRICS|LOGS)_)?(?:"
    r"CERTIFICATE|CLIENT_CERTIFICATE|CLIENT_KEY|COMPRESSION|HEADERS|INSECURE|PROTOCOL|TIMEOUT)"
    r"|OTEL_EXPORTER_OTLP_(?:METRICS|LOGS)_ENDPOINT"
)
"""Names that the OpenTelemetry SDK or other programs read."""
_SIMILARITY: Final = 0.85
"""The least share of matching characters in a misspelt name."""
_SHORTEST: Final = 6  # characters: shorter names of other programs are too like PORT and HOST
_LONGEST: Final = 40  # characters that are compared


def _misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    known = [row.name for row in TABLE]
    for name in sorted(environ.keys() - known):
        if len(name) < _SHORTEST or _OF_SDK.fullmatch(name):
            continue
        if near := get_close_matches(name.upper()[:_LONGEST], known, n=1, cutoff=_SIMILARITY):
            yield f"{name[:64]} is not read; is {near[0]} meant?"
        elif name.startswith(_OURS):
            yield f"{name[:64]} is not read."


def rows(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield name, effective value and its source for each variable; secrets are masked."""
    for row in TABLE:
        yield (
            row.name,
            _rendered(row.name, getattr(config, row.name.lower())),
            "environment" if row.name in config.given else "default",
        )


def _rendered(name: str, value: Any) -> str:
    if value is None or value in ("", ()):
        return "-"
    if isinstance(value, tuple):
        return ",".join(value)
    if name == "MEMORY_BUDGET":
        return memory_budget.megabytes(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
