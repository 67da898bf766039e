"""The OpenAPI 3.1 document, a rendering of the table of routes.

Rows have what is specific to them; rules here add what is common (problems of all rows, rate-limit headers below
``/api/v1/``, limits of bodies, service tokens). Nothing here is specific to one path: that belongs to its row.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson

from arsenal_fast import __version__
from arsenal_fast.api.json_schema import count, described, string
from arsenal_fast.api.problems import KIND_OF_STATUS, PATH
from arsenal_fast.api.router import Route
from arsenal_fast.api.routes import ROUTES
from arsenal_fast.api.schemas import PARAMETERS, SCHEMAS
from arsenal_fast.api.schemas.parts import ref

Object = dict[str, Any]

TITLE: Final = "Arsenal Identity Service"
_DESCRIPTION: Final = """\
An identity is `player-123456@sports.api.yourbook.com/v1:id`; the part before `/` is a valid e-mail address.

Errors are RFC 9457 `application/problem+json`; a request with bad members names every one of them in `errors`. The
`type` of a problem is the path of a page that says what it means: `/problems` has all of them. A query parameter that
is not known is refused; tracking parameters (`utm_*`, `gclid` and the like) pass.
Besides what each operation lists, any request can be answered 404, 408 (too slow), 414, 431 (too long), 501 or 505,
with the same kind of body. `GET` rows answer `HEAD`, all paths answer `OPTIONS`.

Everything below `/api/v1/` is charged to the caller's rate limit and says in its header fields what is left;
the rest is free. A service token (`Authorization: Bearer`) is charged to its own limit in place of the address's.
A bad one is refused with 401, at the expense of the address. A service token of scope `behalf` can name the end user of
a request (`Arsenal-Subject`), who then has a limit of its own besides.

An `X-Request-Id` of up to 128 visible characters is sent back; for a request without one an id is made. The same id is
in the access log, the ledger and the problem.
"""
_TAGS: Final = {
    "identities": "Issue, validate, revoke, and read what has happened.",
    "tokens": "Mint, list, limit and withdraw service tokens.",
    "operations": "For probes, scrapers and the people who run it; free of charge.",
    "documentation": "This document and its page; free of charge.",
}

HEADERS: Final[dict[str, Object]] = {
    name: described(schema)
    for name, schema in {
        "X-RateLimit-Limit": count(
            "Requests that the caller may make in a window. Absent where no limit is set.", 1, example=100
        ),
        "X-RateLimit-Remaining": count("Requests that would pass now.", example=99),
        "X-RateLimit-Reset": count("Seconds from now until all of the limit is there again.", example=36),
        "RateLimit-Policy": string(
            "The policy: `q` requests in `w` seconds (draft-ietf-httpapi-ratelimit-headers). With `Arsenal-Subject` "
            "two: the caller's and the subject's.",
            pattern='^"[a-z]+";q=[0-9]+;w=[0-9]+(, "[a-z]+";q=[0-9]+;w=[0-9]+)*$',
            example='"default";q=100;w=3600',
        ),
        "RateLimit": string(
            "What is left of it: `r` requests now, all of them in `t` seconds.",
            pattern='^"[a-z]+";r=[0-9]+;t=[0-9]+(, "[a-z]+";r=[0-9]+;t=[0-9]+)*$',
            example='"default";r=99;t=36',
        ),
        "Retry-After": count("Seconds after which the request is worth repeating.", 1, example=36),
        "X-Request-Id": string("The request's own `X-Request-Id`, or one made here.", minLength=1, maxLength=128),
        "WWW-Authenticate": string(
            "What would do (RFC 6750). Absent from a 403 that another service token would not change.",
            pattern='^Bearer realm="[a-z-]+"(, [a-z_]+="[^"]+")*$',
            example='Bearer realm="arsenal-identity", error="insufficient_scope", scope="audit"',
        ),
        "Allow": string("Methods that the path answers to.", example="GET, HEAD, OPTIONS"),
        "Accept": string("Media type that the body must have.", example="application/json"),
        "Accept-Encoding": string(
            "Present where the body's `Content-Encoding` is why: no other coding is taken.", example="identity"
        ),
        "ETag": string("Send it as `If-None-Match` to be answered 304 while nothing has changed."),
    }.items()
}
_RATE_LIMIT: Final = tuple(name for name in HEADERS if "RateLimit" in name)

_PROBLEMS: Final[dict[int, tuple[str, str, str, tuple[str, ...]]]] = {
    400: ("", "The request is malformed, or members of it are.", "The request has 1 fault; nothing was done.", ()),
    401: (
        "is_api",
        "The service token is bad, or one is needed and none came.",
        "The token has expired.",
        ("WWW-Authenticate",),
    ),
    403: (
        "may_be_forbidden",
        "The service token lacks the scope.",
        "The audit needs the scope audit.",
        ("WWW-Authenticate",),
    ),
    405: ("", "The path does not answer to this method.", "This path answers to GET, HEAD, OPTIONS only.", ("Allow",)),
    413: ("body", "The body is over 1 MiB.", "The body is longer than 1048576 bytes.", ()),
    415: (
        "body",
        "The body is not JSON by its `Content-Type`, or is compressed.",
        "The body must be application/json.",
        ("Accept", "Accept-Encoding"),
    ),
    429: (
        "limited",
        "The caller has used up its rate limit.",
        "This client has used its 100 requests per 3600 s; try again in 36 s.",
        ("Retry-After",),
    ),
    503: (
        "",
        "The service can't take the request now.",
        "There are too many connections; try again.",
        ("Retry-After",),
    ),
}
"""Status -> (field of the rows that have it, empty where all do; description; example of a detail; header fields)."""

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"

SCHEME: Final = "serviceToken"
_SECURITY_SCHEMES: Final[dict[str, Object]] = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A service token, from `arsenal-fast token mint`: a rate limit of its own, and what its scope "
        "allows of `issue` (protected prefixes), `revoke` (others' identities, whole prefixes), `audit`, `metrics`, "
        "`tokens` and `behalf` (`Arsenal-Subject`). Identity tokens are none.",
    }
}

_SUBJECT: Final[Object] = {
    "name": "Arsenal-Subject",
    "in": "header",
    # No example: Swagger UI would send it with every request, and without such a token the field is refused.
    "description": "The end user on whose behalf a service token of scope `behalf` sends the request, such as "
    "`tg-4711`: it is charged to the token's limit and to this subject's, or to neither.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
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


def document_bytes(base_url: str, routes: Sequence[Route]) -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(document(base_url, routes))


def document(base_url: str, routes: Sequence[Route] = ROUTES) -> Object:
    """Return the document for a service that clients reach at ``base_url``. ``routes``: that its port serves."""
    paths: dict[str, Object] = {}
    for route in routes:
        if route.summary:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
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
        "components": {
            "schemas": _components(),
            "parameters": {_SUBJECT["name"]: _SUBJECT},
            "headers": HEADERS,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _components() -> dict[str, Object]:
    """Return the schemas, each object of them a component of its own: code generators name types after components."""
    components: dict[str, Object] = {}
    for name, schema in SCHEMAS.items():
        components[name] = _with_references(schema, name, components)
    return components


def _with_references(schema: Object, name: str, components: dict[str, Object]) -> Object:
    """Return the schema with references to the objects within, which go to the components.

    An object has its ``title`` as name, or where it has none that of the schema that it is in, and of its member.
    """

    def reference(part: Object, member: str = "") -> Object:
        if "properties" not in part:
            return _with_references(part, name + member, components)
        title = part.get("title", name + member)
        untitled = {key: value for key, value in part.items() if key != "title"}
        components[title] = _with_references({**untitled, "type": "object"}, title, components)
        return {"oneOf": [ref(title), {"type": "null"}]} if "null" in part["type"] else ref(title)

    changed: Object = {}
    if "properties" in schema:
        members = schema["properties"].items()
        changed["properties"] = {member: reference(part, member.capitalize()) for member, part in members}
    if "items" in schema:
        changed["items"] = reference(schema["items"])
    if "oneOf" in schema:
        changed["oneOf"] = [reference(part) for part in schema["oneOf"]]
    return {**schema, **changed}


def _operation(route: Route) -> Object:
    name = route.handler.__name__
    rendered: Object = {"operationId": name, "tags": [route.tag], "summary": route.summary}
    if route.description:
        rendered["description"] = route.description
    if route.is_api:
        rendered["security"] = _security(route)
    parameters = [PARAMETERS[parameter] for parameter in route.parameters]
    if route.is_api:
        parameters.append({"$ref": f"#/components/parameters/{_SUBJECT['name']}"})
    if parameters:
        rendered["parameters"] = parameters
    if route.body is not None:
        rendered["requestBody"] = {
            "required": True,
            "content": _content(route.body, _FORM if route.form else _JSON),
        }
    rendered["responses"] = answers = _answers(route)
    if name in _LINKS:
        answers["200"]["links"] = _LINKS[name]
    return rendered


def _security(route: Route) -> list[Object]:
    """Return the security requirement: a service token with the row's scope, or none where tokens are optional."""
    with_token = {SCHEME: [] if route.scope is None else [route.scope]}
    return [with_token] if route.by_token_only else [{}, with_token]


