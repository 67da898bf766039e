"""Filled ledgers for the tests of the commands."""

import io
from contextlib import closing
from typing import Literal

from arsenal_fast.ledger.model import AuditQuery
from arsenal_fast.ledger.prune import export
from arsenal_fast.ledger.store import Lives
from tests.support.ledger import T0, opened, put, revoked, revoked_all, revoked_prefix, row

DAY = 86_400_000


def fill(url: str, rows: int = 50) -> None:
    with closing(opened(url)) as store:
        put(store, *(row(number, T0 + number, environment="prod") for number in range(rows)))
        store.write([revoked(1, T0 + 100, at=T0 + 100), revoked_prefix("other", T0 + 100), revoked_all(T0 - DAY)])
        store.write([Lives([row(1, T0 + 101, kind="renewed")]), AuditQuery(T0, "auditor")])


# Export


def exported(url: str, form: Literal["csv", "jsonl"] = "jsonl") -> str:
    out = io.BytesIO()
    export(url, out, form)
    return out.getvalue().decode()
