"""Checks the ledger: whether it can be written, the version of its schema, and its size."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from arsenal_fast.cli.doctor.finding import Check, Finding
from arsenal_fast.config.load import Config
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.ledger.backend import opener
from arsenal_fast.ledger.dialect import POSTGRES_SCHEMA
from arsenal_fast.ledger.errors import Busy, StoreError, Unavailable, Unfit
from arsenal_fast.ledger.migrations import migrations_left
from arsenal_fast.ledger.url import PostgresAddress, SqliteAddress, parse_url

CHECK: Final = Check("ledger")

_TOUCH: Final = f"UPDATE {POSTGRES_SCHEMA}.meta SET value = value WHERE name = 'version'"  # noqa: S608 - names of ours

_NUMBERS: Final = (
    "SELECT (SELECT max(seq) FROM {0}events), (SELECT min(seq) FROM {0}events)"  # two look-ups in an index
)

MIN_POSTGRES: Final = 120_000  # as libpq writes it: 12.0
LITTLE: Final = 256 << 20  # bytes that should be free on the ledger's disk: the log before a checkpoint, and a day
LARGE: Final = 10 << 30  # bytes of a ledger that is not pruned
BYTES_PER_EVENT: Final = 512  # with its indexes and the record of its identity: 250 in SQLite, 625 in PostgreSQL
NEARLY_FULL: Final = 0.8  # of LEDGER_MAX_ROWS: there is time left to choose

_NETWORK: Final = ("nfs", "nfs4", "cifs", "smbfs", "smb2", "smb3", "afs", "ceph", "glusterfs")
_CLUSTER: Final = ("lustre", "beegfs", "gpfs", "mmfs", "gfs2", "ocfs2", "pvfs2", "orangefs")
_OF_A_HOST: Final = ("9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs")
_SHARED: Final = frozenset((*_NETWORK, *_CLUSTER, *_OF_A_HOST, "fuse"))
"""File systems that other machines share: SQLite's write-ahead log needs shared memory."""

_FUSE: Final = "fuse."
"""Begins the kind of a file system that a program serves (sshfs, s3fs, gcsfuse): most of them reach a network."""
_LOCAL_FUSE: Final = "fuse.fuse-overlayfs"
"""The root of a container without privileges, on a local disk."""


class Seen(NamedTuple):
    """The figures of a ledger that can be written."""

    what: str
    size: int
    """Bytes, of its tables or its files."""
    behind: bool = False
    """Whether its schema is of an older release; the service migrates it at its start."""
    free: int | None = None
    """Free bytes of the file system, where it is local."""
    network: str = ""
    """The kind of a network file system; else empty."""
    events: int = 0
    is_asynchronous: bool = False
    """Whether it has a standby, by the hosts of the URL, that may lack what was committed."""


def examine(config: Config, timeout: float) -> Finding:
    """Check the ledger. ``timeout``: seconds to wait for another process's lock."""
    address = parse_url(config.database_url.reveal())
    if address is None:
        if not config.production:
            return CHECK.skip("none is kept (DATABASE_URL is none)")
        text = "none is kept: what Redis loses is lost, and there is no audit"
        return CHECK.warn(text, "Set DATABASE_URL to sqlite:////app/data/identity.db or postgresql://.")
    try:
        seen = look_at_sqlite(address, timeout) if isinstance(address, SqliteAddress) else look_at_postgres(address)
    except ConfigurationError as error:  # the driver is missing
        return CHECK.fail(str(error), "pip install 'psycopg[binary]'")
    except StoreError as error:
        return CHECK.fail(str(error), _mend(error, address))
    return judge(seen, pruned=bool(config.ledger_retention_days), max_rows=config.ledger_max_rows)


def judge(seen: Seen, pruned: bool, max_rows: int = 0) -> Finding:
    """Judge a ledger that can be written. ``pruned``: LEDGER_RETENTION_DAYS is set; ``max_rows``: LEDGER_MAX_ROWS."""
    text = f"{seen.what}, {seen.size / 1_048_576:.1f} MiB" if seen.size else seen.what
    if seen.free is not None:
        text += f", {seen.free / 1_048_576:.0f} MiB free"
    if seen.network:
        mend = "Put the file on a local disk or a block volume, or use postgresql://."
        return CHECK.warn(f"{text}: {seen.network} can't share SQLite's write-ahead log", mend)
    if seen.free is not None and seen.free < LITTLE:
        mend = "Make room, enlarge the volume, or set LEDGER_RETENTION_DAYS."
        return CHECK.warn(f"{text}: its disk is nearly full", mend)
    if max_rows and seen.events >= NEARLY_FULL * max_rows:
        text += f", {seen.events} of at most {max_rows} events: the oldest leave before LEDGER_RETENTION_DAYS are over"
        mend = f"Raise LEDGER_MAX_ROWS (an event takes {BYTES_PER_EVENT} bytes), or lower LEDGER_RETENTION_DAYS."
        return CHECK.warn(text, mend)
    if seen.free is not None and seen.free < max_rows * BYTES_PER_EVENT - seen.size:
        text += f": its disk has no room for the {max_rows} events of LEDGER_MAX_ROWS"
        mend = f"Enlarge the volume, or lower LEDGER_MAX_ROWS (an event takes {BYTES_PER_EVENT} bytes)."
        return CHECK.warn(text, mend)
    if seen.is_asynchronous:
        mend = "Set synchronous_standby_names on the primary, or accept that."
        return CHECK.warn(f"{text}: a failover loses what its asynchronous standby has not received", mend)
    if seen.size > LARGE and not (pruned or max_rows):
        return CHECK.warn(f"{text}: it grows for ever", "Set LEDGER_RETENTION_DAYS or LEDGER_MAX_ROWS.")
    if seen.behind:
        text += "; of an older release, brought up to date at the next start (back it up before)"
    return CHECK.ok(text)


