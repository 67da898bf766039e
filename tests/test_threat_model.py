"""The threat model names a test for each threat, and each of them exists; so do those of the page on reliability."""

import ast
import re
from functools import cache
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Final

import pytest

from tests.support.fault_report import ROWS

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = "docs/threat-model.md"
HEADER: Final = ["Threat", "What bounds it", "Default", "Test"]
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
KNOWN: Final = "tests/stores/redis/test_full.py::test_a_flood_of_identities_resets_no_limit_and_forgets_no_revocation"


def page() -> str:
    return (ROOT / PAGE).read_text(encoding="utf-8")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def threats(text: str) -> list[list[str]]:
    """Return the rows of the table of threats."""
    lines = dropwhile(lambda line: cells(line) != HEADER, text.splitlines())
    return [cells(line) for line in takewhile(lambda line: line.startswith("|"), lines)][2:]


@cache
def functions(path: Path) -> frozenset[str]:
    """Return the names of a file's functions; none where there is no such file."""
    if not path.is_file():
        return frozenset()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def faults(text: str) -> list[str]:
    """Return what is wrong with the tests that the table names."""
    found = []
    for row in threats(text):
        if len(row) != len(HEADER):
            found.append(f"{row[0]}: {len(row)} cells")
            continue
        threat, tests = row[0], row[-1]
        named = TEST.findall(tests)
        if not named:
            found.append(f"{threat}: no test")
        if rest := TEST.sub("", tests).strip():
            found.append(f"{threat}: not a test: {rest}")
        found += [
            f"{threat}: there is no {path}::{name}"
            for path, name in named
            if not name.startswith("test_") or name not in functions(ROOT / path)
        ]
    return found


def test_each_threat_names_tests_that_exist() -> None:
    assert threats(page()), "there is no table"
    assert faults(page()) == []


def test_each_test_that_the_page_on_reliability_or_make_faults_names_exists() -> None:
    named = TEST.findall((ROOT / "docs/reliability.md").read_text(encoding="utf-8"))
    assert len(named) > 30
    named += [(f"tests/{path}", name) for path, _, name in (row.test.partition("::") for row in ROWS)]  # make faults
    assert [(path, name) for path, name in named if name not in functions(ROOT / path)] == []


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        (
            "`tests/stores/redis/test_full.py::test_made_up`",
            "there is no tests/stores/redis/test_full.py::test_made_up",
        ),
        ("`tests/test_made_up.py::test_a`", "there is no tests/test_made_up.py::test_a"),
        ("`tests/stores/redis/test_full.py::shipped`", "there is no tests/stores/redis/test_full.py::shipped"),
        ("tests/stores/redis/test_full.py", "not a test: tests/stores/redis/test_full.py"),
    ],
    ids=["function", "file", "no test", "no name"],
)
def test_a_name_that_is_made_up_is_found(named: str, fault: str) -> None:
    (found,) = faults(page().replace(f"`{KNOWN}`", named))
    assert found.endswith(fault)


def test_a_threat_without_a_test_is_found() -> None:
    row = "| A threat | a bound | always | |"
    separator = "|---|---|---|---|"
    text = "\n".join(["| " + " | ".join(HEADER) + " |", separator, row])
    assert faults(text) == ["A threat: no test"]


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md"])
def test_the_page_is_linked(name: str) -> None:
    assert f"]({PAGE})" in (ROOT / name).read_text(encoding="utf-8")
