"""What goes in and comes out, as JSON Schema 2020-12; the rows of the table name these by their keys.

Ranges and limits are imported from the code that enforces them. Patterns can't be: JSON Schema takes
ECMA-262 expressions, which have no possessive quantifiers. They are written here once more, and a test
holds that they admit exactly what :mod:`arsenal_fast.identity.grammar` admits.

Requests are closed (``additionalProperties: false``, unknown members are refused); answers are open, so
that a member may be added without breaking a client. Examples are those of the guide.
"""

from typing import Any, Final

from arsenal_fast.identity.grammar import MAX_DOMAIN, MAX_ID, MAX_LOCAL, MAX_PART
from arsenal_fast.identity.life import DEFAULT_TTL, MAX_TTL, MIN_TTL
from arsenal_fast.identity.validate import Status
from arsenal_fast.service.body import MAX_ROWS
from arsenal_fast.service.handlers.identities import DEFAULT_PREFIX, DEFAULT_VERSION, MAX_NAME
from arsenal_fast.service.records import FORMAT, KIND

Schema = dict[str, Any]

_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LOWER_LABEL: Final = _LABEL.replace("A-Z", "")
_PREFIX: Final = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*\.?"
_RUN: Final = r"\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
_VERSION: Final = "v[0-9]{1,3}"

PREFIX_PATTERN: Final = f"^{_PREFIX}$"
RUN_PATTERN: Final = f"^{_RUN}$"
DOMAIN_PATTERN: Final = rf"^({_LABEL}\.)*{_LABEL}$"
VERSION_PATTERN: Final = f"^{_VERSION}$"
ISSUED_DOMAIN_PATTERN: Final = rf"^({_LOWER_LABEL}\.)*{_LOWER_LABEL}$"
"""What is handed out: folded to lower case."""
EMAIL_PATTERN: Final = rf"^{_PREFIX}-{_RUN}@{ISSUED_DOMAIN_PATTERN[1:]}"
ID_PATTERN: Final = rf"{EMAIL_PATTERN[:-1]}/{_VERSION}:id$"
TIMESTAMP_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"

_DOMAIN: Final = "sports.api.yourbook.com"
_EMAIL: Final = f"player-123456@{_DOMAIN}"
_ID: Final = f"{_EMAIL}/v1:id"
_GENERATED: Final = "2026-11-22T10:00:00.000Z"
_EXPIRES: Final = "2026-11-22T11:00:00.000Z"
_PARTS: Final = {"prefix": "player", "run": "123456", "domain": _DOMAIN, "version": "v1"}
_LIFE: Final = {"ttl": DEFAULT_TTL, "generated": _GENERATED, "expires": _EXPIRES}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, *, optional: tuple[str, ...] = (), **keywords: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **keywords}


def _array(items: Schema, description: str) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": MAX_ROWS, "description": description}


def _text(pattern: str, longest: int, description: str, **keywords: Any) -> Schema:
    return {
        "type": "string",
        "pattern": pattern,
        "minLength": 1,
        "maxLength": longest,
        "description": description,
        **keywords,
    }


def _count(description: str, **keywords: Any) -> Schema:
    return {"type": "integer", "minimum": 0, "description": description, **keywords}


def _number(description: str, **keywords: Any) -> Schema:
    return {"type": "number", "minimum": 0, "description": description, **keywords}


def _word(description: str, *values: str) -> Schema:
    return {"type": "string", "enum": list(values), "description": description}


def _nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _timestamp(description: str) -> Schema:
    return {
        "type": "string",
        "format": "date-time",
        "pattern": TIMESTAMP_PATTERN,
        "description": f"{description} RFC 3339, UTC, milliseconds.",
    }


_TOGETHER: Final = f"Prefix and run, with the `-` between them, have at most {MAX_LOCAL} characters."

