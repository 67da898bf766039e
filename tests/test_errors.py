"""The tree of errors matches its docstring, and each error has what its handler needs."""

import inspect

import pytest

from arsenal_fast import errors
from arsenal_fast.errors import (
    ArsenalError,
    ClientError,
    ConfigurationError,
    InvalidIdentity,
    MessageError,
    ProblemError,
)

INDENT = 4
"""Columns of one level of the drawing."""


def drawn() -> dict[str, str | None]:
    """The errors of the docstring, each with its parent."""
    found: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip("│├└─ ").partition(" ")[0]
        if name and inspect.isclass(getattr(errors, name, None)):
            level = (len(line) - len(line.lstrip("│├└─ ")) - INDENT) // INDENT
            found[name] = above[level - 1] if level else None
            above[level:] = [name]
    return found


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, ArsenalError)]
    tree = {each.__name__: each.__base__.__name__ if each.__base__ else None for each in classes}
    assert drawn() == tree | {"ArsenalError": None}


@pytest.mark.parametrize("kind", [ClientError, MessageError, ProblemError])
def test_a_fault_of_a_client_has_its_status_and_sentence(kind: type[ClientError]) -> None:
    error = kind(413, "Too long.")
    assert (error.status, error.detail, str(error)) == (413, "Too long.", "413: Too long.")


def test_a_problem_keeps_its_faults_as_they_were_when_it_was_raised() -> None:
    faults: list[errors.Fault] = [{"pointer": "/a", "detail": "It is bad."}]
    error = ProblemError(400, "Bad.", faults)
    faults.clear()
    assert error.faults == ({"pointer": "/a", "detail": "It is bad."},)
    assert (ProblemError(400, "Bad.").faults, error.lines) == ((), b"")


def test_a_message_without_an_origin_has_none() -> None:
    assert MessageError(400, "Bad.").origin is None


def test_a_configuration_names_every_fault() -> None:
    error = ConfigurationError(["A is bad.", "B is missing."])
    assert error.faults == ("A is bad.", "B is missing.")
    assert str(error) == "A is bad. B is missing."
    assert not isinstance(error, ClientError)
    assert not issubclass(InvalidIdentity, ClientError)
