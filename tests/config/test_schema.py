"""The table of variables, and the attributes, README table and example file generated from it."""

import dataclasses
import inspect

from arsenal_fast.config.load import Config, load
from arsenal_fast.config.schema import TABLE, markdown_table
from arsenal_fast.secret import Secret
from tests.support.configuration import PRODUCTION, ROOT


def test_each_variable_is_an_attribute_and_each_attribute_a_variable() -> None:
    attributes = [field.name for field in dataclasses.fields(Config)]
    assert sorted(attributes) == sorted([row.name.lower() for row in TABLE] + ["given", "warnings"])


def test_each_value_has_the_type_that_its_attribute_announces() -> None:
    plain = {"int": int, "str": str, "float": float, "Secret": Secret}
    config = load(PRODUCTION)
    for name, annotation in inspect.get_annotations(Config).items():
        if getattr(annotation, "__name__", "") in plain:
            assert type(getattr(config, name)) is plain[annotation.__name__], name


def test_each_row_stands_by_itself() -> None:
    for row in TABLE:
        assert row.doc.endswith("."), row.name
        assert row.allowed, row.name
        for default in filter(None, (row.default.replace("PORT", "1"), row.in_production)):
            row.read(default)


def test_the_readmes_table_has_a_line_of_four_cells_for_each_variable() -> None:
    lines = markdown_table().splitlines()
    assert len(lines) == len(TABLE) + 2
    assert all(line.count("|") == 5 for line in lines)


def test_the_example_file_has_each_variable_once_with_its_true_default() -> None:
    lines = (ROOT / ".env.production.example").read_text(encoding="utf-8").splitlines()
    told = dict(line.removeprefix("#").split("=", 1) for line in lines if "=" in line and not line.startswith("# "))
    assert list(told) == list(dict.fromkeys(told))
    assert set(told) == {row.name for row in TABLE}
    for row in TABLE:
        if f"#{row.name}=" in "\n".join(lines):
            assert told[row.name] == (row.default if row.in_production is None else row.in_production), row.name


def test_the_guides_variables_are_all_ours() -> None:
    guide = {"NODE_ENV", "PORT", "REDIS_URL", "JWT_SECRET", "API_BASE_URL", "CORS_ORIGIN"}
    assert guide | {"RATE_LIMIT_REQUESTS", "RATE_LIMIT_WINDOW"} <= {row.name for row in TABLE}
