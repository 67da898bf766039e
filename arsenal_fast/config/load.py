"""Loads the configuration by the table of ``schema``, once at the start.

The attribute of a variable is its name in lower case. All faults are reported at once, one sentence each, none of
which repeats a secret. An empty value counts as absent; quotes around one are not a part of it. ``.env`` files
are not read here: Compose, Kubernetes or a shell set the environment.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from ipaddress import ip_network
from typing import Any, Final

from arsenal_fast import memory_budget
from arsenal_fast.config import parsers
from arsenal_fast.config.cgroup import machine_memory, memory_limit
from arsenal_fast.config.schema import MIN_SECRET, PRODUCTION, TABLE, Row, markdown_table
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.ledger.url import NONE as NO_LEDGER
from arsenal_fast.memory_budget import Shares
from arsenal_fast.secret import Secret, secrets_in
from arsenal_fast.tokens.keys import Keys

__all__ = ["Config", "Secret", "cpus_of_quota", "load", "markdown_table", "rows"]

PLACEHOLDERS: Final = ("your-production-jwt-secret-here", "change-me", "changeme", "change_me")
"""Parts of the example secrets; a secret that contains one was never set."""

NARROW: Final = {4: 16, 6: 48}
"""By IP version, the shortest plausible prefix of proxies: the pod network of a cluster, the network of a site."""


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration: an attribute for each row of ``TABLE``; durations are in seconds, except ``_ms``."""

    node_env: str
    host: str
    port: int
    workers: int
    redis_url: Secret
    redis_timeout_ms: int
    rate_limit_requests: int
    rate_limit_window: int
    rate_limit_on_redis_failure: str
    trusted_proxies: tuple[str, ...]
    cors_origin: tuple[str, ...]
    tls_cert_file: str
    tls_key_file: str
    tls_key_password_file: str
    api_base_url: str
    jwt_secret: Secret | None
    jwt_secret_previous: Secret | None
    jwt_private_key: Secret | None
    protected_prefixes: tuple[str, ...]
    database_url: Secret
    ledger_retention_days: int
    ledger_max_rows: int
    identity_domain: str
    memory_budget: int
    identity_cache_size: int
    max_connections: int
    header_timeout: float
    body_timeout: float
    keep_alive_timeout: float
    write_timeout: float
    drain_delay: float
    drain_seconds: float
    log_format: str
    log_level: str
    access_log: str
    metrics_access: str
    given: frozenset[str] = frozenset()
    """Names of the variables that the environment set."""
    warnings: tuple[str, ...] = ()
    """Sentences for the operator: allowed, but probably not meant."""

    @property
    def production(self) -> bool:
        return self.node_env == PRODUCTION

    @property
    def embedded(self) -> bool:
        """Whether the state is in the process, without Redis."""
        return self.redis_url.reveal() == parsers.MEMORY

    @property
    def tls(self) -> bool:
        return bool(self.tls_cert_file)

    @property
    def shares(self) -> Shares:
        """The memory shares of each worker."""
        return memory_budget.shares(
            self.memory_budget,
            self.workers,
            tls=self.tls,
            ledger=self.database_url.reveal() != NO_LEDGER,
            connections=self.max_connections,
        )

    def secrets(self) -> tuple[str, ...]:
        """The secret texts, for masking them in logs and output."""
        keys = (self.jwt_secret, self.jwt_secret_previous, self.jwt_private_key)
        secrets = [key.reveal() for key in keys if key is not None]
        for url in (self.redis_url, self.database_url):
            secrets += secrets_in(url.reveal())
        return tuple(dict.fromkeys(secrets))