PREFIX: Final = _text(
    PREFIX_PATTERN,
    MAX_PART,
    f"What the identity is for. No `-`: the first `-` of an identity ends its prefix. {_TOGETHER}",
    default=DEFAULT_PREFIX,
)
RUN: Final = _text(
    RUN_PATTERN,
    MAX_PART,
    f"Whom or which run it is for: a number, a UUID, a word. Left out: a new, unique, time-ordered number. {_TOGETHER}",
)
DOMAIN: Final = _text(
    DOMAIN_PATTERN, MAX_DOMAIN, "Domain of the identity, folded to lower case. Left out: the service's own."
)
VERSION: Final = _text(VERSION_PATTERN, 4, "Version of the identity.", default=DEFAULT_VERSION)
TTL: Final = {
    "type": "integer",
    "minimum": MIN_TTL,
    "maximum": MAX_TTL,
    "default": DEFAULT_TTL,
    "description": "Whole seconds to live (`3600`, not `3600.0`), for the request that issues; "
    "a living identity keeps its own.",
}

_ISSUED_ID: Final = _text(ID_PATTERN, MAX_ID, "The identity.")
_ISSUED_EMAIL: Final = _text(
    EMAIL_PATTERN, MAX_LOCAL + 1 + MAX_DOMAIN, "The part before `/`: a valid RFC 5322 addr-spec."
)
_ISSUED_DOMAIN: Final = _text(ISSUED_DOMAIN_PATTERN, MAX_DOMAIN, "Domain, in lower case.")
_ISSUED_PARTS: Final = {
    "prefix": _text(PREFIX_PATTERN, MAX_PART, "Up to the first `-`."),
    "run": _text(RUN_PATTERN, MAX_PART, "After the first `-`."),
    "domain": _ISSUED_DOMAIN,
    "version": _text(VERSION_PATTERN, 4, "Version of the identity."),
    "type": {"const": KIND},
}
_ISSUED_LIFE: Final = {
    "ttl": {
        "type": "integer",
        "minimum": MIN_TTL,
        "maximum": MAX_TTL,
        "description": "Whole length of its life in seconds.",
    },
    "generated": _timestamp("When it was issued or renewed."),
    "expires": _timestamp("When it ends, unless it is renewed; at least a quarter of its TTL ahead."),
}

PARAMETERS: Final[dict[str, Schema]] = {
    name: {
        "name": name,
        "in": "query",
        "description": schema["description"],
        "schema": {key: value for key, value in schema.items() if key != "description"},
        "example": example,
    }
    for name, schema, example in (
        ("prefix", PREFIX, "player"),
        ("run", RUN, "123456"),
        ("domain", DOMAIN, _DOMAIN),
        ("version", VERSION, "v1"),
        ("ttl", TTL, DEFAULT_TTL),
    )
}
"""Query parameters by the name that rows use, as OpenAPI parameter objects."""

