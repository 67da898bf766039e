"""Commands and their arguments, as all commands add and read them."""

import argparse

import pytest

from arsenal_fast.cli.arguments import add_command, whole


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("60", 60)])
def test_a_whole_number_of_the_range_is_read(text: str, number: int) -> None:
    assert whole(0, 60)(text) == number


@pytest.mark.parametrize("text", ["", "61", "-1", "+1", " 1", "1_0", "1.0", "٣", "²", "9" * 5000])
def test_whatever_else_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"^must be a whole number from 0 to 60$"):
        whole(0, 60)(text)


def test_a_command_is_listed_described_and_run(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="program")
    commands = parser.add_subparsers()
    add_command(commands, "act", lambda given: 7, "acts at once", "Act at once.", "examples:\n  program act\n")
    assert parser.parse_args(["act"]).command(argparse.Namespace()) == 7
    assert "acts at once" in parser.format_help()
    with pytest.raises(SystemExit):
        parser.parse_args(["act", "--help"])
    text = capsys.readouterr().out
    assert "Act at once." in text
    assert "examples:\n  program act\n" in text
