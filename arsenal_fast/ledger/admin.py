"""Helpers of the ledger commands: open a ledger, wait for its lock, report errors."""

import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from arsenal_fast.ledger import sqlite
from arsenal_fast.ledger.backend import opener
from arsenal_fast.ledger.dialect import Read
from arsenal_fast.ledger.errors import Busy, StoreError
from arsenal_fast.ledger.store import Store
from arsenal_fast.ledger.url import LedgerAddress, SqliteAddress, parse_url

Progress = Callable[[int, int], None]
"""Called with the amount done and the total: pages of a backup, rows of an export or of pruning."""

BUSY_PATIENCE: Final = 30.0  # seconds that a command waits for another process's lock


class LedgerError(Exception):
    """A failed command; the message is one sentence that may be shown."""


def address_of(url: str) -> LedgerAddress:
    """Return the parsed DATABASE_URL; ValueError with one sentence, also when the ledger is turned off."""
    found = parse_url(url)
    if found is None:
        raise ValueError("the ledger is turned off: DATABASE_URL is none.")
    return found


def name_of(address: LedgerAddress) -> str:
    """Return what an operator calls a ledger: its file, or database and host."""
    return address.path if isinstance(address, SqliteAddress) else f"{address.database} at {address.host}"


def existing(address: SqliteAddress) -> str:
    """Return the path of an existing file; only restore makes a new one."""
    try:
        status = os.stat(address.path)
    except (FileNotFoundError, NotADirectoryError):
        raise LedgerError(f"There is no ledger at {address.path}.") from None
    except OSError as error:
        raise LedgerError(f"The ledger {address.path} can't be read: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise LedgerError(f"There is no ledger at {address.path}: it is not a file.")
    if not status.st_size:  # SQLite would make a database of it
        raise LedgerError(f"There is no ledger at {address.path}: the file is empty.")
    return address.path


@contextmanager
def open_store(address: LedgerAddress) -> Iterator[Store]:
    """Open the store of an existing ledger, with its schema up to date; waits for a while if it is locked."""
    if isinstance(address, SqliteAddress):
        existing(address)
    deadline = time.monotonic() + BUSY_PATIENCE
    opening = opener(address)
    while True:
        try:
            store = opening("write")
        except Busy:
            if time.monotonic() > deadline:
                raise
        else:
            break
    with closing(store):
        yield store


@contextmanager
def private_file(file: str) -> Iterator[str]:
    """Yield a new file of mode 0600 beside ``file``, renamed to it once it is complete and on the disk.

    So an older file of other rights is replaced, not written into. A device or a pipe is refused for that reason.
    """
    target = Path(file)
    if target.exists() and not target.is_file():
        raise LedgerError(f"{file} is there and is not a file; - is stdout.")
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        error.filename = file
        raise
    os.close(handle)
    try:
        yield temporary
        with open(temporary, "rb") as whole:
            os.fsync(whole.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def as_ledger_error(where: LedgerAddress | None = None) -> Iterator[None]:
    """Raise any error of the store or the file system as a LedgerError of one sentence, which names the place."""
    name = "" if where is None else f"{name_of(where)}: "
    try:
        yield
    except StoreError as fault:
        raise LedgerError(f"{name}{fault}") from fault
    except sqlite3.Error as error:
        raise LedgerError(f"{name}SQLite has failed: {error}.") from error
    except OSError as error:
        raise LedgerError(f"{error.filename or 'A file'} can't be read or written: {error.strerror}.") from error


def read_only(path: str) -> sqlite3.Connection:
    """Open a connection that creates and changes nothing."""
    return sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None)


@contextmanager
def snapshot(address: LedgerAddress) -> Iterator[Read]:
    """Yield the function that reads the ledger as it is now, without a time limit; nothing can be changed by it."""
    if isinstance(address, SqliteAddress):
        with closing(read_only(existing(address))) as file:
            file.execute("BEGIN")
            yield sqlite.reader(file)
        return
    opener(address)  # says so when the driver is missing
    from arsenal_fast.ledger import postgres  # noqa: PLC0415 - an optional extra

    with postgres.translated(), closing(postgres.connect(address.url)) as connection, connection.transaction():
        connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield postgres.reader(connection)