_HEALTH: Final = {
    "status": _word(
        "`degraded`: serving, but a dependency is away. `unhealthy`: starting or draining.",
        "healthy",
        "degraded",
        "unhealthy",
    ),
    "services": _object(
        {name: {"type": "string", "pattern": "^[a-z]+$"} for name in ("database", "redis", "api")},
        description="One word for each.",
    ),
    "uptime": _count("Seconds since the start."),
    "version": {"type": "string", "pattern": r"^v[0-9]+\.[0-9]+\.[0-9]+$"},
}
_VERDICT_EXAMPLE: Final = {
    "identity": _ID,
    "valid": True,
    "status": "active",
    "reason": "The identity was issued by this service and has not expired.",
    "well_formed": True,
    "rfc5322_compliant": True,
    "metadata": {**_PARTS, "type": KIND, "format": FORMAT},
    "cached": True,
    "generated": _GENERATED,
    "expires": _EXPIRES,
    "validated": "2026-11-22T10:15:00.000Z",
}
_PROBLEM_EXAMPLE: Final = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "The request has 1 fault; nothing was done.",
    "errors": [{"pointer": "/environments/3/prefix", "detail": "prefix must be 1 to 62 of A-Z a-z 0-9 _ . ..."}],
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Identity": _object(
        {
            "id": _ISSUED_ID,
            "email": _ISSUED_EMAIL,
            **_ISSUED_LIFE,
            "metadata": _object(
                {
                    **_ISSUED_PARTS,
                    "compatible": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Registries that take the identity as an e-mail address.",
                    },
                }
            ),
        },
        description="A living identity; it validates.",
        examples=[
            {
                "id": _ID,
                "email": _EMAIL,
                **_LIFE,
                "metadata": {**_PARTS, "type": KIND, "compatible": ["nexus", "artifactory", "jfrog"]},
            }
        ],
    ),
    "BatchRequest": _object(
        {
            "environments": _array(
                _object(
                    {
                        "name": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": MAX_NAME,
                            "description": "Handed back with the identity.",
                        },
                        "prefix": PREFIX,
                        "run": RUN,
                    },
                    optional=("prefix", "run"),
                    additionalProperties=False,
                ),
                "What to issue an identity for, each.",
            ),
            "domain": DOMAIN,
            "version": VERSION,
            "ttl": TTL,
        },
        optional=("domain", "version", "ttl"),
        additionalProperties=False,
        examples=[
            {
                "environments": [{"name": "prod", "prefix": "player", "run": "123456"}],
                "domain": _DOMAIN,
                "version": "v1",
            }
        ],
    ),
    "Batch": _object(
        {
            "identities": _array(
                _object(
                    {
                        "environment": {"type": "string", "description": "Name of the environment."},
                        "id": _ISSUED_ID,
                        "email": _ISSUED_EMAIL,
                        **_ISSUED_LIFE,
                    }
                ),
                "In the order of the environments.",
            ),
            "total": _count("How many identities.", maximum=MAX_ROWS),
            "domain": _ISSUED_DOMAIN,
            "version": VERSION,
            "ttl": {**TTL, "description": "Seconds asked for; a living identity keeps its own."},
            "generated": _timestamp("When the answer was made."),
        },
        examples=[
            {
                "identities": [{"environment": "prod", "id": _ID, "email": _EMAIL, **_LIFE}],
                "total": 1,
                "domain": _DOMAIN,
                "version": "v1",
                "ttl": DEFAULT_TTL,
                "generated": _GENERATED,
            }
        ],
    ),
    "ValidationRequest": {
        "oneOf": [
            _object(
                {"identity": {"type": "string", "description": "Any text; its verdict is the answer."}},
                additionalProperties=False,
                title="One",
            ),
            _object(
                {"identities": _array({"type": "string"}, "Any texts; each gets its verdict.")},
                additionalProperties=False,
                title="Many",
            ),
        ],
        "examples": [{"identity": _ID}, {"identities": [_ID, "not an identity"]}],
    },
    "Verdict": _object(
        {
            "identity": {"type": "string", "description": "The text that was asked about."},
            "valid": {
                "type": "boolean",
                "description": "The verdict to act on: true only where `status` is `active`.",
            },
            "status": _word(
                "`unknown`: well formed, but not on record. `unverifiable`: the shared state is away.",
                *Status,
            ),
            "reason": {"type": "string", "minLength": 1, "description": "One plain sentence."},
            "well_formed": {"type": "boolean", "description": "The syntax alone."},
            "rfc5322_compliant": {
                "type": "boolean",
                "description": "Whether the part before `/` is an RFC 5322 addr-spec.",
            },
            "metadata": _nullable(_object({**_ISSUED_PARTS, "format": {"const": FORMAT}})),
            "cached": {"type": "boolean", "description": "Found in the TTL cache."},
            "generated": _nullable(_timestamp("When it was issued or renewed.")),
            "expires": _nullable(_timestamp("When it ends or ended.")),
            "validated": _timestamp("When this verdict was made."),
        },
        examples=[_VERDICT_EXAMPLE],
    ),
    "ValidationAnswer": {
        "oneOf": [
            {**_ref("Verdict"), "title": "One"},
            _object(
                {
                    "results": _array(_ref("Verdict"), "In the order of the identities."),
                    "total": _count("How many verdicts.", maximum=MAX_ROWS),
                },
                title="Many",
            ),
        ],
        "examples": [_VERDICT_EXAMPLE],
    },
    "Limits": _object(
        {
            "client": {
                "type": "string",
                "description": "Who is charged: an IPv4 address or an IPv6 /64 network.",
            },
            "policy": {
                "type": ["string", "null"],
                "description": "Name in `RateLimit-Policy`; null: no limit.",
            },
            "limit": _nullable(_count("Requests in a window; null: no limit.", minimum=1)),
            "window": _nullable(_count("Seconds of the window.", minimum=1)),
            "remaining": _nullable(_count("Requests that would pass now.")),
            "reset": _count("Seconds until all of the limit is there again."),
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
    "Health": _object(
        _HEALTH,
        examples=[
            {
                "status": "healthy",
                "services": {"database": "healthy", "redis": "healthy", "api": "healthy"},
                "uptime": 3600,
                "version": "v4.2.0",
            }
        ],
    ),
    "Probe": _object({"status": {"type": "string", "pattern": "^[a-z]+$", "description": "One word."}}),
    "Telemetry": _object(
        {
            **_HEALTH,
            "workers": _count("Workers that are alive; what counts up is the sum over all that ever were."),
            "requests": _object(
                {
                    "total": _count("Answers."),
                    "by_status": {
                        "type": "object",
                        "propertyNames": {"pattern": "^([1-4][0-9]{2}|5xx)$"},
                        "additionalProperties": _count("Answers."),
                        "description": "The exact status below 500, and `5xx`.",
                    },
                    "errors": _count("Answers with a status of 500 and above."),
                    "rate": _nullable(_number("Answers a second, of late; null until there were two looks.")),
                }
            ),
            "latency": _object(
                {
                    f"p{rank}": _nullable(_number("Milliseconds; null before the first request."))
                    for rank in (50, 90, 99)
                },
                description="From the request's last octet to the answer, since the start; estimated from a histogram.",
            ),
            "cache": _object(
                {
                    "lookups": _count("Look-ups of an identity."),
                    "hits": _count("Those that found a living record."),
                    "ratio": _nullable(_number("Hits over look-ups; null before the first.", maximum=1)),
                    "entries": _count("Identities in the workers' memory."),
                }
            ),
            "identities": _object(
                {
                    "issued": _count("New lives."),
                    "renewed": _count("Lives renewed in their last quarter."),
                    "issued_without_store": _count("Issued by one worker alone while the shared store was away."),
                }
            ),
            "limiter": _object(
                {
                    "policy": {"type": ["string", "null"], "description": "Null: no limit."},
                    "limit": _nullable(_count("Requests in a window.", minimum=1)),
                    "window": _nullable(_count("Seconds of the window.", minimum=1)),
                    "allowed": _count("Requests let through."),
                    "denied": _count("Requests refused."),
                    "denied_locally": _count("Those refused from memory, without the store."),
                    "fallback": _count("Requests decided by one worker alone while the shared store was away."),
                    "batches": _count("Commands that carried the decisions."),
                }
            ),
            "redis": _object(
                {
                    "status": {"type": "string", "pattern": "^[a-z]+$", "description": "One word."},
                    "commands": _count("Commands sent."),
                    "rows_per_command": _nullable(_number("Limiter cells and identities that one command carried.")),
                    "timeouts": _count("Times that no answer came in time."),
                    "round_trip_ms_mean": _nullable(_number("Mean milliseconds of a round trip.")),
                }
            ),
            "connections": _object(
                {
                    "open": _count("Open now."),
                    "accepted": _count("Accepted."),
                    "shed": _count("Answered 503 for there were too many."),
                    "timed_out": _count("Closed by a time-out."),
                }
            ),
            "process": _object(
                {
                    "cpu_seconds": _number("User and system time."),
                    "resident_memory_bytes": _count("Memory in use now."),
                    "open_fds": _count("File descriptors open now."),
                    "started": _nullable(_timestamp("Start of the oldest worker.")),
                    "gc_collections": _count("Runs of the garbage collector."),
                }
            ),
        },
        description="The sum over the workers.",
    ),
    "Problem": _object(
        {
            "type": {"type": "string", "format": "uri-reference", "description": "Kind of problem."},
            "title": {"type": "string", "description": "The kind in words."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What is wrong with this request."},
            "errors": {
                "type": "array",
                "minItems": 1,
                "description": "Every bad member or parameter.",
                "items": _object(
                    {
                        "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into the body."},
                        "parameter": {"type": "string", "description": "Name of the query parameter."},
                        "detail": {"type": "string", "description": "What is allowed."},
                    },
                    optional=("pointer", "parameter"),
                ),
            },
            "violated-policies": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "Names of the rate-limit policies that are used up (status 429).",
            },
        },
        optional=("errors", "violated-policies"),
        description="RFC 9457.",
        examples=[_PROBLEM_EXAMPLE],
    ),
}
"""Schemas by the name that rows use; they become ``components.schemas``."""
