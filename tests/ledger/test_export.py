"""The export of all events, as CSV and as JSON lines."""

import csv
import io
import json
import re
from contextlib import closing
from typing import Literal

import pytest

from arsenal_fast.ledger import export as exporting
from arsenal_fast.ledger.export import export
from tests.support.ledger import T0, id_of, opened, put, revoked, row
from tests.support.ledger_copies import exported, fill


def test_json_lines_tell_every_event_oldest_first(url: str) -> None:
    fill(url, 2)
    lines = [json.loads(line) for line in exported(url).splitlines()]
    assert [line["kind"] for line in lines] == [
        *("issued", "issued", "revoked", "revoked_prefix", "revoked_all", "renewed", "audit_read")
    ]
    assert lines[0] | {"seq": 1} == {
        "seq": 1,
        "kind": "issued",
        "at": "2026-09-21T14:13:20.000Z",
        "id": id_of(0),
        "prefix": "player",
        "run": "0",
        "domain": "sports.api.yourbook.com",
        "version": "v1",
        "generated": "2026-09-21T14:13:20.000Z",
        "expires": "2026-09-21T15:13:20.000Z",
        "issued_before": None,
        "environment": "prod",
        "caller": "203.0.113.9",
        "request_id": None,
    }


def test_csv_has_a_header_and_survives_hostile_text(url: str) -> None:
    hostile = 'a,"b"\r\n=c;\'d'
    with closing(opened(url)) as store:
        put(store, row(1, environment=hostile))
    header, line = csv.reader(io.StringIO(exported(url, "csv"), newline=""))
    told = dict(zip(header, map(restored, line), strict=True))
    assert (told["id"], told["environment"], told["request_id"]) == (id_of(1), hostile, "")


def restored(cell: str) -> str:
    """What docs/ledger.md says of reading a cell."""
    return re.sub(r"""(^|[,;|"\x00-\x1f])'""", r"\1", cell)


# OWASP, "CSV Injection": the characters that begin a formula, white space, and their full-width forms.
FORMULAS = [
    *(f"{sign}1+1|'cmd'!A0" for sign in "=+-@\t\r\n＝＋－＠"),
    *(f"{before}=HYPERLINK(1)" for before in (" ", "  ", "\u00a0", "\ufeff", '"', '""', "'", "\"' ", "\x0b")),
    *(f"harmless{end}=1+1" for end in (",", ";", "|", "\t", "\r\n", '"', '",', "; ", ";'", '";"')),
]

HARMLESS = ["production", "a=b", "sub:ci-4@x", "2001:db8::1", "it's", "50% - 3", "", "a;b,c", "x '=1'"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_csv_begins_a_formula_and_the_text_can_be_had_back(sqlite_url: str, text: str) -> None:
    with closing(opened(sqlite_url)) as store:
        put(store, row(1, environment=text, caller=text, request_id=text))
        store.write([revoked(2, T0, prefix=text)])
    _, line, parts = csv.reader(io.StringIO(exported(sqlite_url, "csv"), newline=""))
    cells = [*line[-3:], parts[3], parts[4]]
    # As any spreadsheet may split it, with the separator of any locale.
    pieces = [piece for cell in cells for piece in re.split(r"[,;|\t\r\n\x0b]", cell)]
    assert [piece for piece in pieces if piece.strip(' "\u00a0\ufeff')[:1] in [*"=+-@＝＋－＠"]] == []
    assert [cell for cell in cells if cell[0] in "=+-@＝＋－＠\t\r\n"] == []
    assert [restored(cell) for cell in line[-3:]] == [text] * 3
    assert restored(parts[4]) == text
    assert [json.loads(line)["caller"] for line in exported(sqlite_url).splitlines()] == [text, "ops"]


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_is_exported_to_csv_as_it_is(sqlite_url: str, text: str) -> None:
    with closing(opened(sqlite_url)) as store:
        put(store, row(1, environment=text))
    _, line = csv.reader(io.StringIO(exported(sqlite_url, "csv"), newline=""))
    assert line[-3] == text


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_goes_in_chunks_and_tells_its_progress(
    url: str, form: Literal["csv", "jsonl"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROWS", 10)
    with closing(opened(url)) as store:
        put(store, *(row(number) for number in range(25)))
    told: list[tuple[int, int]] = []
    out = io.BytesIO()
    assert export(url, out, form, lambda done, whole: told.append((done, whole))) == 25
    assert told == [(10, 25), (20, 25), (25, 25)]
    assert out.getvalue().count(b"\n") == 25 + (form == "csv")


def test_an_empty_ledger_exports_nothing(url: str) -> None:
    opened(url).close()
    assert exported(url) == ""
