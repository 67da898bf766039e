"""Parts of the schemas: patterns, fields with their examples, query parameters.

Ranges and limits are imported from the code that enforces them. Patterns can't be: JSON Schema takes
ECMA-262 expressions, which have no possessive quantifiers. They are written here once more, and a test
holds that they admit exactly what :mod:`arsenal_fast.identity.grammar` admits.
"""

from typing import Final

from arsenal_fast.api.fastpath.render import KIND
from arsenal_fast.api.fastpath.response_cache import DEFAULT_VERSION
from arsenal_fast.api.handlers.audit import DEFAULT_LIMIT
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.api.json_schema import Schema, array_of, constant, count, described, string, text, timestamp
from arsenal_fast.api.limits import DEFAULT_PREFIX
from arsenal_fast.identity.grammar import MAX_DOMAIN, MAX_ID, MAX_LOCAL, MAX_PART
from arsenal_fast.identity.runs import DRAWN, LENGTH, MAX_PREFIX
from arsenal_fast.identity.validity import DEFAULT_TTL, MAX_TTL, MIN_TTL
from arsenal_fast.ledger.model import MAX_PAGE
from arsenal_fast.tokens.claims import ID_LENGTH, MAX_TOKEN

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
MOMENT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
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


def ref(name: str, **keywords: object) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}", **keywords}


def rows_of(items: Schema, description: str, **keywords: object) -> Schema:
    """Return the schema of the rows of a batch or a list."""
    return array_of(items, description, minItems=1, maxItems=MAX_ROWS, **keywords)


def moment(description: str, example: str) -> Schema:
    """Return the schema of a moment as the service reads it."""
    described = f"{description} RFC 3339, with `Z` or an offset; milliseconds count."
    return string(described, format="date-time", pattern=MOMENT_PATTERN, example=example)


_TOGETHER: Final = f"Prefix and run, with the `-` between them, have at most {MAX_LOCAL} characters."

PREFIX: Final = text(
    PREFIX_PATTERN,
    MAX_PART,
    f"What the identity is for. No `-`: the first `-` of an identity ends its prefix. {_TOGETHER} Without a run the "
    f"prefix has at most {MAX_PREFIX}. Left out: `{DEFAULT_PREFIX}`.",
    example="player",
)
RUN: Final = text(
    RUN_PATTERN,
    MAX_PART,
    f"The user or run it is for: a number, a UUID, a word. Left out: a new one that can't be guessed is drawn, `_` "
    f"and {LENGTH - 1} of `0-9 a-z` without `i l o u`, in the order of time. Runs of that form can't be named. "
    f"{_TOGETHER}",
    **{"not": {"pattern": DRAWN_PATTERN}},
    example="123456",
)
ANY_PREFIX: Final = text(PREFIX_PATTERN, MAX_PART, "Up to the first `-`.", example="player")
ANY_RUN: Final = text(RUN_PATTERN, MAX_PART, "After the first `-`, named or drawn.", example="123456")
DOMAIN: Final = text(
    DOMAIN_PATTERN,
    MAX_DOMAIN,
    "Domain of the identity, folded to lower case. Left out: the service's own.",
    example=DOMAIN_EXAMPLE,
)
ISSUED_VERSION: Final = text(VERSION_PATTERN, 4, "Version of the identity.", example="v1")
VERSION: Final = {**ISSUED_VERSION, "description": f"Version of the identity. Left out: `{DEFAULT_VERSION}`."}
TTL: Final = count(
    "Whole seconds to live (`3600`, not `3600.0`), for the request that issues; a living identity keeps its own. "
    f"Left out: {DEFAULT_TTL}.",
    MIN_TTL,
    maximum=MAX_TTL,
    example=DEFAULT_TTL,
)

ISSUED_ID: Final = text(ID_PATTERN, MAX_ID, "The identity.", example=ID_EXAMPLE)
ISSUED_DOMAIN: Final = text(ISSUED_DOMAIN_PATTERN, MAX_DOMAIN, "Domain, in lower case.", example=DOMAIN_EXAMPLE)
ISSUED_PARTS: Final = {
    "prefix": ANY_PREFIX,
    "run": ANY_RUN,
    "domain": ISSUED_DOMAIN,
    "version": ISSUED_VERSION,
    "type": constant(KIND),
}
ISSUED: Final = {
    "id": ISSUED_ID,
    "email": text(
        EMAIL_PATTERN,
        MAX_LOCAL + 1 + MAX_DOMAIN,
        "The part before `/`: a valid RFC 5322 addr-spec.",
        example=EMAIL_EXAMPLE,
    ),
    "ttl": count("Whole length of its life in seconds.", MIN_TTL, maximum=MAX_TTL, example=DEFAULT_TTL),
    "generated": timestamp("When it was issued or renewed.", example=GENERATED),
    "expires": timestamp("When it ends, unless it is renewed; at least a quarter of its TTL ahead.", example=EXPIRES),
    "token": text(
        JWT_PATTERN,
        MAX_TOKEN,
        "Identity token of this life, a JWT: `iss`, `sub` (the identity), `iat`, `exp`, `jti`. "
        "Its bearer counts as the holder of the identity, and may revoke it.",
        example=JWT,
    ),
}
CURSOR: Final = text(CURSOR_PATTERN, 37, "Where a page begins.", example=CURSOR_EXAMPLE)


SUBJECT: Final = text(
    "^[A-Za-z0-9][A-Za-z0-9._~@:/+-]*$",
    128,
    "Whom the token is for: who is charged, logged and audited.",
    example="sports-book",
)
TOKEN_CURSOR: Final = text(
    f"^[0-9]{{1,15}}-[0-9a-f]{{{ID_LENGTH}}}$",
    16 + ID_LENGTH,
    "Where a page begins.",
    example="1795341600000-5b1f0c9d2e7a48b63c11",
)


PARAMETERS: Final[dict[str, Schema]] = {
    name: {"name": name.removeprefix("any_").removeprefix("token_"), "in": "query", **described(schema)}
    for name, schema in {
        "prefix": PREFIX,
        "run": RUN,
        "domain": DOMAIN,
        "version": VERSION,
        "ttl": TTL,
        "any_prefix": ANY_PREFIX,
        "any_run": ANY_RUN,
        "since": moment("Events of this moment and later.", GENERATED),
        "until": moment("Events before this moment.", EXPIRES),
        "subject": {**SUBJECT, "description": "Tokens of this subject only."},
        "token_cursor": {**TOKEN_CURSOR, "description": "The `cursor` of the page before: the next page begins there."},
        "limit": count("Rows of a page, at most.", 1, maximum=MAX_PAGE, default=DEFAULT_LIMIT, example=DEFAULT_LIMIT),
        "cursor": {**CURSOR, "description": "The `cursor` of the page before: the next page begins there."},
    }.items()
}
"""Query parameters by the name that rows use, as OpenAPI parameter objects."""
