"""The table of the variables: name, parser, default, range and description.

``config.load``, the README's table (``markdown_table``), ``.env.production.example`` (a test holds it) and
``arsenal-fast check`` are renderings of these rows and so can't disagree. The order is that of reading: the
default of API_BASE_URL depends on rows above it.
"""

from typing import Final, NamedTuple

from arsenal_fast.config import parsers
from arsenal_fast.config.parsers import Reader

PRODUCTION: Final = "production"

MIN_SECRET: Final = 32
"""Octets of JWT_SECRET: a key as long as HS256's hash (RFC 7518 section 3.2)."""


class Row(NamedTuple):
    """One variable. ``default``: as an operator would write it; "" for none."""

    name: str
    read: Reader
    default: str
    doc: str
    allowed: str
    in_production: str | None = None
    """The default in production, where it differs."""
    required: bool = False
    """Must be set in production."""


_SECONDS: Final = parsers.seconds(0.1, 3600)

TABLE: Final = (
    Row(
        "NODE_ENV",
        parsers.one_of("development", PRODUCTION, "test"),
        "development",
        "What the process is for; `production` insists on the variables marked *required*.",
        "development, production, test",
    ),
    Row(
        "HOST",
        parsers.listen_address,
        "0.0.0.0",  # noqa: S104 a service in a container is there to be reached
        "Address to listen on; `::` takes IPv6 and IPv4.",
        "an IP address, localhost",
    ),
    Row("PORT", parsers.whole(1, 65535), "3655", "TCP port to listen on.", "1 to 65535"),
    Row(
        "WORKERS",
        parsers.workers,
        "1",
        "Processes that share the port; `auto` is one for each CPU of the process, or 1 with `memory://`.",
        "1 to 64, auto",
    ),
    Row(
        "REDIS_URL",
        parsers.redis_url,
        "memory://",
        "Where limits and identities are shared; `memory://` keeps them in the process, for one worker.",
        "redis://, rediss://, redis+sentinel://, rediss+sentinel://, unix://, memory://",
        required=True,
    ),
    Row(
        "REDIS_TIMEOUT_MS",
        parsers.whole(10, 10_000),
        "250",
        "Milliseconds after which Redis counts as away and the worker goes on by itself.",
        "10 to 10000",
    ),
    Row(
        "RATE_LIMIT_REQUESTS",
        parsers.whole(0, 1_000_000_000),
        "100",
        "Requests that a client may make in a window; 0 turns the limit off.",
        "0 to 1000000000",
    ),
    Row(
        "RATE_LIMIT_WINDOW",
        parsers.whole(1, 31_536_000),
        "3600",
        "The window in seconds.",
        "1 to 31536000",
    ),
    Row(
        "RATE_LIMIT_ON_REDIS_FAILURE",
        parsers.one_of("local", "open", "closed"),
        "local",
        "While Redis is away: each worker limits by itself, lets all pass, or lets none pass.",
        "local, open, closed",
    ),
    Row(
        "TRUSTED_PROXIES",
        parsers.trusted_proxies,
        "",
        "Proxies whose `X-Forwarded-For` is believed.",
        "IP addresses and CIDRs, between commas",
    ),
    Row(
        "CORS_ORIGIN",
        parsers.origins,
        "*",
        "Web origins whose scripts may read the answers; `*` is all, which production takes only where set.",
        "origins between commas (`https://*.domain.tld` for its subdomains), or *",
        required=True,
    ),
    Row(
        "TLS_CERT_FILE",
        parsers.readable_file,
        "",
        "PEM certificate chain, to speak TLS without a proxy; read again on SIGHUP.",
        "a readable file",
    ),
    Row("TLS_KEY_FILE", parsers.readable_file, "", "Its PEM private key.", "a readable file"),
    Row(
        "TLS_KEY_PASSWORD_FILE",
        parsers.password_file,
        "",
        "The password of an encrypted private key; only the service's user should be able to read it (mode 0600).",
        "a readable file",
    ),
    Row(
        "API_BASE_URL",
        parsers.base_url,
        "http://localhost:PORT",
        "Where clients find the service: the issuer of tokens and the server of the OpenAPI document.",
        "an http or https URL",
        required=True,
    ),
    Row(
        "JWT_SECRET",
        parsers.jwt_secret,
        "",
        "Key that signs the tokens, from `openssl rand -base64 48`.",
        f"at least {MIN_SECRET} octets in production",
        required=True,
    ),
    Row(
        "JWT_SECRET_PREVIOUS",
        parsers.jwt_secret,
        "",
        "A second key that verifies and does not sign, while secrets are rotated.",
        "as JWT_SECRET",
    ),
    Row(
        "JWT_PRIVATE_KEY",
        parsers.private_key,
        "",
        "Ed25519 key that signs identity tokens in place of the secret; further PEM blocks verify only.",
        "a PEM text, or its path after / or file:",
    ),
    Row(
        "PROTECTED_PREFIXES",
        parsers.protected_prefixes,
        "",
        "Prefixes issued only to service tokens of scope `issue`, in any case.",
        "prefixes between commas",
    ),
    Row(
        "DATABASE_URL",
        parsers.database_url,
        "sqlite:///data/identity.db",
        "The ledger: every issue, renewal and revocation; `none` keeps none.",
        "sqlite:///path, postgresql://, none",
    ),
    Row(
        "LEDGER_RETENTION_DAYS",
        parsers.whole(0, 36_500),
        "90",
        "Days after which events leave the ledger; 0 keeps them for ever.",
        "0 to 36500",
    ),
    Row(
        "LEDGER_MAX_ROWS",
        parsers.whole(0, 1_000_000_000_000),
        "10000000",
        "Events that the ledger keeps, 0.5 KB each: beyond, the oldest leave early; 0 keeps all.",
        "0 to 1000000000000",
    ),
    Row(
        "IDENTITY_DOMAIN",
        parsers.domain,
        "sports.api.yourbook.com",
        "Domain of an identity when a request names none.",
        "a domain name",
    ),
    Row(
        "MEMORY_BUDGET",
        parsers.octets(1 << 20, 1 << 44),
        "auto",
        "What all workers may take together; `auto` is 80 % of the container's limit, or without one a quarter of the "
        "machine's memory, 2G a worker at most.",
        "1M to 16384G, auto",
    ),
    Row(
        "IDENTITY_CACHE_SIZE",
        parsers.whole(1, 16_777_216),
        "32768",
        "Identities that a worker remembers at most; each counts 2 to 6 KiB, and MEMORY_BUDGET may hold fewer.",
        "1 to 16777216",
    ),
    Row(
        "MAX_CONNECTIONS",
        parsers.auto_or(parsers.whole(1, 1_000_000)),
        "auto",
        "Connections that a worker holds, more are answered 503; `auto` is what MEMORY_BUDGET has room for.",
        "1 to 1000000, auto",
    ),
    Row("HEADER_TIMEOUT", _SECONDS, "10", "Seconds for a whole request head.", "0.1 to 3600"),
    Row("BODY_TIMEOUT", _SECONDS, "30", "Seconds for a whole request body.", "0.1 to 3600"),
    Row("KEEP_ALIVE_TIMEOUT", _SECONDS, "75", "Seconds an idle connection is kept.", "0.1 to 3600"),
    Row("WRITE_TIMEOUT", _SECONDS, "30", "Seconds a client may leave answers unread.", "0.1 to 3600"),
    Row(
        "DRAIN_DELAY",
        parsers.seconds(0, 300),
        "0",
        "Seconds to go on serving after SIGTERM, not ready, until balancers have noticed.",
        "0 to 300",
        in_production="5",
    ),
    Row(
        "DRAIN_SECONDS",
        parsers.seconds(0, 300),
        "25",
        "Seconds from SIGTERM in which all accepted requests are answered, DRAIN_DELAY included, at most.",
        "0 to 300",
    ),
    Row(
        "LOG_FORMAT",
        parsers.one_of("ecs", "text"),
        "text",
        "JSON lines in Elastic Common Schema, or plain text.",
        "ecs, text",
        in_production="ecs",
    ),
    Row(
        "LOG_LEVEL",
        parsers.one_of("debug", "info", "warning", "error"),
        "info",
        "The least level that is logged.",
        "debug, info, warning, error",
    ),
    Row(
        "ACCESS_LOG",
        parsers.one_of("off", "errors", "all"),
        "errors",
        "A line for no request, for those answered 400 and up (a bounded number), or for each.",
        "off, errors, all",
    ),
    Row(
        "METRICS_ACCESS",
        parsers.one_of("open", "token"),
        "open",
        "Who may read `/api/metrics` and `/api/telemetry`: everybody, or service tokens of scope `metrics`.",
        "open, token",
    ),
)


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
