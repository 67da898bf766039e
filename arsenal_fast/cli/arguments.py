"""Adds commands and reads their arguments, for all commands alike."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_NO_ANSWER: Final = 69
"""EX_UNAVAILABLE: the service does not answer."""
EXIT_TRY_AGAIN: Final = 75
"""EX_TEMPFAIL: over the limit, or the service is too busy."""
EXIT_CONFIGURATION: Final = 78
EXIT_INTERRUPTED: Final = 130

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Command = Callable[[argparse.Namespace], int]
"""Runs a command; returns its exit status."""


class Failure(Exception):
    """A call without a result: one sentence for stderr, and the exit status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


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


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the flag ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the flag ``--yes``, for :func:`is_confirmed`."""
    parser.add_argument("--yes", action="store_true", help="do it without asking")


def is_confirmed(given: argparse.Namespace, what: str) -> bool:
    """Return whether it may be done: with ``--yes``, or when the person at the terminal says so."""
    if given.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        print(f"arsenal-fast: {what} Nothing was done: there is no terminal to ask on; --yes does it.", file=sys.stderr)
        return False
    print(f"{what} Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    print("arsenal-fast: nothing was done.", file=sys.stderr)
    return False


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
