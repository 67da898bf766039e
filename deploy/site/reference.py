"""The reference of the site, from the tables of the service: OpenAPI document, configuration, metrics."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from arsenal_fast.api import openapi
from arsenal_fast.config import schema
from arsenal_fast.observability import exposition

Object = Mapping[str, Any]

_BASE_URL: Final = "http://localhost:3655"  # as `make run` serves
_SCHEMAS: Final = "#/components/schemas/"


def pages() -> dict[str, str]:
    """Return the text of each page by its place on the site."""
    return {"reference/api.md": api(), "reference/configuration.md": configuration(), "reference/metrics.md": metrics()}


def configuration() -> str:
    """Return the page of the environment variables."""
    return (
        "# Configuration\n\nThe service reads its configuration from environment variables; `arsenal-fast check` "
        "prints the effective values, or what is wrong with them. Those marked *required* must be set where `NODE_ENV` "
        f"is `production`.\n\n{schema.markdown_table()}\n"
    )


def metrics() -> str:
    """Return the page of the metrics."""
    return (
        "# Metrics\n\n`GET /api/metrics` has them in the text format of Prometheus or as OpenMetrics, by `Accept`; "
        "`GET /api/telemetry` has the same values as JSON, without histograms. Labels have fixed sets of values. "
        "[Monitoring](../monitoring.md) says what to watch, and has the alerts.\n\n"
        f"{exposition.markdown_table()}\n"
    )


def api() -> str:
    """Return the page of the operations and their schemas."""
    return "\n\n".join(_api(openapi.document(_BASE_URL))) + "\n"


def _api(document: Object) -> Iterator[str]:
    yield "# API"
    yield (
        "From the OpenAPI document of the service, which has it at `/api/openapi.json`, and a page to try each "
        "operation at `/api/docs`."
    )
    yield document["info"]["description"].strip()
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    for tag in document["tags"]:
        yield f"## {tag['name'].capitalize()}\n\n{tag['description']}"
        for name, operation in operations:
            if tag["name"] in operation["tags"]:
                yield from _operation(name, operation, document)
    yield "## Schemas"
    for name, each in document["components"]["schemas"].items():
        yield from _schema(name, each)


def _operation(name: str, operation: Object, document: Object) -> Iterator[str]:
    yield f"### `{name}`\n\n**{operation['summary']}.** {operation.get('description', '')}"
    scopes = [scope for each in operation.get("security", ()) for names in each.values() for scope in names]
    if scopes:
        needed = "needs" if {} not in operation["security"] else "may need"
        yield f"It {needed} a service token of scope {' or '.join(f'`{scope}`' for scope in scopes)}."
    parameters = [_resolved(each, document) for each in operation.get("parameters", ())]
    if parameters:
        rows = [(f"`{each['name']}`", each["in"], _type(each["schema"]), each["description"]) for each in parameters]
        yield _table(("Parameter", "In", "Type", "What it is"), rows)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"**Body** (`{media_type}`): {_type(content['schema'])}"
    answers = [(f"`{status}`", _answer(each), each["description"]) for status, each in operation["responses"].items()]
    yield _table(("Status", "Body", "When"), answers)


def _schema(name: str, each: Object) -> Iterator[str]:
    yield f"### {name}\n\n{each.get('description', '')}".rstrip()
    choices = [*each.get("oneOf", ()), *each.get("anyOf", ())]
    if choices:
        yield "One of " + ", ".join(_type(choice) for choice in choices) + "."
    members = each.get("properties", {})
    if members:
        required = each.get("required", ())
        rows = [
            (f"`{member}`", _type(kind), "yes" if member in required else "", kind.get("description", ""))
            for member, kind in members.items()
        ]
        yield _table(("Member", "Type", "Required", "What it is"), rows)


def _resolved(each: Object, document: Object) -> Object:
    """Return a parameter that may be a reference to a component."""
    if "$ref" not in each:
        return each
    found: Object = document["components"]["parameters"][each["$ref"].rpartition("/")[2]]
    return found


def _answer(response: Object) -> str:
    """Return the schema of a response's body, or its media type."""
    for media_type, content in response.get("content", {}).items():
        return _type(content["schema"]) if content.get("schema", {}).get("$ref") else f"`{media_type}`"
    return ""


def _type(each: Object) -> str:
    """Return a type as a reader would say it, with a link where it is a component."""
    if reference := each.get("$ref"):
        name = reference.removeprefix(_SCHEMAS)
        return f"[{name}](#{name.lower()})"
    if "const" in each:
        return f"`{each['const']}`"
    if "enum" in each:
        return ", ".join(f"`{value}`" for value in each["enum"])
    if each.get("type") == "array":
        return f"list of {_type(each['items'])}"
    if choices := [*each.get("oneOf", ()), *each.get("anyOf", ())]:
        return " or ".join(_type(choice) for choice in choices)
    kinds = each.get("type", "any")
    word = kinds if isinstance(kinds, str) else " or ".join(kinds)
    return word + _bounds(each)


def _bounds(each: Object) -> str:
    """Return the range of a number or the length of a string, in words."""
    for low, high, unit in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        if high in each:
            return f", {each.get(low, 0):,} to {each[high]:,}{unit}"
        if each.get(low):
            return f", at least {each[low]:,}{unit}"
    return ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
