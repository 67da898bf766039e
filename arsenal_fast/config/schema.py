"""The table of the variables: name, parser, default, range and description.

Each is an attribute of ``Config``, which is its name in lower case. ``config.load``, the README's table
(``markdown_table``), ``.env.production.example`` (a test holds it) and ``arsenal-fast check`` are renderings of these
rows and so can't disagree. The order is that of reading: the default of API_BASE_URL depends on rows above it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from arsenal_fast import memory_budget
from arsenal_fast.config import parsers
from arsenal_fast.config.parsers import Reader
from arsenal_fast.ledger.url import NONE as NO_LEDGER
from arsenal_fast.memory_budget import Shares
from arsenal_fast.oidc.rules import Rules
from arsenal_fast.ratelimit.policies import Policies
from arsenal_fast.secret import Secret, secrets_in

PRODUCTION: Final = "production"

MIN_SECRET: Final = 32
"""Bytes of JWT_SECRET: a key as long as HS256's hash (RFC 7518 section 3.2)."""

SAMPLERS: Final = tuple(
    parent + sampler for parent in ("parentbased_", "") for sampler in ("always_on", "always_off", "traceidratio")
)
"""Values of OTEL_TRACES_SAMPLER."""

_SECONDS: Final = parsers.seconds(0.1, 3600)


class Row(NamedTuple):
    """One variable. ``default``: as an operator would write it; "" for none."""

    name: str
    read: Callable[[str], object]
    default: str
    doc: str
    allowed: str
    in_production: str | None = None
    """The default in production, where it differs."""
    required: bool = False
    """Must be set in production."""
    empty: object = None
    """The value where it is absent and has no default."""


