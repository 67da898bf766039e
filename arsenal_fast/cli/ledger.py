"""``arsenal-fast ledger backup | restore | export | prune | verify``: maintenance of the ledger.

All but ``restore`` work while the service writes; ``restore`` does with ``--live``. What deletes or overwrites asks
first, on a terminal, or takes ``--yes``. Results go to stdout, progress (on a terminal) and faults to
stderr. Exit status: 0 done, 1 could not or the ledger has faults. Nothing here reads the environment: the
URL is an argument. Only these commands import the ledger.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from arsenal_fast.cli.arguments import EXIT_USAGE, Commands, add_command, add_json, add_yes, is_confirmed, whole
from arsenal_fast.cli.progress import shown

_DAY: Final = 86_400_000  # ms
_KEPT: Final = ".before-restore"
"""Behind the name of an SQLite ledger: what it held before the last restore."""

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
    add_yes(backup)
    restore = add("restore", _restore, "put a backup in the place of all that the ledger holds")
    restore.add_argument("file", metavar="FILE", help="where from; - is stdin")
    restore.add_argument("--live", action="store_true", help="also while a service has the ledger open")
    add_yes(restore)
    export = add("export", _export, "write all events as CSV or JSON lines")
    export.add_argument("--format", choices=("csv", "jsonl"), default="jsonl", help="default: jsonl")
    export.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: - (stdout)")
    prune = add("prune", partial(_prune, now), "delete what was over before a number of days")
    prune.add_argument("--days", metavar="NUMBER", type=whole(0, 99_999), required=True, help="what is younger stays")
    add_yes(prune)
    verify = add("verify", _verify, "check that the database is whole and its tables agree")
    for parser_of_verb in (prune, verify):
        add_json(parser_of_verb)


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
        reason = error.strerror or "it can't be read or written"
        sentence = f"{error.filename}: {reason}" if error.filename else reason
    print(f"arsenal-fast: {sentence}", file=sys.stderr)
    return 1


def _backup(url: str, given: argparse.Namespace) -> int:
    from arsenal_fast.ledger.prune import backup

    if given.file != "-":
        if Path(given.file).is_file() and not is_confirmed(given, f"{given.file} is there and would be overwritten."):
            return EXIT_USAGE
        with shown() as show:
            backup(url, given.file, show)
        return 0
    with _passing(url) as passing:
        with shown() as show:
            backup(url, passing, show)
        with open(passing, "rb") as whole:
            shutil.copyfileobj(whole, sys.stdout.buffer)
    return 0


def _restore(url: str, given: argparse.Namespace) -> int:
    from arsenal_fast.ledger.admin import LedgerError, address_of
    from arsenal_fast.ledger.prune import is_served, restore
    from arsenal_fast.ledger.url import SqliteAddress

    where = address_of(url)
    if not given.live and is_served(where):
        raise LedgerError("A service has this ledger open: stop it, or restore under it with --live.")
    keep = None
    if not isinstance(where, SqliteAddress):
        if not is_confirmed(given, f"All that the ledger in {where.database} at {where.host} holds would be replaced."):
            return EXIT_USAGE
    elif Path(where.path).exists():
        keep = f"{where.path}{_KEPT}"
        if not is_confirmed(given, f"All that {where.path} holds would be replaced; {keep} keeps it."):
            return EXIT_USAGE
    if given.file != "-":
        with shown():
            restore(url, given.file, keep)
    else:
        with _passing(url) as passing:
            with open(passing, "wb") as whole:
                shutil.copyfileobj(sys.stdin.buffer, whole)
            with shown():
                restore(url, passing, keep)
    if keep is not None:
        print(f"the ledger of before is in {keep}", file=sys.stderr)
    return 0


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
        with shown() as show:
            number = export(url, file, given.format, show)
        print(f"{number} events", file=sys.stderr)

    if given.file == "-":
        write(sys.stdout.buffer)
    else:
        with as_ledger_error(), private_file(given.file) as whole, open(whole, "wb") as file:
            write(file)


def _prune(now: Callable[[], float], url: str, given: argparse.Namespace) -> int:
    from arsenal_fast.ledger.prune import prune

    if not is_confirmed(given, f"All that was over {given.days} days ago would be deleted."):
        return EXIT_USAGE
    with shown():
        rows = prune(url, int(now() * 1000) - given.days * _DAY)
    print(json.dumps({"deleted": rows}) if given.json else f"{rows} rows deleted")
    return 0


def _verify(url: str, given: argparse.Namespace) -> int:
    from arsenal_fast.ledger.admin import address_of, name_of
    from arsenal_fast.ledger.prune import verify

    with shown():
        report = verify(url)
    if given.json:
        print(json.dumps({**report._asdict(), "sound": not report.faults}))
        return 1 if report.faults else 0
    print(f"schema version {report.version}, {report.events} events, {report.lives} identities")
    for fault in report.faults:
        print(f"arsenal-fast: {name_of(address_of(url))}: {fault}", file=sys.stderr)
    if not report.faults:
        print("the ledger is sound")
    return 1 if report.faults else 0