def _answers(route: Route) -> dict[str, Object]:
    """Return the responses by status; a problem of all rows that the row has too gets both bodies."""
    answers: dict[str, Object] = {}
    revalidated = ("ETag",) if HTTPStatus.NOT_MODIFIED in route.answers else ()
    for status, (description, content) in route.answers.items():
        answer: Object = {"description": description, "headers": _headers(route, revalidated)}
        for name in filter(None, content.split(", ")):
            body = _problem(status, description) if name == "Problem" else _content(name)
            answer.setdefault("content", {}).update(body)
        answers[str(status)] = answer
    for status, (field, description, detail, headers) in _PROBLEMS.items():
        if field and not getattr(route, field):
            continue
        answer = answers.setdefault(str(status), {"description": description, "content": {}})
        answer["headers"] = _headers(route, headers)
        answer["content"].update(_problem(status, detail))
    return dict(sorted(answers.items()))


def _content(name: str, media_type: str = _JSON) -> Object:
    if name in SCHEMAS:
        return {media_type: {"schema": ref(name)}}
    return {name: {"schema": {"type": "object" if name.endswith("json") else "string"}}}


def _problem(status: int, detail: str) -> Object:
    kind = KIND_OF_STATUS[status]
    example: Object = {
        "type": f"{PATH}/{kind.name}",
        "title": kind.title,
        "status": status,
        "detail": detail,
        "request_id": "deploy-7",
    }
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        example["violated-policies"] = ["default"]
    return {"application/problem+json": {"schema": ref("Problem"), "example": example}}


def _headers(route: Route, own: tuple[str, ...]) -> Object:
    """Return the headers: every API response has the rate-limit lines, also if it was not charged."""
    names = (*(_RATE_LIMIT if route.is_api else ()), *own, "X-Request-Id")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
