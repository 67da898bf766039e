"""The ranks of docs/architecture.md, held by reading every import of the package.

A module imports only from lower ranks, and of its own rank only its own part; rank 0 is pure; the
environment is read where the process is composed and nowhere else. Imports within functions and under
TYPE_CHECKING count too. The checker is tried on bad samples first: one that finds nothing is worth nothing.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "arsenal_fast"
ROOT = Path(__file__).parent.parent / PACKAGE

# The part of a module is the first name below the package.
RANKS = {
    "errors": 0,
    "http": 0,
    "identity": 0,
    "limiting": 0,
    "cache": 0,
    "memory_budget": 0,
    "metrics": 0,
    "secret": 0,
    "redis": 1,
    "memory": 1,
    "ledger": 1,
    "jwt_keys": 1,
    "shared_counters": 1,
    "service": 2,
    "server": 3,
    "variables": 4,
    "readers": 4,
    "config": 4,
    "cgroup": 4,
    "logs": 4,
    "access_log": 4,
    "log_writer": 4,
    "listen_socket": 4,
    "trace_context": 4,
    "certificates": 4,
    "supervisor": 4,
    "worker": 4,
    "pauses": 4,
    "heap_trim": 4,
    "cli": 4,
    "health_command": 4,
    "ledger_command": 4,
    "doctor": 4,
    "token_command": 4,
    "__main__": 4,
}

# What a rank may import of others, where it is not simply "everything below".
ALLOWED = {
    0: {"errors"},
    1: {part for part, rank in RANKS.items() if rank == 0},
    2: {part for part, rank in RANKS.items() if rank == 0},
    3: {"errors", "http", "service"},
    4: set(RANKS),
}

# Rank 0 has no clock, no chance, no surroundings and nobody to talk to.
IMPURE = {
    *("asyncio", "uvloop", "selectors", "select", "socket", "ssl", "threading", "multiprocessing", "concurrent"),
    *("os", "sys", "pathlib", "io", "subprocess", "signal", "environ", "tempfile", "mmap"),
    *("time", "random", "secrets", "uuid", "logging", "warnings", "hiredis", "redis"),
    *("jwt", "cryptography"),
}

COMPOSITION = {"config", "supervisor", "cli", "worker"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def imported(tree: ast.Module) -> Iterator[str]:
    """The dotted name of everything that the module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def reads_environment(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and ENVIRONMENT & {a.name for a in node.names})
        for node in ast.walk(tree)
    )


def violations(part: str, source: str) -> list[str]:
    """Sentences about what the module of this part must not do, and does."""
    if part not in RANKS:
        return [f"{part} has no rank: give it one."]
    rank, tree, found = RANKS[part], ast.parse(source), []
    for name in imported(tree):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top != PACKAGE:
            if rank == 0 and top in IMPURE:
                found.append(f"{part} is of rank 0 and imports {name}.")
        elif other in RANKS and other != part and other not in ALLOWED[rank]:
            found.append(f"{part} is of rank {rank} and imports {other} of rank {RANKS[other]}.")
        elif other not in RANKS and other != "__version__":
            found.append(f"{part} imports {name}, which has no rank.")
    if reads_environment(tree) and part not in COMPOSITION:
        found.append(f"{part} reads the environment.")
    return found


def modules() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_keeps_to_its_rank(path: Path) -> None:
    assert violations(part_of(path), path.read_text(encoding="utf-8")) == []


def test_the_package_itself_imports_nothing() -> None:
    assert list(imported(ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")))) == []


BAD = [
    ("identity", "import time"),
    ("identity", "from asyncio import sleep"),
    ("http", "import os.path"),
    ("http", "import logging as log"),
    ("limiting", "def f():\n    import random"),
    ("limiting", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import socket"),
    ("http", "from arsenal_fast.identity.grammar import parse"),
    ("http", "from arsenal_fast import identity"),
    ("cache", "import arsenal_fast.observability.metrics"),
    ("errors", "from arsenal_fast.http import parser"),
    ("redis", "from arsenal_fast.stores.ports import Limiter"),
    ("redis", "from arsenal_fast.stores.memory import MemoryBackend"),
    ("service", "from arsenal_fast.stores.redis.backend import RedisBackend"),
    ("service", "from arsenal_fast.server.connection import Protocol"),
    ("server", "from arsenal_fast.ratelimit.quota import Quota"),
    ("server", "from arsenal_fast.config.load import Config"),
    ("service", "import os\nos.environ['A']"),
    ("redis", "import os\nos.getenv('A')"),
    ("logs", "from os import environ as surroundings"),
    ("variables", "import os\ngetter = os.environb.get"),
    ("novelty", ""),
    ("service", "from arsenal_fast import novelty"),
]


@pytest.mark.parametrize(("part", "source"), BAD)
def test_the_checker_finds_a_violation(part: str, source: str) -> None:
    assert len(violations(part, source)) == 1


GOOD = [
    ("identity", "from arsenal_fast.errors import InvalidIdentity\nimport re"),
    ("identity", "from arsenal_fast.identity.validity import Life"),
    ("redis", "import asyncio\nfrom arsenal_fast.ratelimit.client import Client"),
    ("service", "from arsenal_fast.observability.metrics import Counters\nfrom arsenal_fast import __version__"),
    ("server", "from arsenal_fast.api.app import Service\nfrom arsenal_fast.http.request import Request"),
    ("worker", "import os\nfrom arsenal_fast.stores.redis.backend import RedisBackend\nos.environ.get('A')"),
]


@pytest.mark.parametrize(("part", "source"), GOOD)
def test_the_checker_lets_the_rest_be(part: str, source: str) -> None:
    assert violations(part, source) == []


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="absolute"):
        violations("http", "from . import parser")