def look_at_sqlite(address: SqliteAddress, timeout: float) -> Seen:
    """Take and release the file's write lock; without a file, make and remove a temporary one beside it.

    Raises StoreError.
    """
    from arsenal_fast.ledger import sqlite  # noqa: PLC0415 - only for a ledger in SQLite

    path = Path(address.path)
    try:
        if not _is_there(path):
            directory = _made_in(path)
            return Seen(f"will be made in {directory}", 0, free=_free(directory), network=_network(directory))
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=timeout)
        ) as connection:
            behind = bool(migrations_left(sqlite.reader(connection)))
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE doctor_was_here (x)")
            connection.execute("ROLLBACK")
            events = _span(connection.execute(_NUMBERS.format("")).fetchone())
        size = sum(each.stat().st_size for each in (path, Path(f"{path}-wal")) if each.exists())
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Busy("another process keeps the ledger locked.") from error
        raise Unavailable(f"the file of the ledger can't be written: {error}.") from error
    except OSError as error:
        raise Unavailable(f"the file of the ledger can't be reached: {error.strerror}.") from error
    return Seen(f"SQLite, {path}", size, behind, _free(path), _network(path), events)


def _is_there(path: Path) -> bool:
    """Return whether there is such a file; raises OSError where that can't be seen, as exists() did before 3.14."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def look_at_postgres(address: PostgresAddress) -> Seen:
    """Write a row unchanged and roll back. Raises StoreError, ConfigurationError without the driver."""
    opener(address)  # says so when the driver is missing
    from arsenal_fast.ledger import postgres  # noqa: PLC0415 - an optional extra

    with postgres.translated(), closing(postgres.connect(address.url)) as connection:
        version = connection.info.server_version
        if version < MIN_POSTGRES:
            raise Unfit(f"PostgreSQL is of version {version // 10_000}: at least 12 is needed.")
        left = migrations_left(postgres.reader(connection))
        there = connection.execute(b"SELECT to_regclass(%s)", (f"{POSTGRES_SCHEMA}.meta",)).fetchone()
        with connection.transaction(force_rollback=True):
            connection.execute(b"SET LOCAL lock_timeout = '1s'")
            if there and there[0]:
                connection.execute(_TOUCH.encode())
            else:
                connection.execute(postgres.MAKE_SCHEMA.encode())
                connection.execute(f"CREATE TABLE {POSTGRES_SCHEMA}.doctor_was_here (x int)".encode())
        row = connection.execute(
            b"SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
            b" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'",
            (POSTGRES_SCHEMA,),
        ).fetchone()
        size = int(row[0]) if row else 0
        made = bool(there and there[0])
        (standbys,) = connection.execute(b"SHOW synchronous_standby_names").fetchall()[0]
        numbers = connection.execute(_NUMBERS.format(f"{POSTGRES_SCHEMA}.").encode()).fetchone() if made else None
    what = f"PostgreSQL {version // 10_000}, {address.database} at {address.host}"
    is_asynchronous = "," in address.host and not standbys
    return Seen(what, size, bool(left and made), events=_span(numbers), is_asynchronous=is_asynchronous)


def _span(numbers: tuple[int | None, ...] | None) -> int:
    """Return the number of events between the first and the last sequence number."""
    last, first = numbers or (None, None)
    return 0 if last is None or first is None else last - first + 1


def _mend(error: StoreError, address: SqliteAddress | PostgresAddress) -> str:
    if isinstance(error, Unfit) and "URL" in str(error):
        return "Correct the parameters of DATABASE_URL."
    if isinstance(error, Unfit):
        return "Run the release that wrote it, restore the backup from before, or name another one in DATABASE_URL."
    if isinstance(error, Busy):
        return "Find who keeps it locked: a backup, a tool, a process that hangs."
    if isinstance(address, PostgresAddress):
        return "Correct DATABASE_URL; the user needs CREATE on the database or the schema, and a primary."
    return "Let the service's user write the file and its directory (a volume: fsGroup or chown); is the disk full?"


def _made_in(path: Path) -> Path:
    """Return the directory in which the file, or its directory, will be made; raises Unavailable if not possible."""
    directory = next(each for each in path.absolute().parents if each.exists())
    try:
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except OSError as error:
        raise Unavailable(f"no file can be made in {directory}: {error.strerror}.") from error


def _free(path: Path) -> int:
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def _network(path: Path) -> str:
    """Return the kind of network file system of the path; "" for a local or unknown one."""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
            return network_of(str(path.resolve()), file)
    except OSError:
        return ""


def network_of(path: str, mounts: Iterator[str]) -> str:
    """Find that kind in lines of fstab(5): the last and longest mount point above the path counts."""
    best, kind = "", ""
    for line in mounts:
        _, point, this, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        above = path == point or path.startswith(point.rstrip("/") + "/")
        if above and len(point) >= len(best):
            best, kind = point, this
    is_shared = kind in _SHARED or (kind.startswith(_FUSE) and kind != _LOCAL_FUSE)
    return kind if is_shared else ""