def variable(
    read: Callable[[str], object], default: str, doc: str, allowed: str | None = None, **options: object
) -> Any:
    """Return the attribute of one variable, which holds its row.

    ``allowed``: None for that of the parser; ``options``: the further members of ``Row``.
    """
    allowed = read.allowed if isinstance(read, Reader) else allowed
    return field(metadata={"read": read, "default": default, "doc": doc, "allowed": allowed, **options})


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration: durations are in seconds, except ``_ms``."""

    node_env: str = variable(
        parsers.one_of("development", PRODUCTION, "test"),
        "development",
        "What the process is for; `production` insists on the variables marked *required*.",
    )
    host: str = variable(
        parsers.listen_address,
        "::",
        "Address to listen on; `::` takes IPv4 and, where the machine has it, IPv6.",
        "an IP address, localhost",
    )
    port: int = variable(parsers.whole(1, 65535), "3655", "TCP port to listen on.")
    management_port: int | None = variable(
        parsers.whole(1, 65535),
        "",
        "TCP port for metrics, telemetry, dashboard and probes apart from the API, which then has the probes alone.",
    )
    workers: int = variable(
        parsers.auto_or(parsers.whole(1, 64)),
        "1",
        "Processes that share the port; `auto` is one for each CPU of the process, or 1 with `memory://`.",
    )
    redis_url: Secret = variable(
        parsers.redis_url,
        "memory://",
        "Where limits and identities are shared; `memory://` keeps them in the process, for one worker.",
        "redis://, redis+sentinel://, redis+cluster:// (over TLS rediss…), unix://, memory://",
        required=True,
    )
    redis_timeout_ms: int = variable(
        parsers.whole(10, 10_000),
        "250",
        "Milliseconds after which Redis counts as away and the worker goes on by itself.",
    )
    rate_limit_requests: int = variable(
        parsers.whole(0, 1_000_000_000), "100", "Requests that a client may make in a window; 0 turns the limit off."
    )
    rate_limit_window: int = variable(parsers.whole(1, 31_536_000), "3600", "The window in seconds.")
    limits_file: Policies | None = variable(
        parsers.limits_file,
        "",
        "Policies of limits in a file, in place of the two variables above: several at once, for routes and prefixes; "
        "read again when it changes and on SIGHUP.",
        "the path of a TOML file",
    )
    rate_limit_on_redis_failure: str = variable(
        parsers.one_of("local", "open", "closed"),
        "local",
        "While Redis is away: each worker limits by itself, lets all pass, or lets none pass.",
    )
    trusted_proxies: tuple[str, ...] = variable(
        parsers.trusted_proxies,
        "",
        "Proxies whose `X-Forwarded-For` is believed.",
        "IP addresses and CIDRs, between commas",
        empty=(),
    )
    cors_origin: tuple[str, ...] = variable(
        parsers.origins,
        "*",
        "Web origins whose scripts may read the answers; `*` is all, which production takes only where set.",
        "origins between commas (`https://*.domain.tld` for its subdomains), or *",
        required=True,
    )
    tls_cert_file: str = variable(
        parsers.readable_file,
        "",
        "PEM certificate chain, to speak TLS without a proxy; read again on SIGHUP.",
        "a readable file",
        empty="",
    )
    tls_key_file: str = variable(parsers.readable_file, "", "Its PEM private key.", "a readable file", empty="")
    tls_key_password_file: str = variable(
        parsers.password_file,
        "",
        "The password of an encrypted private key; only the service's user should be able to read it (mode 0600).",
        "a readable file",
        empty="",
    )
    api_base_url: str = variable(
        parsers.base_url,
        "http://localhost:PORT",
        "Where clients find the service: the issuer of tokens and the server of the OpenAPI document.",
        "an http or https URL",
        required=True,
    )
    jwt_secret: Secret | None = variable(
        parsers.jwt_secret,
        "",
        "Key that signs the tokens, from `openssl rand -base64 48`.",
        f"at least {MIN_SECRET} bytes in production",
        required=True,
    )
    jwt_secret_previous: Secret | None = variable(
        parsers.jwt_secret,
        "",
        "A second key that verifies and does not sign, while secrets are rotated.",
        "as JWT_SECRET",
    )
    jwt_private_key: Secret | None = variable(
        parsers.private_key,
        "",
        "Ed25519 key that signs identity tokens in place of the secret; further PEM blocks verify only.",
        "a PEM text, or its path after / or file:",
    )
    protected_prefixes: tuple[str, ...] = variable(
        parsers.protected_prefixes,
        "",
        "Prefixes issued only to service tokens of scope `issue`, in any case.",
        "prefixes between commas",
        empty=(),
    )
    oidc_issuers: Rules | None = variable(
        parsers.oidc_rules,
        "",
        "Issuers of ID tokens (GitHub Actions and others) and the rules by which `POST /api/v1/token` exchanges them; "
        "a file is read again when it changes and on SIGHUP.",
        "the path of a TOML or JSON file after / or file:, or JSON",
    )
    ignored_parameters: tuple[str, ...] = variable(
        parsers.parameter_names,
        "utm_*,gclid,gclsrc,gbraid,wbraid,dclid,gad_*,fbclid,msclkid,ttclid,twclid,yclid,igshid,mc_cid,mc_eid,_ga,_gl,_",
        "Query parameters of trackers and caches that pass unread; another unknown one is refused.",
        "names between commas, an `*` at the end for all that begin so, or none",
    )
    database_url: Secret = variable(
        parsers.database_url,
        "sqlite:///data/identity.db",
        "The ledger: every issue, renewal and revocation; `none` keeps none.",
        "sqlite:///path, postgresql://, none",
    )
    ledger_retention_days: int = variable(
        parsers.whole(0, 36_500), "90", "Days after which events leave the ledger; 0 keeps them for ever."
    )
    ledger_max_rows: int = variable(
        parsers.whole(0, 1_000_000_000_000),
        "10000000",
        "Events that the ledger keeps, 0.5 KB each: beyond, the oldest leave early; 0 keeps all.",
    )
    identity_domain: str = variable(
        parsers.domain, "sports.api.yourbook.com", "Domain of an identity when a request names none.", "a domain name"
    )
    memory_budget: int = variable(
        parsers.auto_or(parsers.byte_count(1 << 20, 1 << 44)),
        "auto",
        "What all workers may take together; `auto` is 80 % of the container's limit, or without one a quarter of the "
        "machine's memory, 2G a worker at most.",
    )
    identity_cache_size: int = variable(
        parsers.whole(1, 16_777_216),
        "32768",
        "Identities that a worker remembers at most; each counts 2 to 6 KiB, and MEMORY_BUDGET may hold fewer.",
    )
    max_connections: int = variable(
        parsers.auto_or(parsers.whole(1, 1_000_000)),
        "auto",
        "Connections that a worker holds, more are answered 503; `auto` is what MEMORY_BUDGET has room for.",
    )
    header_timeout: float = variable(_SECONDS, "10", "Seconds for a whole request head.")
    body_timeout: float = variable(_SECONDS, "30", "Seconds for a whole request body.")
    keep_alive_timeout: float = variable(
        parsers.seconds(0.1, 86_400),
        "75",
        "Seconds an idle connection is kept; a balancer in front must close idle ones earlier.",
    )
    write_timeout: float = variable(_SECONDS, "30", "Seconds a client may leave answers unread.")
    drain_delay: float = variable(
        parsers.seconds(0, 300),
        "0",
        "Seconds to go on serving after SIGTERM, not ready, until balancers have noticed.",
        in_production="5",
    )
    drain_seconds: float = variable(
        parsers.seconds(0, 300),
        "25",
        "Seconds from SIGTERM in which all accepted requests are answered, DRAIN_DELAY included, at most.",
    )
    log_format: str = variable(
        parsers.one_of("ecs", "text"),
        "text",
        "JSON lines in Elastic Common Schema, or plain text.",
        in_production="ecs",
    )
    log_level: str = variable(
        parsers.one_of("debug", "info", "warning", "error"), "info", "The least level that is logged."
    )
    access_log: str = variable(
        parsers.one_of("off", "errors", "all"),
        "errors",
        "A line for no request, for those answered 400 and up (a bounded number), or for each.",
    )
    metrics_access: str = variable(
        parsers.one_of("open", "token"),
        "open",
        "Access to `/api/metrics` and `/api/telemetry`: `open`, or service tokens of scope `metrics`.",
    )
    otel_exporter_otlp_endpoint: str = variable(
        parsers.base_url,
        "",
        "An OpenTelemetry collector, which gets a span of each sampled request by OTLP over HTTP (extra `otel`).",
        "an http or https URL",
        empty="",
    )
    otel_exporter_otlp_traces_endpoint: str = variable(
        parsers.base_url,
        "",
        "The same with the whole path, which is `/v1/traces` otherwise.",
        "an http or https URL",
        empty="",
    )
    otel_traces_sampler: str = variable(
        parsers.one_of(*SAMPLERS),
        "parentbased_always_on",
        "Which requests have a span; `parentbased` is as the caller has it.",
    )
    otel_traces_sampler_arg: float = variable(
        parsers.share, "1", "The share of the requests that `traceidratio` picks."
    )
    otel_sdk_disabled: str = variable(parsers.one_of("true", "false"), "false", "`true` makes no spans.")

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
    def traces(self) -> bool:
        """Whether requests have spans."""
        collector = self.otel_exporter_otlp_endpoint or self.otel_exporter_otlp_traces_endpoint
        return bool(collector) and self.otel_sdk_disabled == "false"

    @property
    def shares(self) -> Shares:
        """The memory shares of each worker."""
        return memory_budget.shares(
            self.memory_budget,
            self.workers,
            tls=self.tls,
            ledger=self.database_url.reveal() != NO_LEDGER,
            connections=self.max_connections or None,
        )

    def secrets(self) -> tuple[str, ...]:
        """The secret texts, for masking them in logs and output."""
        keys = (self.jwt_secret, self.jwt_secret_previous, self.jwt_private_key)
        secrets = [key.reveal() for key in keys if key is not None]
        for url in (self.redis_url, self.database_url):
            secrets += secrets_in(url.reveal())
        return tuple(dict.fromkeys(secrets))


TABLE: Final = tuple(Row(each.name.upper(), **each.metadata) for each in fields(Config) if each.metadata)


def markdown_table() -> str:
    """Return the table of the README."""
    lines = ["| Variable | Default | Allowed | What it is |", "|---|---|---|---|"]
    for row in TABLE:
        default = f"`{row.default}`" if row.default else "none"
        if row.required:
            default += "; *required* in production"
        elif row.in_production is not None:
            default += f"; `{row.in_production}` in production"
        lines.append(f"| `{row.name}` | {default} | {row.allowed} | {row.doc} |")
    return "\n".join(lines) + "\n"
