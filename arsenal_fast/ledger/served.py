"""Tells whether a process serves the ledger now, so that nobody replaces it under a running service by mistake."""

import fcntl
import os
import struct
import sys
from typing import Final

from arsenal_fast.ledger.admin import as_ledger_error, snapshot
from arsenal_fast.ledger.url import LedgerAddress, SqliteAddress

_SHM_LOCK: Final = 128
"""Byte of the -shm file that each process locks while it has a database in WAL mode open (SQLite's walFormat)."""

_LOCK: Final = struct.Struct("hhqqi")
"""``struct flock`` of Linux: type, whence, start, length, process."""

_SESSIONS: Final = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'arsenal-fast' "
    "AND datname = current_database() AND pid <> pg_backend_pid()"
)


def is_served(address: LedgerAddress) -> bool:
    """Return whether another process has the ledger open; of PostgreSQL, whether there are sessions of a service."""
    if isinstance(address, SqliteAddress):
        return _is_open(address.path)
    with as_ledger_error(address), snapshot(address) as read:
        return bool(read(_SESSIONS))


def _is_open(path: str) -> bool:
    if sys.platform != "linux":
        return False
    try:
        file = os.open(f"{path}-shm", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _SHM_LOCK, 1, 0)
        held, *_ = _LOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    finally:
        os.close(file)
    return bool(held != fcntl.F_UNLCK)
