"""Parts of the schemas: patterns, builders, fields, query parameters, examples.

Ranges and limits are imported from the code that enforces them. Patterns can't be: JSON Schema takes
ECMA-262 expressions, which have no possessive quantifiers. They are written here once more, and a test
holds that they admit exactly what :mod:`arsenal_fast.identity.grammar` admits.
"""

from typing import Any, Final

from arsenal_fast.api.fastpath.render import KIND
from arsenal_fast.api.fastpath.response_cache import DEFAULT_VERSION
from arsenal_fast.api.handlers.audit import DEFAULT_LIMIT
from arsenal_fast.api.handlers.identities import DEFAULT_PREFIX
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.identity.grammar import MAX_DOMAIN, MAX_ID, MAX_LOCAL, MAX_PART
from arsenal_fast.identity.runs import DRAWN, LENGTH, MAX_PREFIX
from arsenal_fast.identity.validity import DEFAULT_TTL, MAX_TTL, MIN_TTL
from arsenal_fast.ledger.model import MAX_PAGE
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

DOMAIN_EXAMPLE: Final = "sports.api.yourbook.com"
EMAIL_EXAMPLE: Final = f"player-123456@{DOMAIN_EXAMPLE}"
ID_EXAMPLE: Final = f"{EMAIL_EXAMPLE}/v1:id"
GENERATED: Final = "2026-11-22T10:00:00.000Z"
EXPIRES: Final = "2026-11-22T11:00:00.000Z"
REVOKED: Final = "2026-11-22T10:20:00.000Z"
JWT: Final = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0"
    ".Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk"
)
CURSOR_EXAMPLE: Final = "1795341600000-4711"
PARTS_EXAMPLE: Final = {"prefix": "player", "run": "123456", "domain": DOMAIN_EXAMPLE, "version": "v1"}
LIFE_EXAMPLE: Final = {
    "ttl": DEFAULT_TTL,
    "generated": GENERATED,
    "expires": EXPIRES,
    "token": JWT,
}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(properties: Schema, *, optional: tuple[str, ...] = (), **keywords: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **keywords}


def array_of(items: Schema, description: str) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": MAX_ROWS, "description": description}


def text(pattern: str, longest: int, description: str, **keywords: Any) -> Schema:
    return {
        "type": "string",
        "pattern": pattern,
        "minLength": 1,
        "maxLength": longest,
        "description": description,
        **keywords,
    }


def count(description: str, **keywords: Any) -> Schema:
    return {"type": "integer", "minimum": 0, "description": description, **keywords}


def number(description: str, **keywords: Any) -> Schema:
    return {"type": "number", "minimum": 0, "description": description, **keywords}


def word(description: str, *values: str) -> Schema:
    return {"type": "string", "enum": list(values), "description": description}


def nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def timestamp(description: str) -> Schema:
    return {
        "type": "string",
        "format": "date-time",
        "pattern": TIMESTAMP_PATTERN,
        "description": f"{description} RFC 3339, UTC, milliseconds.",
    }


def moment(description: str) -> Schema:
    return {
        "type": "string",
        "format": "date-time",
        "pattern": MOMENT_PATTERN,
        "description": f"{description} RFC 3339, with `Z` or an offset, at most nanoseconds; milliseconds count.",
    }


_TOGETHER: Final = f"Prefix and run, with the `-` between them, have at most {MAX_LOCAL} characters."

PREFIX: Final = text(
    PREFIX_PATTERN,
    MAX_PART,
    f"What the identity is for. No `-`: the first `-` of an identity ends its prefix. {_TOGETHER} Without a run the "
    f"prefix has at most {MAX_PREFIX}. Left out: `{DEFAULT_PREFIX}`.",
)
RUN: Final = text(
    RUN_PATTERN,
    MAX_PART,
    f"Whom or which run it is for: a number, a UUID, a word. Left out: a new one that nobody can guess is drawn, `_` "
    f"and {LENGTH - 1} of `0-9 a-z` without `i l o u`, in the order of time. Runs of that form can't be named. "
    f"{_TOGETHER}",
    **{"not": {"pattern": DRAWN_PATTERN}},
)
ANY_PREFIX: Final = text(PREFIX_PATTERN, MAX_PART, "Up to the first `-`.")
ANY_RUN: Final = text(RUN_PATTERN, MAX_PART, "After the first `-`, named or drawn.")
DOMAIN: Final = text(
    DOMAIN_PATTERN, MAX_DOMAIN, "Domain of the identity, folded to lower case. Left out: the service's own."
)
VERSION: Final = text(VERSION_PATTERN, 4, f"Version of the identity. Left out: `{DEFAULT_VERSION}`.")
TTL: Final = {
    "type": "integer",
    "minimum": MIN_TTL,
    "maximum": MAX_TTL,
    "description": "Whole seconds to live (`3600`, not `3600.0`), for the request that issues; "
    f"a living identity keeps its own. Left out: {DEFAULT_TTL}.",
}

ISSUED_ID: Final = text(ID_PATTERN, MAX_ID, "The identity.")
ISSUED_EMAIL: Final = text(
    EMAIL_PATTERN, MAX_LOCAL + 1 + MAX_DOMAIN, "The part before `/`: a valid RFC 5322 addr-spec."
)
ISSUED_DOMAIN: Final = text(ISSUED_DOMAIN_PATTERN, MAX_DOMAIN, "Domain, in lower case.")
ISSUED_PARTS: Final = {
    "prefix": ANY_PREFIX,
    "run": ANY_RUN,
    "domain": ISSUED_DOMAIN,
    "version": text(VERSION_PATTERN, 4, "Version of the identity."),
    "type": {"const": KIND},
}
ISSUED_LIFE: Final = {
    "ttl": {
        "type": "integer",
        "minimum": MIN_TTL,
        "maximum": MAX_TTL,
        "description": "Whole length of its life in seconds.",
    },
    "generated": timestamp("When it was issued or renewed."),
    "expires": timestamp("When it ends, unless it is renewed; at least a quarter of its TTL ahead."),
    "token": text(
        JWT_PATTERN,
        MAX_TOKEN,
        "Identity token of this life, a JWT: `iss`, `sub` (the identity), `iat`, `exp`, `jti`. "
        "Its bearer counts as the holder of the identity, and may revoke it.",
    ),
}

LIMIT: Final = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_PAGE,
    "description": f"Events of a page, at most. Left out: {DEFAULT_LIMIT}.",
}
SINCE: Final = moment("Events of this moment and later.")
UNTIL: Final = moment("Events before this moment.")
AFTER: Final = text(CURSOR_PATTERN, 37, "The `cursor` of the page before: the next page begins there.")


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
    "domain": _parameter("domain", DOMAIN, DOMAIN_EXAMPLE),
    "version": _parameter("version", VERSION, "v1"),
    "ttl": _parameter("ttl", TTL, DEFAULT_TTL),
    "any_prefix": _parameter("prefix", ANY_PREFIX, "player"),
    "any_run": _parameter("run", ANY_RUN, "123456"),
    "since": _parameter("since", SINCE, GENERATED),
    "until": _parameter("until", UNTIL, EXPIRES),
    "limit": _parameter("limit", LIMIT, DEFAULT_LIMIT),
    "cursor": _parameter("cursor", AFTER, CURSOR_EXAMPLE),
}
"""Query parameters by the name that rows use, as OpenAPI parameter objects."""
