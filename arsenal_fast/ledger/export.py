"""Exports all events, oldest first, as CSV or JSON lines, from one snapshot; moments are RFC 3339.

JSON lines have every text as it is. CSV is read by spreadsheets, which run a cell that begins like a formula, and
clients choose some of the texts (OWASP, "CSV Injection"). So in CSV a "'" stands before each part of a cell that a
spreadsheet could run, and before each part that began with a "'". To get the text back, delete one "'" at the beginning
of a cell and after each of ``, ; | "`` and control character.
"""

# ruff: noqa: S608 - the statements hold names of ours only; values are parameters

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import IO, Any, Final, Literal

import orjson

from arsenal_fast.identity.validity import timestamp
from arsenal_fast.ledger.admin import Progress, address_of, as_ledger_error, open_store, snapshot
from arsenal_fast.ledger.model import AuditEvent
from arsenal_fast.ledger.store import EVENT_COLUMNS

ROWS: Final = 1_000  # of one chunk

_SELECT: Final = f"SELECT {', '.join(AuditEvent._fields)} FROM {{t}}events WHERE seq > ? ORDER BY seq LIMIT ?"
_COUNT: Final = "SELECT count(*) FROM {t}events"
_NAMES: Final = ("seq", "kind", "at", "id", *EVENT_COLUMNS[2:])

# Where a cell may begin: at its start, and wherever a spreadsheet of another locale would split the line. What counts
# as a formula also does behind blanks, control characters and quotes; the last four signs are the full-width forms.
_FORMULA: Final = re.compile(
    r"""^(?=[\t\r\n])|(?:^|(?<=[,;|"\x00-\x1f]))(?='|[\s\x00-\x1f\u200b\ufeff"']*[=+\-@\uff1d\uff0b\uff0d\uff20])"""
)


def export(url: str, out: IO[bytes], form: Literal["csv", "jsonl"] = "jsonl", progress: Progress | None = None) -> int:
    """Write all events; returns their number. CSV has a header, and an empty field for what does not apply."""
    render = _csv if form == "csv" else _jsonl
    if form == "csv":
        out.write(_csv([_NAMES]))
    done = 0
    where = address_of(url)
    with as_ledger_error(where):
        with open_store(where):
            pass  # an older one is brought up to date
        with snapshot(where) as read:
            ((total,),) = read(_COUNT)
            chunk: Sequence[tuple[Any, ...]] = [(0,)]
            while chunk := read(_SELECT, (chunk[-1][0], ROWS)):
                out.write(render(map(_values, chunk)))
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    return done


def _values(row: tuple[Any, ...]) -> tuple[Any, ...]:
    event = AuditEvent._make(row)
    moments = (event.generated, event.expires, event.issued_before)
    return (
        *(event.seq, event.kind, timestamp(event.at), event.id),
        *(event.prefix, event.run, event.domain, event.version),
        *(None if moment is None else timestamp(moment) for moment in moments),
        *(event.environment, event.caller, event.request_id, event.token, event.subject, event.rate_limit),
    )


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(map(_inert, row) for row in rows)  # RFC 4180
    return text.getvalue().encode("utf-8", "replace")


def _inert(value: Any) -> Any:
    return _FORMULA.sub("'", value) if isinstance(value, str) else value


def _jsonl(rows: Iterable[Sequence[Any]]) -> bytes:
    return b"".join(orjson.dumps(dict(zip(_NAMES, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE) for row in rows)
