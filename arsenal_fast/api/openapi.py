"""The OpenAPI 3.1 document, a rendering of the table of routes.

Rows have what is specific to them; rules here add what is common (problems of all rows, rate-limit headers below
``/api/v1/``, limits of bodies, service tokens). Nothing here is specific to one path: that belongs to its row.
"""

from http import HTTPStatus
from typing import Any, Final

import orjson

from arsenal_fast import __version__
from arsenal_fast.api.problems import QUOTA_EXCEEDED
from arsenal_fast.api.router import API, Operation, Route
from arsenal_fast.api.routes import ROUTES
from arsenal_fast.api.schemas import PARAMETERS, SCHEMAS
from arsenal_fast.http.response import PHRASES

Object = dict[str, Any]

TITLE: Final = "Arsenal Identity Service"
_DESCRIPTION: Final = """\
An identity is `player-123456@sports.api.yourbook.com/v1:id`; the part before `/` is a valid e-mail address.

Errors are RFC 9457 `application/problem+json`; a request with bad members names every one of them in `errors`.
Besides what each operation lists, any request can be answered 404, 408 (too slow), 414, 431 (too long), 501 or 505,
with the same kind of body. `GET` rows answer `HEAD`, all paths answer `OPTIONS`.

Everything below `/api/v1/` is charged to the caller's rate limit and says in its header fields what is left;
the rest is free. A service token (`Authorization: Bearer`) is charged to its own limit in place of the address's.
A bad one is refused with 401, at the expense of the address.

An `X-Request-Id` of up to 128 visible characters is sent back.
"""
_TAGS: Final = {
    "identities": "Issue, validate, revoke, and read what has happened.",
    "operations": "For probes, scrapers and the people who run it; free of charge.",
    "documentation": "This document and its page; free of charge.",
}

HEADERS: Final[dict[str, Object]] = {
    "X-RateLimit-Limit": {
        "description": "Requests that the caller may make in a window. Absent where no limit is set.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 100,
    },
    "X-RateLimit-Remaining": {
        "description": "Requests that would pass now.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 99,
    },
    "X-RateLimit-Reset": {
        "description": "Seconds from now until all of the limit is there again.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 36,
    },
    "RateLimit-Policy": {
        "description": "The policy: `q` requests in `w` seconds (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string", "pattern": '^"[a-z]+";q=[0-9]+;w=[0-9]+$'},
        "example": '"default";q=100;w=3600',
    },
    "RateLimit": {
        "description": "What is left of it: `r` requests now, all of them in `t` seconds.",
        "schema": {"type": "string", "pattern": '^"[a-z]+";r=[0-9]+;t=[0-9]+$'},
        "example": '"default";r=99;t=36',
    },
    "Retry-After": {
        "description": "Seconds after which the request is worth repeating.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 36,
    },
    "X-Request-Id": {
        "description": "The request's own `X-Request-Id`; absent where none came.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "WWW-Authenticate": {
        "description": "What would do (RFC 6750). Absent from a 403 that another service token would not change.",
        "schema": {"type": "string", "pattern": '^Bearer realm="[a-z-]+"(, [a-z_]+="[^"]+")*$'},
        "example": 'Bearer realm="arsenal-identity", error="insufficient_scope", scope="audit"',
    },
    "Allow": {
        "description": "Methods that the path answers to.",
        "schema": {"type": "string"},
        "example": "GET, HEAD, OPTIONS",
    },
    "Accept": {
        "description": "Media type that the body must have.",
        "schema": {"type": "string"},
        "example": "application/json",
    },
    "Accept-Encoding": {
        "description": "Present where the body's `Content-Encoding` is why: no other coding is taken.",
        "schema": {"type": "string"},
        "example": "identity",
    },
    "ETag": {
        "description": "Send it as `If-None-Match` to be answered 304 while nothing has changed.",
        "schema": {"type": "string"},
    },
}
_RATE_LIMIT: Final = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "RateLimit-Policy",
    "RateLimit",
)

_PROBLEMS: Final[dict[int, tuple[str, str, tuple[str, ...]]]] = {
    400: ("The request is malformed, or members of it are.", "The request has 1 fault; nothing was done.", ()),
    401: (
        "The service token is bad, or one is needed and none came.",
        "The token has expired.",
        ("WWW-Authenticate",),
    ),
    403: ("The service token lacks the scope.", "The audit needs the scope audit.", ("WWW-Authenticate",)),
    405: ("The path does not answer to this method.", "This path answers to GET, HEAD, OPTIONS only.", ("Allow",)),
    413: ("The body is over 1 MiB.", "The body has more than 1048576 octets.", ()),
    415: (
        "The body is not JSON by its `Content-Type`, or is compressed.",
        "The body must be application/json.",
        ("Accept", "Accept-Encoding"),
    ),
    429: (
        "The caller has used up its rate limit.",
        "This client has used its 100 requests per 3600 s; try again in 36 s.",
        ("Retry-After",),
    ),
    503: ("The service can't take the request now.", "There are too many connections; try again.", ("Retry-After",)),
}
"""Status -> (description, example of a detail, header fields)."""

SCHEME: Final = "serviceToken"
_SECURITY_SCHEMES: Final[dict[str, Object]] = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A service token, minted by `arsenal-fast token`: a rate limit of its own, and what its scope "
        "allows of `issue` (protected prefixes), `revoke` (others' identities, whole prefixes), `audit` and `metrics`. "
        "Identity tokens are none.",
    }
}

