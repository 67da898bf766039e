"""What goes in and comes out, as JSON Schema 2020-12; the rows of the table name these by their keys.

Ranges and limits are imported from the code that enforces them. Patterns can't be: JSON Schema takes
ECMA-262 expressions, which have no possessive quantifiers. They are written here once more, and a test
holds that they admit exactly what :mod:`arsenal_fast.identity.grammar` admits.

Requests are closed (``additionalProperties: false``, unknown members are refused); answers are open, so
that a member may be added without breaking a client. Examples are those of the guide.
"""

from typing import Any, Final

from arsenal_fast.api.fastpath.render import FORMAT, KIND
from arsenal_fast.api.fastpath.response_cache import DEFAULT_VERSION
from arsenal_fast.api.handlers.audit import DEFAULT_LIMIT
from arsenal_fast.api.handlers.identities import DEFAULT_PREFIX, MAX_NAME
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.identity.grammar import MAX_DOMAIN, MAX_ID, MAX_LOCAL, MAX_PART
from arsenal_fast.identity.runs import DRAWN, LENGTH, MAX_PREFIX
from arsenal_fast.identity.validity import DEFAULT_TTL, MAX_TTL, MIN_TTL
from arsenal_fast.ledger.model import KINDS, MAX_PAGE
from arsenal_fast.registry.verdict import Status
from arsenal_fast.tokens.claims import MAX_TOKEN

Schema = dict[str, Any]

_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LOWER_LABEL: Final = _LABEL.replace("A-Z", "")
_PREFIX: Final = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*\.?"
_RUN: Final = r"\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
_VERSION: Final = "v[0-9]{1,3}"

PREFIX_PATTERN: Final = f"^{_PREFIX}$"
RUN_PATTERN: Final = f"^{_RUN}$"
DRAWN_PATTERN: Final = f"^{DRAWN}$"
DOMAIN_PATTERN: Final = rf"^({_LABEL}\.)*{_LABEL}$"
VERSION_PATTERN: Final = f"^{_VERSION}$"
ISSUED_DOMAIN_PATTERN: Final = rf"^({_LOWER_LABEL}\.)*{_LOWER_LABEL}$"
"""What is handed out: folded to lower case."""
EMAIL_PATTERN: Final = rf"^{_PREFIX}-{_RUN}@{ISSUED_DOMAIN_PATTERN[1:]}"
ID_PATTERN: Final = rf"{EMAIL_PATTERN[:-1]}/{_VERSION}:id$"
ASKED_ID_PATTERN: Final = rf"^{_PREFIX}-{_RUN}@{DOMAIN_PATTERN[1:-1]}/{_VERSION}:id$"
"""What is asked about: the domain in any case."""
TIMESTAMP_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
MOMENT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
"""What is taken as a moment; one that is on no calendar or clock is refused all the same."""
JWT_PATTERN: Final = r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"
CURSOR_PATTERN: Final = "^[0-9]{1,18}-[0-9]{1,18}$"

_DOMAIN: Final = "sports.api.yourbook.com"
_EMAIL: Final = f"player-123456@{_DOMAIN}"
_ID: Final = f"{_EMAIL}/v1:id"
_GENERATED: Final = "2026-11-22T10:00:00.000Z"
_EXPIRES: Final = "2026-11-22T11:00:00.000Z"
_REVOKED: Final = "2026-11-22T10:20:00.000Z"
_JWT: Final = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0"
    ".Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk"
)
_CURSOR: Final = "1795341600000-4711"
_PARTS: Final = {"prefix": "player", "run": "123456", "domain": _DOMAIN, "version": "v1"}
_LIFE: Final = {"ttl": DEFAULT_TTL, "generated": _GENERATED, "expires": _EXPIRES, "token": _JWT}


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


def _moment(description: str) -> Schema:
    return {
        "type": "string",
        "format": "date-time",
        "pattern": MOMENT_PATTERN,
        "description": f"{description} RFC 3339, with `Z` or an offset, at most nanoseconds; milliseconds count.",
    }


_TOGETHER: Final = f"Prefix and run, with the `-` between them, have at most {MAX_LOCAL} characters."

