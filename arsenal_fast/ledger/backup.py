"""Backup and restore: SQLite's own backup interface, pg_dump and pg_restore; both while the service runs."""

import shutil
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from arsenal_fast.ledger.admin import (
    BUSY_PATIENCE,
    LedgerError,
    Progress,
    address_of,
    as_ledger_error,
    existing,
    open_store,
    private_file,
    read_only,
)
from arsenal_fast.ledger.backend import opener
from arsenal_fast.ledger.dialect import POSTGRES_SCHEMA
from arsenal_fast.ledger.errors import Unavailable
from arsenal_fast.ledger.sqlite import make_file
from arsenal_fast.ledger.url import PostgresAddress, SqliteAddress
from arsenal_fast.ledger.verify import verify_at
from arsenal_fast.secret import MASK, PARAMETERS, secrets_in

BACKUP_PAGES: Final = 2_560  # of one step, 10 MB: progress is reported after each


def backup(url: str, file: str, progress: Progress | None = None) -> None:
    """Write a consistent copy as of now: an SQLite database, or PostgreSQL's custom format."""
    where = address_of(url)
    with as_ledger_error(where), private_file(file) as temporary:
        if isinstance(where, PostgresAddress):
            what = ("--format=custom", "--no-owner", f"--schema={POSTGRES_SCHEMA}")
            _run_tool(where, "pg_dump", *what, f"--file={temporary}")
        else:
            _copy_sqlite(existing(where), temporary, progress)


def restore(url: str, file: str, keep: str | None = None) -> None:
    """Replace the contents of the ledger by a backup. Running services see it as one change.

    ``keep``: where to copy an SQLite ledger before.
    """
    where = address_of(url)
    if not Path(file).is_file():
        raise LedgerError(f"There is no backup at {file}.")
    with as_ledger_error(where):
        if isinstance(where, PostgresAddress):
            whole = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
            _run_tool(where, "pg_restore", *whole, file)
        else:
            with as_ledger_error(SqliteAddress(file)):
                report = verify_at(SqliteAddress(file))
            if report.faults:
                raise LedgerError(f"{file}: The backup is not sound: {report.faults[0]}")
            if keep is not None:
                _keep_sqlite(where.path, keep)
            _overwrite_sqlite(where.path, file)
        with open_store(where):
            pass  # an older backup is brought up to date


def _copy_sqlite(path: str, copy: str, progress: Progress | None) -> None:
    def stepped(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    with closing(read_only(path)) as source, closing(sqlite3.connect(copy, isolation_level=None)) as target:
        # Within one read transaction the copy is of one moment, and no writer makes it begin again.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=BACKUP_PAGES, progress=stepped)
        source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode = DELETE").fetchone()  # one file, complete by itself


def _keep_sqlite(path: str, copy: str) -> None:
    with private_file(copy) as temporary:
        try:
            _copy_sqlite(path, temporary, None)
        except sqlite3.DatabaseError:  # damaged: whatever it is, perhaps somebody can read it
            shutil.copyfile(path, temporary)


def _overwrite_sqlite(path: str, file: str) -> None:
    deadline = time.monotonic() + BUSY_PATIENCE

    def stepped(_status: int, remaining: int, _total: int) -> None:
        if remaining and time.monotonic() > deadline:  # Python tries again for ever
            raise LedgerError("The ledger is locked by another process.")

    make_file(path)
    with closing(read_only(file)) as source, closing(sqlite3.connect(path, isolation_level=None)) as target:
        source.backup(target, progress=stepped)


def _private_text() -> "tempfile._TemporaryFileWrapper[str]":
    """Yield a temporary file of mode 0600 with this text."""
    return tempfile.NamedTemporaryFile("w", prefix="ledger-", encoding="utf-8")


def _run_tool(address: PostgresAddress, tool: str, *arguments: str) -> None:
    """Run a tool of PostgreSQL. Secrets are passed in private files, which `ps` does not show."""
    opener(address)
    from psycopg import conninfo  # noqa: PLC0415 - an optional extra

    from arsenal_fast.ledger.postgres import shares_sessions, system_certificates, translated  # noqa: PLC0415

    binary = shutil.which(tool)
    if binary is None:
        raise LedgerError(f"{tool} is missing: install the client of PostgreSQL (Debian: postgresql-client).")
    with translated():
        parts = conninfo.conninfo_to_dict(address.url)
        parts |= system_certificates(parts)
    with suppress(Unavailable), translated():  # without a connection the tool says why
        if shares_sessions(address.url):  # the settings of the tool's session would stay for other clients
            raise LedgerError(f"A pooler in transaction mode is in the way of {tool}: name PostgreSQL's own address.")
    password = str(parts.pop("password", "") or "")
    others = {name: parts.pop(name) for name in sorted(PARAMETERS & parts.keys())}
    if others and "service" in parts:
        raise LedgerError(f"DATABASE_URL names a service: its file must have {', '.join(others)}, not the URL.")
    command = [binary, "--no-password"]
    with _private_text() as passfile, _private_text() as services:
        if password:
            passfile.write("*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n")
            parts["passfile"] = passfile.name
        if others:
            services.write("[ledger]\n" + "".join(f"{name}={value}\n" for name, value in others.items()))
            parts["service"] = "ledger"
            command = ["/usr/bin/env", f"PGSERVICEFILE={services.name}", *command]
        passfile.flush()
        services.flush()
        target = conninfo.make_conninfo("", **parts)
        command += [f"--dbname={target}", *arguments]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a list, without a shell
    if done.returncode != 0:
        text = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
        sentence = text[0]
        for secret in sorted(secrets_in(address.url), key=len, reverse=True):
            sentence = sentence.replace(secret, MASK)
        raise LedgerError(f"{tool} has failed: {sentence}.")