_LINKS: Final[dict[str, Object]] = {
    "issue_one": {
        "Validate": {
            "operationId": "validate",
            "requestBody": {"identity": "$response.body#/id"},
            "description": "What was issued is valid.",
        }
    },
}
"""Links of a success, by operation."""


def document_bytes(base_url: str) -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(document(base_url))


def document(base_url: str) -> Object:
    """Return the document for a service that clients reach at ``base_url``."""
    paths: dict[str, Object] = {}
    for route in ROUTES:
        if route.operation is not None:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, route.operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": __version__,
            "summary": "Disposable e-mail identities: self-describing, expiring, verifiable.",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": [],
        "paths": paths,
        "components": {"schemas": _named_schemas(), "headers": HEADERS, "securitySchemes": _SECURITY_SCHEMES},
    }


def _named_schemas() -> dict[str, Object]:
    """Return the schemas, each object of them a component of its own: code generators name types after components."""
    components: dict[str, Object] = {}
    for name, schema in SCHEMAS.items():
        components[name] = _with_references(schema, components)
    return components


def _with_references(value: Any, components: dict[str, Object]) -> Any:
    """Return a copy with a reference for each schema that has a title, which goes to the components."""
    if isinstance(value, list):
        return [_with_references(item, components) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {key: item if key == "examples" else _with_references(item, components) for key, item in value.items()}
    if not isinstance(title := copy.get("title"), str):  # a member may have the name, too
        return copy
    del copy["title"]
    reference = {"$ref": f"#/components/schemas/{title}"}
    nullable = copy["type"] == ["object", "null"]
    components[title] = {**copy, "type": "object"}
    return {"oneOf": [reference, {"type": "null"}]} if nullable else reference


def _operation(route: Route, operation: Operation) -> Object:
    name = route.handler.__name__
    rendered: Object = {"operationId": name, "tags": [operation.tag], "summary": operation.summary}
    if operation.description:
        rendered["description"] = operation.description
    if _knows_tokens(route):
        rendered["security"] = _security(operation)
    if operation.parameters:
        rendered["parameters"] = [PARAMETERS[parameter] for parameter in operation.parameters]
    if operation.body is not None:
        rendered["requestBody"] = {"required": True, "content": _content(operation.body)}
    answers = {
        str(status): _answer(route, operation, status, description, content)
        for status, (description, content) in operation.answers.items()
    }
    for status in _shared_problems(route, operation):
        _add_problem(answers, route, status)
    if name in _LINKS:
        answers["200"]["links"] = _LINKS[name]
    rendered["responses"] = dict(sorted(answers.items()))
    return rendered


def _knows_tokens(route: Route) -> bool:
    return route.path.encode("ascii").startswith(API)


def _security(operation: Operation) -> list[Object]:
    """Return the security requirement: a service token with the row's scope, or none where tokens are optional."""
    with_token = {SCHEME: [] if operation.scope is None else [operation.scope]}
    return [with_token] if operation.by_token_only else [{}, with_token]


def _answer(route: Route, operation: Operation, status: int, description: str, content: str) -> Object:
    """``content``: names of schemas or media types, comma apart; empty where there is no body."""
    revalidated = ("ETag",) if HTTPStatus.NOT_MODIFIED in operation.answers else ()
    answer: Object = {"description": description, "headers": _headers(route, revalidated)}
    if content:
        answer["content"] = {}
        for name in content.split(", "):
            answer["content"].update(_problem(status, description) if name == "Problem" else _content(name))
    return answer


def _content(name: str) -> Object:
    if name in SCHEMAS:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {name: {"schema": {"type": "object" if name.endswith("json") else "string"}}}


def _problem(status: int, detail: str) -> Object:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"application/problem+json": {"schema": schema, "example": _example(status, detail)}}


def _shared_problems(route: Route, operation: Operation) -> tuple[int, ...]:
    return (
        400,
        *((401,) if _knows_tokens(route) else ()),
        *((403,) if operation.scope is not None else ()),
        405,
        *((413, 415) if operation.body is not None else ()),
        *((429,) if route.limited else ()),
        503,
    )


def _add_problem(answers: dict[str, Object], route: Route, status: int) -> None:
    """Add the problem to the responses; a status that the row has too gets both bodies."""
    description, detail, headers = _PROBLEMS[status]
    answer = answers.setdefault(str(status), {"description": description, "content": {}})
    answer["headers"] = _headers(route, headers)
    answer["content"].update(_problem(status, detail))


def _example(status: int, detail: str) -> Object:
    if status != HTTPStatus.TOO_MANY_REQUESTS:
        return {
            "type": "about:blank",
            "title": PHRASES[status],
            "status": status,
            "detail": detail,
        }
    return {
        "type": QUOTA_EXCEEDED,
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": status,
        "detail": detail,
        "violated-policies": ["default"],
    }


def _headers(route: Route, own: tuple[str, ...]) -> Object:
    """Return the headers: every API response has the rate-limit lines, also if it was not charged."""
    names = (*(_RATE_LIMIT if route.path.encode("ascii").startswith(API) else ()), *own, "X-Request-Id")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
