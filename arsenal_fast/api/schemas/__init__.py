"""The schemas of requests and responses, as JSON Schema 2020-12; the rows of the route table name them by their keys.

Requests are closed (``additionalProperties: false``, unknown members are refused); responses are open, so
that a member may be added without breaking a client. Examples are those of the guide.
"""

from typing import Final

from arsenal_fast.api.json_schema import Schema, named
from arsenal_fast.api.schemas.identities import IDENTITIES
from arsenal_fast.api.schemas.operations import OPERATIONS
from arsenal_fast.api.schemas.parts import PARAMETERS

__all__ = ["PARAMETERS", "SCHEMAS"]

SCHEMAS: Final[dict[str, Schema]] = {name: named(schema) for name, schema in (IDENTITIES | OPERATIONS).items()}
"""Schemas by the name that rows use; they become ``components.schemas``."""