PREFIX: Final = _text(
    PREFIX_PATTERN,
    MAX_PART,
    f"What the identity is for. No `-`: the first `-` of an identity ends its prefix. {_TOGETHER} Without a run the "
    f"prefix has at most {MAX_PREFIX}.",
    default=DEFAULT_PREFIX,
)
RUN: Final = _text(
    RUN_PATTERN,
    MAX_PART,
    f"Whom or which run it is for: a number, a UUID, a word. Left out: a new one that nobody can guess is drawn, `_` "
    f"and {LENGTH - 1} of `0-9 a-z` without `i l o u`, in the order of time. Runs of that form can't be named. "
    f"{_TOGETHER}",
    **{"not": {"pattern": DRAWN_PATTERN}},
)
_ANY_PREFIX: Final = _text(PREFIX_PATTERN, MAX_PART, "Up to the first `-`.")
_ANY_RUN: Final = _text(RUN_PATTERN, MAX_PART, "After the first `-`, named or drawn.")
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
    "prefix": _ANY_PREFIX,
    "run": _ANY_RUN,
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
    "token": _text(
        JWT_PATTERN,
        MAX_TOKEN,
        "Identity token of this life, a JWT: `iss`, `sub` (the identity), `iat`, `exp`, `jti`. "
        "Who holds it passes for whoever was given the identity, and may revoke it.",
    ),
}

LIMIT: Final = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_PAGE,
    "default": DEFAULT_LIMIT,
    "description": "Events of a page, at most.",
}
_SINCE: Final = _moment("Events of this moment and later.")
_UNTIL: Final = _moment("Events before this moment.")
_AFTER: Final = _text(CURSOR_PATTERN, 37, "The `cursor` of the page before: the next page begins there.")


def _parameter(name: str, schema: Schema, example: object) -> Schema:
    return {
        "name": name,
        "in": "query",
        "description": schema["description"],
        "schema": {key: value for key, value in schema.items() if key != "description"},
        "example": example,
    }


PARAMETERS: Final[dict[str, Schema]] = {
    "prefix": _parameter("prefix", PREFIX, "player"),
    "run": _parameter("run", RUN, "123456"),
    "domain": _parameter("domain", DOMAIN, _DOMAIN),
    "version": _parameter("version", VERSION, "v1"),
    "ttl": _parameter("ttl", TTL, DEFAULT_TTL),
    "any_prefix": _parameter("prefix", _ANY_PREFIX, "player"),
    "any_run": _parameter("run", _ANY_RUN, "123456"),
    "since": _parameter("since", _SINCE, _GENERATED),
    "until": _parameter("until", _UNTIL, _EXPIRES),
    "limit": _parameter("limit", LIMIT, DEFAULT_LIMIT),
    "cursor": _parameter("cursor", _AFTER, _CURSOR),
}
"""Query parameters by the name that rows use, as OpenAPI parameter objects."""

_DATABASE: Final = _word(
    "The ledger. `degraded`: it can be read or written, but not both. `disabled`: `DATABASE_URL` is `none`.",
    "healthy",
    "degraded",
    "unavailable",
    "disabled",
)
_REDIS: Final = _word(
    "The shared state. `embedded`: in the process, without Redis.", "healthy", "unavailable", "embedded"
)
_HEALTH: Final = {
    "status": _word(
        "`degraded`: serving, but a dependency is away. `unhealthy`: starting or draining.",
        "healthy",
        "degraded",
        "unhealthy",
    ),
    "services": _object(
        {
            "database": _DATABASE,
            "redis": _REDIS,
            "api": _word("Where the service is in its life.", "starting", "healthy", "draining"),
        },
        description="One word for each.",
    ),
    "uptime": _count("Seconds since the start."),
    "version": {"type": "string", "pattern": r"^v[0-9]+\.[0-9]+\.[0-9]+$"},
}
_REASONS: Final = _object(
    {
        name: {"type": "string", "description": "One sentence, without addresses and passwords."}
        for name in ("database", "redis")
    },
    optional=("database", "redis"),
    description="Why a service can't be used; absent while all of them can.",
)
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
_EVENT_EXAMPLE: Final = {
    "sequence": 4711,
    "event": "issued",
    "at": _GENERATED,
    "identity": _ID,
    **_PARTS,
    "generated": _GENERATED,
    "expires": _EXPIRES,
    "issued_before": None,
    "environment": "prod",
    "caller": "sub:sports-book",
    "request_id": "deploy-7",
}
_REVOCATION_EXAMPLES: Final = [
    {"identity": _ID, "status": "revoked", "already": False, "generated": _GENERATED, "revoked": _REVOKED},
    {"prefix": "player", "status": "revoked", "issued_before": _REVOKED},
]
_PROBLEM_EXAMPLE: Final = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "The request has 1 fault; nothing was done.",
    "errors": [{"pointer": "/environments/3/prefix", "detail": "prefix must be 1 to 62 of A-Z a-z 0-9 _ . ..."}],
}