_EMPTY: Final[Mapping[str, object]] = {
    "TRUSTED_PROXIES": (),
    "TLS_CERT_FILE": "",
    "TLS_KEY_FILE": "",
    "TLS_KEY_PASSWORD_FILE": "",
    "JWT_SECRET": None,
    "JWT_SECRET_PREVIOUS": None,
    "JWT_PRIVATE_KEY": None,
    "PROTECTED_PREFIXES": (),
}
"""Values of variables that are absent and have no default."""


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
            values[row.name] = _EMPTY[row.name]
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
    doubtful = _divide_memory(values, memory_limit())
    given = frozenset(name for name, text in texts.items() if text)
    return Config(
        **{name.lower(): value for name, value in values.items()},
        given=given,
        warnings=(*_misspelt(environ), *_quoted(environ, texts), *_doubtful(values, production), *doubtful),
    )


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


def _divide_memory(values: dict[str, Any], limit: int | None) -> tuple[str, ...]:
    """Fill in the values derived from the available memory; returns doubtful ones as sentences."""
    workers, tls = values["WORKERS"], bool(values["TLS_CERT_FILE"])
    budget = values["MEMORY_BUDGET"] or _budget(limit, workers)
    values["MEMORY_BUDGET"] = budget
    connections = values["MAX_CONNECTIONS"] or None
    if connections is None:
        ledger = values["DATABASE_URL"].reveal() != NO_LEDGER
        values["MAX_CONNECTIONS"] = memory_budget.shares(budget, workers, tls=tls, ledger=ledger).connections
    return tuple(memory_budget.faults(budget, limit, workers, tls=tls, connections=connections))


def _budget(limit: int | None, workers: int) -> int:
    if limit is None:
        return memory_budget.of_machine(machine_memory(), workers)
    return memory_budget.of_container(limit)


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
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota = cpus_of_quota(file.read())
    except (OSError, ValueError):
        quota = None
    return max(1, min(available, quota or available, 64))


def cpus_of_quota(text: str) -> int | None:
    """Return the whole CPUs, rounded up, of a cgroup's ``cpu.max`` ("$MAX $PERIOD"); None where it has no bound."""
    quota, _, period = text.strip().partition(" ")
    return None if quota == "max" else -(-int(quota) // int(period))


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
        return "is the example of the documentation, which everybody knows"
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


_CHECKS: Final = (_check_state, _check_quota, _check_tls, _check_secret, _check_keys)


def _doubtful(values: Mapping[str, Any], production: bool) -> Iterator[str]:
    for entry in values["TRUSTED_PROXIES"]:
        network = ip_network(entry)
        if network.prefixlen == 0:
            yield f"TRUSTED_PROXIES has {entry}: every client can choose the address it is charged to."
        elif network.prefixlen < NARROW[network.version] and not network.is_loopback:
            yield f"TRUSTED_PROXIES has {entry}: every client in there can choose the address it is charged to."
    secret = values["JWT_SECRET"]
    if secret is not None and not production and _weakness(secret):
        yield f"JWT_SECRET would be refused in production: it is an example or has under {MIN_SECRET} bytes."
    if not production:
        return
    if values["CORS_ORIGIN"] == ("*",):
        yield "CORS_ORIGIN is *: scripts of every web site may read the answers."
    if values["API_BASE_URL"].startswith("http:"):
        yield "API_BASE_URL is http: production is meant to be reached by https."
    if values["RATE_LIMIT_REQUESTS"] == 0:
        yield "RATE_LIMIT_REQUESTS is 0: no client is limited."
    if secret is not None and len(set(secret.reveal())) < 8:
        yield "JWT_SECRET has fewer than 8 different characters: can it be guessed?"


_OURS: Final = ("RATE_LIMIT_", "TRUSTED_PROX")
"""Prefixes of names that are meant for us, even if unlike any of ours."""


def _misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    known = {row.name for row in TABLE}
    for name in sorted(environ):
        if name in known or len(name) < 6:
            continue
        # Kubernetes sets several variables for each service, so the cheap checks come first.
        near = [row.name for row in TABLE if row.name[:2] == name[:2] and abs(len(row.name) - len(name)) <= 4]
        ratios = {other: SequenceMatcher(None, name, other).ratio() for other in near}
        best = max(ratios, key=lambda other: ratios[other], default="")
        if best and ratios[best] >= 0.85:
            yield f"{name[:64]} is not read; is {best} meant?"
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
