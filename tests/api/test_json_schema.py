"""JSON schemas are built from members, and so are their examples."""

import pytest

from arsenal_fast.api import json_schema as built
from arsenal_fast.api.json_schema import Schema

NAME = built.string("A name.", example="a")
SILENT = built.string("No example.")

OBJECTS = [
    ({"name": NAME, "size": built.count("A size.", example=0)}, (), {"name": "a", "size": 0}),
    ({"name": NAME, "more": SILENT}, ("more",), {"name": "a"}),
    ({"name": built.nullable(built.string("Perhaps.", example=None))}, (), {"name": None}),
]


@pytest.mark.parametrize(("members", "optional", "example"), OBJECTS)
def test_an_object_has_the_example_of_its_members(
    members: dict[str, Schema], optional: tuple[str, ...], example: object
) -> None:
    schema = built.object_of(members, optional=optional)
    assert schema["example"] == example
    assert built.named(schema)["examples"] == [example]
    assert "example" not in built.named(schema)


@pytest.mark.parametrize(
    ("members", "optional"), [({"name": NAME, "more": SILENT}, ()), ({"more": SILENT}, ("more",)), ({}, ())]
)
def test_an_object_has_no_example_where_a_required_member_or_every_member_has_none(
    members: dict[str, Schema], optional: tuple[str, ...]
) -> None:
    schema = built.object_of(members, optional=optional)
    assert "example" not in schema
    assert "examples" not in built.named(schema)


def test_no_example_stays_within_the_schema_of_an_object_an_array_or_a_form() -> None:
    inner = built.object_of({"name": NAME})
    array = built.array_of(inner, "Many.")
    assert array["example"] == [{"name": "a"}]
    assert "example" not in array["items"]
    assert "example" not in array["items"]["properties"]["name"]
    forms = built.one_of(inner, SILENT)
    assert forms["examples"] == [{"name": "a"}]
    assert "example" not in forms["oneOf"][0]


def test_an_arrays_own_example_goes_before_that_of_its_items() -> None:
    assert built.array_of(NAME, "Many.", example=["b", "c"])["example"] == ["b", "c"]


def test_a_body_is_closed_and_an_object_is_open() -> None:
    assert built.body_of({"name": NAME})["additionalProperties"] is False
    assert "additionalProperties" not in built.object_of({"name": NAME})


def test_what_is_optional_is_not_required() -> None:
    assert built.object_of({"name": NAME, "more": SILENT}, optional=("more",))["required"] == ["name"]


def test_a_parameter_has_description_and_example_beside_its_schema() -> None:
    assert built.described(NAME) == {"description": "A name.", "example": "a", "schema": {"type": "string"}}
    assert built.described(SILENT) == {"description": "No example.", "schema": {"type": "string"}}


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        (built.nullable(NAME), ["string", "null"]),
        (built.count("A count."), "integer"),
        (built.number("A number."), "number"),
        (built.boolean("Yes or no."), "boolean"),
        (built.word("One of two.", ("a", "b")), "string"),
        (built.timestamp("When."), "string"),
    ],
)
def test_each_builder_names_its_type(schema: Schema, types: object) -> None:
    assert schema["type"] == types
