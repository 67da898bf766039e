"""No pattern has a possessive group: up to Python 3.11.4 one that contains a run matches wrongly (gh-101955).

Runs of a class may be possessive. On Debian 12, whose Python is 3.11.2, such groups made every identity malformed.
"""

import ast
import re
from pathlib import Path

import pytest

import arsenal_fast

ROOT = Path(arsenal_fast.__file__).parent
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*?+]|\{[^}]*\})\+")


def possessive_groups(source: str) -> list[str]:
    """The string constants of a module that read like patterns with a possessive group."""
    constants = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    texts = [value.decode("latin-1") if isinstance(value, bytes) else value for value in constants]
    return [text for text in texts if isinstance(text, str) and _POSSESSIVE_GROUP.search(_CLASS.sub("C", text))]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_group_is_possessive(path: Path) -> None:
    assert possessive_groups(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("pattern", [r"(?:a++\.)*+", r"(a)?+", r"(?:ab){0,9}+x", r"(?:[()*+]a)++"])
def test_such_a_group_is_seen(pattern: str) -> None:
    assert possessive_groups(f"re.compile({pattern!r})") == [pattern]


@pytest.mark.parametrize("pattern", [r"[()*+,;=]*+", r"(?:a++\.)*b", r"\)*+", r"[a-z]{1,3}+"])
def test_a_possessive_run_of_a_class_is_none(pattern: str) -> None:
    assert possessive_groups(f"re.compile({pattern!r})") == []
