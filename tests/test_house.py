"""``tests/`` mirrors the package: ``tests/a/test_b.py`` tests ``arsenal_fast/a/b.py``, and each has the other."""

import ast
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "arsenal_fast"
TESTS: Final = ROOT / "tests"

APART: Final = ("integration", "conformance", "support", "bench", "loadtest", "deploy")
"""Folders whose tests are of no single module: whole processes, several backends, tools and deployment."""

WITHOUT_TESTS: Final = {
    "__main__.py": "starts cli/main.py; every test of a process runs it",
    "api/settings.py": "a frozen dataclass of values, no code",
    "api/schemas/identities.py": "JSON schemas, no code; api/schemas/test_parts.py compares them with the service",
    "api/schemas/operations.py": "the same of the operators' routes and of problems",
    "http/limits.py": "a frozen dataclass of values, no code",
    "ledger/counters.py": "integers that begin at 0, no code",
    "stores/ports.py": "Protocol classes, no code; tests/conformance/test_ports.py runs what implements them",
}
"""Modules that may have no test file of their name, each with the reason."""

TOPICS: Final = {
    "api/fastpath/test_fast_against_slow.py": "the fast path against the slow one: api/fastpath/ as a whole",
    "api/fastpath/test_matrix.py": "the same over each setup of a worker: ledger, network, caller, origins, log",
    "api/handlers/test_batch.py": "POST /api/v1/identities, from its body to its answer",
    "api/handlers/test_protected_prefixes.py": "PROTECTED_PREFIXES in every route that issues or validates",
    "api/handlers/test_validation_of_tokens.py": "POST /api/v1/validate with a token",
    "api/test_drawn_runs.py": "an attack on drawn runs, over every way to name one",
    "api/test_no_cycles.py": "what any request leaves for the garbage collector",
    "http/test_parser_oracle.py": "h11 as the oracle of everything in http/ that reads a message",
    "ledger/test_kill.py": "kill -9 while several modules write",
    "registry/test_coherence.py": "revocation over two workers: everything in registry/ together",
    "stores/redis/test_full.py": "a Redis without memory, with each eviction policy",
    "stores/redis/test_stream.py": "the stream of replies in stores/redis/connection.py, cut anywhere",
    "test_house.py": "this check",
    "test_patterns.py": "a rule for every regular expression of the package",
    "test_readme.py": "the README",
    "test_secrets_in_urls.py": "passwords in everything that is printed, logged or answered",
    "test_threat_model.py": "docs/threat-model.md, and the tests that docs/reliability.md names",
}
"""Test files of a topic instead of a module, each with what it is about."""


def of_module(module: str) -> str:
    """The test file of a module, both below their roots."""
    path = PurePosixPath(module)
    return str(path.with_name(f"test_{path.name}"))


def of_test(test: str) -> str:
    """The module of a test file."""
    path = PurePosixPath(test)
    return str(path.with_name(path.name.removeprefix("test_")))


def modules() -> set[str]:
    """The modules of the package but for ``__init__.py``, which names its folder and has no code."""
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return {path.as_posix() for path in paths}


def mirrored() -> set[str]:
    """The test files that belong to modules."""
    paths = (path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    return {path.as_posix() for path in paths if path.parts[0] not in APART}


def faults(modules: set[str], tests: set[str], without: set[str], topics: set[str]) -> list[str]:
    """Where the two trees differ, and which exceptions are none."""
    missing, strange = modules - without - set(map(of_test, tests)), tests - topics - set(map(of_module, modules))
    return sorted(
        [f"{module}: there is no tests/{of_module(module)}" for module in missing]
        + [f"{test}: there is no arsenal_fast/{of_test(test)}" for test in strange]
        + [f"{module}: is no module without a test" for module in without if of_module(module) in tests]
        + [f"{module}: is excepted and not there" for module in without - modules]
        + [f"{test}: is a topic and of a module" for test in topics if of_test(test) in modules]
        + [f"{test}: is a topic and not there" for test in topics - tests]
    )


def test_the_tests_mirror_the_package() -> None:
    assert modules(), PACKAGE
    assert faults(modules(), mirrored(), set(WITHOUT_TESTS), set(TOPICS)) == []


def test_a_package_has_no_code_of_its_own() -> None:
    """So that its ``__init__.py`` needs no test: a docstring, the version, and what puts the schemas together."""
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert all(isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.ImportFrom) for node in body), path


@pytest.mark.parametrize("module", sorted(WITHOUT_TESTS))
def test_what_has_no_test_has_no_function_with_a_body(module: str) -> None:
    """But for ``__init__`` and what a Protocol declares, which is a docstring or nothing."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":
            assert all(isinstance(getattr(each, "value", None), ast.Constant) for each in node.body), node.name


@pytest.mark.parametrize("test", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_a_test_file_has_a_test(test: Path) -> None:
    names = [getattr(node, "name", "") for node in ast.walk(ast.parse(test.read_text(encoding="utf-8")))]
    assert any(name.startswith("test_") for name in names)


@pytest.mark.parametrize(
    ("modules", "tests", "without", "topics", "fault"),
    [
        ({"a/b.py"}, {"a/test_b.py"}, set(), set(), None),
        ({"a/b.py"}, set(), set(), set(), "a/b.py: there is no tests/a/test_b.py"),
        ({"a/b.py"}, {"test_b.py", "a/test_b.py"}, set(), set(), "test_b.py: there is no arsenal_fast/b.py"),
        ({"a/b.py"}, set(), {"a/b.py"}, set(), None),
        ({"a/b.py"}, {"a/test_b.py"}, {"a/b.py"}, set(), "a/b.py: is no module without a test"),
        (set(), set(), {"a/b.py"}, set(), "a/b.py: is excepted and not there"),
        (set(), {"a/test_c.py"}, set(), {"a/test_c.py"}, None),
        ({"a/c.py"}, {"a/test_c.py"}, set(), {"a/test_c.py"}, "a/test_c.py: is a topic and of a module"),
        (set(), set(), set(), {"a/test_c.py"}, "a/test_c.py: is a topic and not there"),
    ],
)
def test_a_difference_is_found(
    modules: set[str], tests: set[str], without: set[str], topics: set[str], fault: str | None
) -> None:
    assert faults(modules, tests, without, topics) == ([] if fault is None else [fault])