_ASKED: Final = {"type": "string", "description": "Any text; its verdict is the answer."}
_ASKED_TOKEN: Final = {
    "type": "string",
    "description": "Any text; good is the token of the identity: ours, in force, and of no life that was revoked.",
}
_REVOKED_ID: Final = _text(ASKED_ID_PATTERN, MAX_ID, "The identity; its domain in any case.")
_OWN_TOKEN: Final = {
    "type": "string",
    "description": "The identity's own token: who holds it may end the identity. Without it a service token has to.",
}
_REVOKED_PREFIX: Final = _text(PREFIX_PATTERN, MAX_PART, "The prefix, in its own case.")
_BEFORE: Final = _moment("Every life that began before this moment ends; from 1970 until now.")
_REVOKED_STATUS: Final = {"const": "revoked"}

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
            _object({"identity": _ASKED}, additionalProperties=False, title="An identity"),
            _object({"token": _ASKED_TOKEN}, additionalProperties=False, title="A token"),
            _object(
                {"identity": _ASKED, "token": _ASKED_TOKEN},
                additionalProperties=False,
                title="An identity and its token",
            ),
            _object(
                {"identities": _array({"type": "string"}, "Any texts; each gets its verdict.")},
                additionalProperties=False,
                title="Many identities",
            ),
        ],
        "examples": [
            {"identity": _ID},
            {"token": _JWT},
            {"identity": _ID, "token": _JWT},
            {"identities": [_ID, "not an identity"]},
        ],
    },
    "Verdict": _object(
        {
            "identity": {
                "type": ["string", "null"],
                "description": "The text that was asked about, or the identity of the token that came alone; "
                "null where that can't be read.",
            },
            "valid": {
                "type": "boolean",
                "description": "The verdict to act on: true only where `status` is `active`.",
            },
            "status": _word(
                "`malformed`: no identity, or a token that is none of ours or of another identity. `unknown`: well "
                "formed, but not on record. `unverifiable`: what is on record can't be read, or is not enough to "
                "check the token with.",
                *Status,
            ),
            "reason": {"type": "string", "minLength": 1, "description": "One plain sentence."},
            "well_formed": {"type": "boolean", "description": "The syntax alone."},
            "rfc5322_compliant": {
                "type": "boolean",
                "description": "Whether the part before `/` is an RFC 5322 addr-spec.",
            },
            "metadata": _nullable(_object({**_ISSUED_PARTS, "format": {"const": FORMAT}})),
            "cached": {
                "type": "boolean",
                "description": "Found in the TTL cache, where an identity is until it expires.",
            },
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
    "RevocationRequest": {
        "oneOf": [
            _object({"identity": _REVOKED_ID}, additionalProperties=False, title="An identity"),
            _object(
                {"identity": _REVOKED_ID, "token": _OWN_TOKEN},
                additionalProperties=False,
                title="An identity, by its own token",
            ),
            _object(
                {"prefix": _REVOKED_PREFIX, "issued_before": _BEFORE}, additionalProperties=False, title="A prefix"
            ),
            _object({"issued_before": _BEFORE}, additionalProperties=False, title="Everything"),
        ],
        "examples": [
            {"identity": _ID},
            {"identity": _ID, "token": _JWT},
            {"prefix": "player", "issued_before": _GENERATED},
            {"issued_before": _GENERATED},
        ],
    },
    "Revocation": {
        "oneOf": [
            _object(
                {
                    "identity": _ISSUED_ID,
                    "status": _REVOKED_STATUS,
                    "already": {"type": "boolean", "description": "It was revoked before; nothing has changed."},
                    "generated": _timestamp("When the newest life that is known began."),
                    "revoked": _timestamp("Every life that began at or before this moment is dead."),
                },
                title="An identity",
            ),
            _object(
                {
                    "prefix": _nullable(_text(PREFIX_PATTERN, MAX_PART, "Null: everything.")),
                    "status": _REVOKED_STATUS,
                    "issued_before": _timestamp(
                        "Every life that began before this moment is dead. It never falls: where a later one was in "
                        "force already, that one."
                    ),
                },
                title="A prefix, or everything",
            ),
        ],
        "examples": _REVOCATION_EXAMPLES,
    },
    "Audit": _object(
        {
            "events": {
                "type": "array",
                "items": _ref("Event"),
                "maxItems": MAX_PAGE,
                "description": "Newest first.",
            },
            "total": _count("How many events this page has.", maximum=MAX_PAGE),
            "cursor": _nullable(_text(CURSOR_PATTERN, 37, "Where the next page begins; null: this is the last one.")),
        },
        examples=[{"events": [_EVENT_EXAMPLE], "total": 1, "cursor": _CURSOR}],
    ),
    "Event": _object(
        {
            "sequence": _count("Number of the event; not without gaps.", minimum=1),
            "event": _word("What has happened; `audit_read` is somebody's reading of the ledger.", *KINDS),
            "at": _timestamp("When: of a life its `generated`."),
            "identity": _nullable({**_ISSUED_ID, "description": "Null where the event is not of one identity."}),
            "prefix": _nullable(_text(PREFIX_PATTERN, MAX_PART, "Of the identity, or what was revoked or asked for.")),
            "run": _nullable(_text(RUN_PATTERN, MAX_PART, "Of the identity, or what was asked for.")),
            "domain": _nullable(_ISSUED_DOMAIN),
            "version": _nullable(_text(VERSION_PATTERN, 4, "Version of the identity.")),
            "generated": _nullable(_timestamp("When the life began.")),
            "expires": _nullable(_timestamp("When it ends.")),
            "issued_before": _nullable(_timestamp("Of a revocation: lives that began before are dead.")),
            "environment": {"type": ["string", "null"], "description": "The name that a batch gave it."},
            "caller": {"type": "string", "minLength": 1, "description": "Who asked, as in `client` of the limits."},
            "request_id": {"type": ["string", "null"], "maxLength": 128, "description": "Its `X-Request-Id`."},
        },
        description="What does not apply is null.",
        examples=[_EVENT_EXAMPLE],
    ),
    "KeySet": _object(
        {
            "keys": {
                "type": "array",
                "items": _object(
                    {
                        "kty": {"const": "OKP"},
                        "crv": {"const": "Ed25519"},
                        "x": {"type": "string", "description": "The public key (RFC 8037)."},
                        "kid": {"type": "string", "description": "As in a token's header; its RFC 7638 thumbprint."},
                        "use": {"const": "sig"},
                        "alg": {"const": "EdDSA"},
                    }
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
    "Limits": _object(
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
    "Probe": _object({"status": {"type": "string", "pattern": "^[a-z]+$", "description": "One word."}}),
    "Telemetry": _object(
        {
            "timestamp": _timestamp("When the counts were taken: at most a second ago."),
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
                    "revoked": _count("Revocations: of one identity, of a prefix or of everything."),
                }
            ),
            "ledger": _object(
                {
                    "status": _DATABASE,
                    "waiting": _count("Rows that wait to be written now; more than a few: it is away or slow."),
                    "dropped": _count("Rows that it will never have: there was no memory left to wait in."),
                    "rows": _count("Rows written."),
                    "commits": _count("Commits, each of many rows."),
                    "failures": _count("Tries that found it locked, full or away."),
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
                    "status": _REDIS,
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
