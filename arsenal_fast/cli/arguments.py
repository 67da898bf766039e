"""Adds commands and reads their arguments, for all commands alike."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_CONFIGURATION: Final = 78
EXIT_INTERRUPTED: Final = 130

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Command = Callable[[argparse.Namespace], int]
"""Runs a command; returns its exit status."""


def add_command(
    commands: Commands, name: str, run: Command, summary: str, description: str = "", epilog: str = ""
) -> argparse.ArgumentParser:
    """Add a command. ``summary``: its line in the list of commands."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers."""

    def read(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) < 16 and low <= int(text) <= high:
            return int(text)
        raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")

    return read


@dataclass(frozen=True, slots=True)
class Places:
    """Where tokens are kept: returns the DATABASE_URL and the REDIS_URL of the configuration."""

    ledger_url: Callable[[], str]
    redis_url: Callable[[], str]
