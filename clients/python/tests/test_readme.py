"""The examples of the README run as they are written."""

import re
from pathlib import Path
from typing import Final

import pytest
from tests.support.service import ServiceProcess

import arsenal_identity

README: Final = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES: Final = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.integration
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example: str, service: ServiceProcess) -> None:
    written = "http://localhost:3655"
    assert written in example
    exec(compile(example.replace(written, service.url), "README.md", "exec"), {"__name__": "example"})


def test_every_error_is_explained() -> None:
    for name in arsenal_identity.__all__:
        if name.endswith("Error") and name not in ("IdentityServiceError", "ProblemError"):
            assert f"`{name}`" in README, name


def test_every_call_is_explained() -> None:
    for name in vars(arsenal_identity.Client):
        if not name.startswith("_") and name != "close":
            assert f"`{name}(" in README, name
