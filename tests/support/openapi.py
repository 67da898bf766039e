"""The OpenAPI document, and validators of its schemas."""

from typing import Any

import jsonschema_rs

from arsenal_fast.api.openapi import document
from arsenal_fast.api.routes import ROUTES
from tests.support.rig import Rig

BASE_URL = "https://identity.api.yourbook.com"

ID = "player-123456@sports.api.yourbook.com/v1:id"

MOMENT = "2025-11-22T10:00:00.000Z"

DOCUMENT = document(BASE_URL)

OPERATIONS = [(route, DOCUMENT["paths"][route.path][route.method.lower()]) for route in ROUTES if route.summary]


def validator(name: str) -> Any:
    """A validator of one schema of the document, with its references in reach and its formats checked."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def bearer(rig: Rig, *scopes: str) -> dict[str, str]:
    """The field of a good service token."""
    return {"Authorization": rig.bearer(*scopes, subject="ops")}
