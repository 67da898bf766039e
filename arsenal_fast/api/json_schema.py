"""Builds JSON schemas (2020-12).

Each builder takes further keywords. ``example`` is not one of JSON Schema: it is the example of a member, from which
the examples of its object are made; :func:`published` leaves it out.
"""

from collections.abc import Iterable
from typing import Any, Final

Schema = dict[str, Any]

TIMESTAMP_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"


def published(schema: Schema) -> Schema:
    """Return a schema without its ``example``."""
    return {keyword: value for keyword, value in schema.items() if keyword != "example"}


def named(schema: Schema) -> Schema:
    """Return the form of a schema below ``components.schemas``, where JSON Schema has ``examples``."""
    examples = {"examples": [schema["example"]]} if "example" in schema else {}
    return {**published(schema), **examples}


def described(schema: Schema) -> Schema:
    """Return the form of a parameter or header, where OpenAPI has description and example beside the schema."""
    beside: Schema = {keyword: schema[keyword] for keyword in ("description", "example") if keyword in schema}
    return {**beside, "schema": {keyword: value for keyword, value in schema.items() if keyword not in beside}}


def object_of(members: dict[str, Schema], *, optional: tuple[str, ...] = (), **keywords: Any) -> Schema:
    """Return the schema of an object; it has an example where all of its required members have one."""
    properties = {name: published(schema) for name, schema in members.items()}
    required = [name for name in members if name not in optional]
    example = {name: schema["example"] for name, schema in members.items() if "example" in schema}
    if example and example.keys() >= set(required):
        keywords["example"] = example
    return {"type": "object", "properties": properties, "required": required, **keywords}


def body_of(members: dict[str, Schema], **keywords: Any) -> Schema:
    """Return the schema of a request body, which admits no other members."""
    return object_of(members, additionalProperties=False, **keywords)


def one_of(*forms: Schema) -> Schema:
    """Return the schema of what has one of several forms, with the examples of all."""
    examples = [form["example"] for form in forms if "example" in form]
    return {"oneOf": list(map(published, forms)), "examples": examples}


def array_of(items: Schema, description: str, **keywords: Any) -> Schema:
    if "example" in items:
        keywords.setdefault("example", [items["example"]])
    return {"type": "array", "items": published(items), "description": description, **keywords}


def string(description: str, **keywords: Any) -> Schema:
    return {"type": "string", "description": description, **keywords}


def text(pattern: str, longest: int, description: str, **keywords: Any) -> Schema:
    """Return the schema of a string that is not empty."""
    return string(description, pattern=pattern, minLength=1, maxLength=longest, **keywords)


def boolean(description: str, **keywords: Any) -> Schema:
    return {"type": "boolean", "description": description, **keywords}


def count(description: str, minimum: int = 0, **keywords: Any) -> Schema:
    return {"type": "integer", "minimum": minimum, "description": description, **keywords}


def number(description: str, **keywords: Any) -> Schema:
    return {"type": "number", "minimum": 0, "description": description, **keywords}


def word(description: str, values: Iterable[str], **keywords: Any) -> Schema:
    return string(description, enum=list(values), **keywords)


def constant(value: str) -> Schema:
    return {"const": value, "example": value}


def nullable(schema: Schema, **keywords: Any) -> Schema:
    return {**schema, "type": [schema["type"], "null"], **keywords}


def timestamp(description: str, **keywords: Any) -> Schema:
    """Return the schema of a moment as the service writes it."""
    described = f"{description} RFC 3339, UTC, milliseconds."
    return string(described, format="date-time", pattern=TIMESTAMP_PATTERN, **keywords)
