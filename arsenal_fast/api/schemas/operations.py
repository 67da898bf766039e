"""Schemas of the audit, keys, limits, health, probes and telemetry."""

from typing import Final

from arsenal_fast.api.schemas.parts import (
    CURSOR_EXAMPLE,
    CURSOR_PATTERN,
    EXPIRES,
    GENERATED,
    ID_EXAMPLE,
    ISSUED_DOMAIN,
    ISSUED_ID,
    PARTS_EXAMPLE,
    PREFIX_PATTERN,
    RUN_PATTERN,
    VERSION_PATTERN,
    Schema,
    count,
    nullable,
    number,
    object_of,
    ref,
    text,
    timestamp,
    word,
)
from arsenal_fast.identity.grammar import MAX_PART
from arsenal_fast.ledger.model import KINDS, MAX_PAGE

_DATABASE: Final = word(
    "The ledger. `degraded`: it can be read or written, but not both. `disabled`: `DATABASE_URL` is `none`.",
    "healthy",
    "degraded",
    "unavailable",
    "disabled",
)
_REDIS: Final = word(
    "The shared state. `embedded`: in the process, without Redis.", "healthy", "unavailable", "embedded"
)
_HEALTH: Final = {
    "status": word(
        "`degraded`: serving, but a dependency is away. `unhealthy`: starting or draining.",
        "healthy",
        "degraded",
        "unhealthy",
    ),
    "services": object_of(
        {
            "database": _DATABASE,
            "redis": _REDIS,
            "api": word("Where the service is in its life.", "starting", "healthy", "draining"),
        },
        title="Services",
        description="One word for each.",
    ),
    "uptime": count("Seconds since the start."),
    "version": {"type": "string", "pattern": r"^v[0-9]+\.[0-9]+\.[0-9]+$"},
}
_REASONS: Final = object_of(
    {
        name: {"type": "string", "description": "One sentence, without addresses and passwords."}
        for name in ("database", "redis")
    },
    optional=("database", "redis"),
    title="Reasons",
    description="Why a service can't be used; absent while all of them can.",
)
_EVENT_EXAMPLE: Final = {
    "sequence": 4711,
    "event": "issued",
    "at": GENERATED,
    "identity": ID_EXAMPLE,
    **PARTS_EXAMPLE,
    "generated": GENERATED,
    "expires": EXPIRES,
    "issued_before": None,
    "environment": "prod",
    "caller": "sub:sports-book",
    "request_id": "deploy-7",
}
OPERATIONS: Final[dict[str, Schema]] = {
    "Audit": object_of(
        {
            "events": {
                "type": "array",
                "items": ref("AuditEvent"),
                "maxItems": MAX_PAGE,
                "description": "Newest first.",
            },
            "total": count("How many events this page has.", maximum=MAX_PAGE),
            "cursor": nullable(text(CURSOR_PATTERN, 37, "Where the next page begins; null: this is the last one.")),
        },
        examples=[{"events": [_EVENT_EXAMPLE], "total": 1, "cursor": CURSOR_EXAMPLE}],
    ),
    "AuditEvent": object_of(
        {
            "sequence": count("Number of the event; not without gaps.", minimum=1),
            "event": word("What has happened; `audit_read` is somebody's reading of the ledger.", *KINDS),
            "at": timestamp("When: of a life its `generated`."),
            "identity": nullable({**ISSUED_ID, "description": "Null where the event is not of one identity."}),
            "prefix": nullable(text(PREFIX_PATTERN, MAX_PART, "Of the identity, or what was revoked or asked for.")),
            "run": nullable(text(RUN_PATTERN, MAX_PART, "Of the identity, or what was asked for.")),
            "domain": nullable(ISSUED_DOMAIN),
            "version": nullable(text(VERSION_PATTERN, 4, "Version of the identity.")),
            "generated": nullable(timestamp("When the life began.")),
            "expires": nullable(timestamp("When it ends.")),
            "issued_before": nullable(timestamp("Of a revocation: lives that began before are dead.")),
            "environment": {"type": ["string", "null"], "description": "The name that a batch gave it."},
            "caller": {"type": "string", "minLength": 1, "description": "Who asked, as in `client` of the limits."},
            "request_id": {"type": ["string", "null"], "maxLength": 128, "description": "Its `X-Request-Id`."},
        },
        description="What does not apply is null.",
        examples=[_EVENT_EXAMPLE],
    ),
    "KeySet": object_of(
        {
            "keys": {
                "type": "array",
                "items": object_of(
                    {
                        "kty": {"const": "OKP"},
                        "crv": {"const": "Ed25519"},
                        "x": {"type": "string", "description": "The public key (RFC 8037)."},
                        "kid": {"type": "string", "description": "As in a token's header; its RFC 7638 thumbprint."},
                        "use": {"const": "sig"},
                        "alg": {"const": "EdDSA"},
                    },
                    title="Key",
                ),
                "description": "Empty while identity tokens are signed with the secret.",
            }
        },
        description="A JWK Set (RFC 7517).",
        examples=[
            {
                "keys": [
                    {
                        "crv": "Ed25519",
                        "kty": "OKP",
                        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                        "use": "sig",
                        "alg": "EdDSA",
                    }
                ]
            }
        ],
    ),
    "Limits": object_of(
        {
            "client": {
                "type": "string",
                "description": "Who is charged: an IPv4 address, an IPv6 /64 network, or `sub:` and the subject of a "
                "service token.",
            },
            "policy": {
                "type": ["string", "null"],
                "description": "Name in `RateLimit-Policy`: `default`, or `token` with a service token's own limit; "
                "null: no limit.",
            },
            "limit": nullable(count("Requests in a window; null: no limit.", minimum=1)),
            "window": nullable(count("Seconds of the window.", minimum=1)),
            "remaining": nullable(count("Requests that would pass now.")),
            "reset": count("Seconds until all of the limit is there again."),
        },
        examples=[
            {
                "client": "203.0.113.9",
                "policy": "default",
                "limit": 100,
                "window": 3600,
                "remaining": 99,
                "reset": 36,
            }
        ],
    ),
    "Health": object_of(
        {**_HEALTH, "reasons": _REASONS},
        optional=("reasons",),
        examples=[
            {
                "status": "healthy",
                "services": {"database": "healthy", "redis": "healthy", "api": "healthy"},
                "uptime": 3600,
                "version": "v4.2.0",
            }
        ],
    ),
    "Probe": object_of({"status": {"type": "string", "pattern": "^[a-z]+$", "description": "One word."}}),
    "Telemetry": object_of(
        {
            "timestamp": timestamp("When the counts were taken: at most a second ago."),
            **_HEALTH,
            "workers": count("Workers that are alive; what counts up is the sum over all that ever were."),
            "requests": object_of(
                {
                    "total": count("Answers."),
                    "by_status": {
                        "type": "object",
                        "propertyNames": {"pattern": "^([1-4][0-9]{2}|5xx)$"},
                        "additionalProperties": count("Answers."),
                        "description": "The exact status below 500, and `5xx`.",
                    },
                    "errors": count("Answers with a status of 500 and above."),
                    "rate": nullable(number("Answers a second, of late; null until there were two looks.")),
                },
                title="TelemetryRequests",
            ),
            "latency": object_of(
                {f"p{rank}": nullable(number("Milliseconds; null before the first request.")) for rank in (50, 90, 99)},
                title="TelemetryLatency",
                description="From the request's last octet to the answer, since the start; estimated from a histogram.",
            ),
            "cache": object_of(
                {
                    "lookups": count("Look-ups of an identity."),
                    "hits": count("Those that found a living record."),
                    "ratio": nullable(number("Hits over look-ups; null before the first.", maximum=1)),
                    "entries": count("Identities in the workers' memory."),
                },
                title="TelemetryCache",
            ),
            "identities": object_of(
                {
                    "issued": count("New lives."),
                    "renewed": count("Lives renewed in their last quarter."),
                    "issued_without_store": count("Issued by one worker alone while the shared store was away."),
                    "revoked": count("Revocations: of one identity, of a prefix or of everything."),
                },
                title="TelemetryIdentities",
            ),
            "ledger": object_of(
                {
                    "status": _DATABASE,
                    "waiting": count("Rows that wait to be written now; more than a few: it is away or slow."),
                    "dropped": count("Rows that it will never have: there was no memory left to wait in."),
                    "rows": count("Rows written."),
                    "commits": count("Commits, each of many rows."),
                    "failures": count("Tries that found it locked, full or away."),
                },
                title="TelemetryLedger",
            ),
            "limiter": object_of(
                {
                    "policy": {"type": ["string", "null"], "description": "Null: no limit."},
                    "limit": nullable(count("Requests in a window.", minimum=1)),
                    "window": nullable(count("Seconds of the window.", minimum=1)),
                    "allowed": count("Requests let through."),
                    "denied": count("Requests refused."),
                    "denied_locally": count("Those refused from memory, without the store."),
                    "fallback": count("Requests decided by one worker alone while the shared store was away."),
                    "batches": count("Commands that carried the decisions."),
                },
                title="TelemetryLimiter",
            ),
            "redis": object_of(
                {
                    "status": _REDIS,
                    "commands": count("Commands sent."),
                    "rows_per_command": nullable(number("Limiter cells and identities that one command carried.")),
                    "timeouts": count("Times that no answer came in time."),
                    "round_trip_ms_mean": nullable(number("Mean milliseconds of a round trip.")),
                },
                title="TelemetryRedis",
            ),
            "connections": object_of(
                {
                    "open": count("Open now."),
                    "accepted": count("Accepted."),
                    "shed": count("Answered 503 for there were too many."),
                    "timed_out": count("Closed by a time-out."),
                },
                title="TelemetryConnections",
            ),
            "process": object_of(
                {
                    "cpu_seconds": number("User and system time."),
                    "resident_memory_bytes": count("Memory in use now."),
                    "open_fds": count("File descriptors open now."),
                    "started": nullable(timestamp("Start of the oldest worker.")),
                    "gc_collections": count("Runs of the garbage collector."),
                },
                title="TelemetryProcess",
            ),
        },
        description="The sum over the workers.",
    ),
}
