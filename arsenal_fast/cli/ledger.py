"""``arsenal-fast ledger backup | restore | export | prune | verify``: maintenance of the ledger.

All of them work while the service writes. Results go to stdout, progress (on a terminal) and faults to
stderr. Exit status: 0 done, 1 could not or the ledger has faults. Nothing here reads the environment: the
URL is an argument. Only these commands import the ledger.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from arsenal_fast.cli.arguments import EXIT_USAGE, Commands, add_command, whole

if TYPE_CHECKING:
    from arsenal_fast.ledger.prune import Progress

_DAY: Final = 86_400_000  # ms
_BAR: Final = 30  # characters

_EPILOG: Final = """\
examples:
  arsenal-fast ledger backup backups/identity-$(date +%Y%m%d).db
  arsenal-fast ledger restore backups/identity-20261122.db
  arsenal-fast ledger export --format csv events.csv
  arsenal-fast ledger prune --days 90
  arsenal-fast ledger verify
"""


def add_parser(commands: Commands, url: Callable[[], str], now: Callable[[], float]) -> None:
    """Add the command; ``url`` is the DATABASE_URL of the configuration, ``now`` the wall clock in seconds."""
    parser = add_command(
        commands,
        "ledger",
        lambda _: _without_verb(parser),
        "back up, restore, export, prune or verify the ledger",
        "Work on the ledger that DATABASE_URL names, while the service is writing it or not.",
        _EPILOG,
    )
    verbs = parser.add_subparsers(title="commands", metavar="")

    def add(name: str, run: Callable[[str, argparse.Namespace], int | None], summary: str) -> argparse.ArgumentParser:
        return add_command(verbs, name, lambda given: _with_exit_status(lambda: run(url(), given)), summary)

    backup = add("backup", _backup, "write a consistent copy (SQLite file, or pg_dump's custom format)")
    backup.add_argument("file", metavar="FILE", help="where to; - is stdout")
    restore = add("restore", _restore, "put a backup in the place of all that the ledger holds")
    restore.add_argument("file", metavar="FILE", help="where from; - is stdin")
    export = add("export", _export, "write all events as CSV or JSON lines")
    export.add_argument("--format", choices=("csv", "jsonl"), default="jsonl", help="default: jsonl")
    export.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: - (stdout)")
    prune = add("prune", partial(_prune, now), "delete what was over before a number of days")
    prune.add_argument("--days", metavar="NUMBER", type=whole(0, 99_999), required=True, help="what is younger stays")
    add("verify", _verify, "check that the database is whole and its tables agree")


def _without_verb(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return EXIT_USAGE


def _with_exit_status(run: Callable[[], int | None]) -> int:
    from arsenal_fast.ledger.admin import LedgerError

    try:
        return run() or 0
    except (LedgerError, ValueError) as error:
        sentence = str(error)
    except OSError as error:
        sentence = error.strerror or "a file can't be read or written"
    print(f"arsenal-fast: {sentence}", file=sys.stderr)
    return 1


def _backup(url: str, given: argparse.Namespace) -> None:
    from arsenal_fast.ledger.prune import backup

    if given.file != "-":
        backup(url, given.file, _progress())
        return
    with _passing(url) as passing:
        backup(url, passing, _progress())
        with open(passing, "rb") as whole:
            shutil.copyfileobj(whole, sys.stdout.buffer)


def _restore(url: str, given: argparse.Namespace) -> None:
    from arsenal_fast.ledger.prune import restore

    if given.file != "-":
        restore(url, given.file)
        return
    with _passing(url) as passing:
        with open(passing, "wb") as whole:
            shutil.copyfileobj(sys.stdin.buffer, whole)
        restore(url, passing)


@contextmanager
def _passing(url: str) -> Iterator[str]:
    """Yield the name of a temporary file for stdin or stdout.

    It is made beside an SQLite ledger: in a container that may be the only writable place with room.
    """
    from arsenal_fast.ledger.admin import address_of
    from arsenal_fast.ledger.url import SqliteAddress

    address = address_of(url)
    beside = Path(address.path).parent if isinstance(address, SqliteAddress) else None
    with tempfile.TemporaryDirectory(
        prefix=".passing-", dir=beside if beside is not None and beside.is_dir() else None
    ) as directory:
        yield str(Path(directory) / "ledger")


def _export(url: str, given: argparse.Namespace) -> None:
    from arsenal_fast.ledger.admin import as_ledger_error, private_file
    from arsenal_fast.ledger.prune import export

    def write(file: IO[bytes]) -> None:
        number = export(url, file, given.format, _progress())
        print(f"{number} events", file=sys.stderr)

    if given.file == "-":
        write(sys.stdout.buffer)
    else:
        with as_ledger_error(), private_file(given.file) as whole, open(whole, "wb") as file:
            write(file)


def _prune(now: Callable[[], float], url: str, given: argparse.Namespace) -> None:
    from arsenal_fast.ledger.prune import prune

    before = int(now() * 1000) - given.days * _DAY
    print(f"{prune(url, before)} rows deleted")


def _verify(url: str, _given: argparse.Namespace) -> int:
    from arsenal_fast.ledger.prune import verify

    report = verify(url)
    print(f"schema version {report.version}, {report.events} events, {report.lives} identities")
    for fault in report.faults:
        print(f"arsenal-fast: {fault}", file=sys.stderr)
    if not report.faults:
        print("the ledger is sound")
    return 1 if report.faults else 0


def _progress() -> "Progress | None":
    """Return a progress bar for a terminal; None for a log."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, whole: int) -> None:
        share = done / whole if whole else 1.0
        filled = round(share * _BAR)
        end = "\n" if done >= whole else ""
        print(f"\r[{'#' * filled}{'.' * (_BAR - filled)}] {share:4.0%}", end=end, file=sys.stderr, flush=True)

    return show
