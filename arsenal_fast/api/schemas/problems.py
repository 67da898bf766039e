"""The schema of problem responses (RFC 9457)."""

from typing import Final

from arsenal_fast.api.schemas.parts import Schema, object_of

_PROBLEM_EXAMPLE: Final = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "The request has 1 fault; nothing was done.",
    "errors": [{"pointer": "/environments/3/prefix", "detail": "prefix must be 1 to 62 of A-Z a-z 0-9 _ . ..."}],
}

PROBLEMS: Final[dict[str, Schema]] = {
    "Problem": object_of(
        {
            "type": {"type": "string", "format": "uri-reference", "description": "Kind of problem."},
            "title": {"type": "string", "description": "The kind in words."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What is wrong with this request."},
            "errors": {
                "type": "array",
                "minItems": 1,
                "description": "Every bad member or parameter.",
                "items": object_of(
                    {
                        "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into the body."},
                        "parameter": {"type": "string", "description": "Name of the query parameter."},
                        "detail": {"type": "string", "description": "What is allowed."},
                    },
                    optional=("pointer", "parameter"),
                    title="Fault",
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
