"""``GET /api/v1/audit``: the ledger, newest first; for service tokens of scope ``audit``.

Each reading is recorded as an event: its caller, moment and query.
"""

from __future__ import annotations

import re
from typing import Any, Final

from arsenal_fast.api import auth
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.handlers.revocation import moment
from arsenal_fast.api.json_body import Values, raise_faults
from arsenal_fast.api.problems import NO_LEDGER
from arsenal_fast.api.services import Services
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.query import parse_query
from arsenal_fast.identity import grammar
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.ledger.model import MAX_PAGE, AuditEvent, AuditPage, AuditQuery, parse_cursor, write_cursor
from arsenal_fast.replies import reply

DEFAULT_LIMIT: Final = 100
"""Events of a page, by default."""
_PARAMETERS: Final = ("prefix", "run", "since", "until", "limit", "cursor")
_MOMENTS: Final = ("generated", "expires", "issued_before")
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,3}").fullmatch


async def audit(services: Services, context: RequestContext) -> None:
    """Respond with one page of events."""
    auth.demand(context.client, auth.AUDIT, "The audit")
    query = _query(services, context)
    ledger = services.ledger
    if ledger is None:
        context.refuse(ProblemError(503, "This service keeps no ledger (DATABASE_URL is none).", kind=NO_LEDGER))
        return

    page: AuditPage | None = await reply(ledger.audit, query)
    if page is None:
        context.unavailable("The ledger can't be read just now; try again.")
        return
    answer = {
        "events": [_event(event) for event in page.events],
        "total": len(page.events),
        "cursor": None if page.after is None else write_cursor(page.after),
    }
    context.answer(answer)


def _query(services: Services, context: RequestContext) -> AuditQuery:
    given = parse_query(context.request.query, _PARAMETERS, services.ignored_parameters)
    values = Values(given, query=True)
    caller, request_id, _ = context.audit()
    query = AuditQuery(
        at=services.now_ms(),
        caller=caller,
        request_id=request_id,
        prefix=values.text("prefix", grammar.prefix_fault, None),
        run=values.text("run", grammar.run_fault, None),
        since=values.read("since", moment, None),
        until=values.read("until", moment, None),
        limit=values.read("limit", read_limit, DEFAULT_LIMIT),
        after=values.read("cursor", parse_cursor, None),
    )
    raise_faults(values.faults)
    return query


def read_limit(text: str) -> int:
    """Return the rows of a page; raises ValueError with one sentence."""
    if _LIMIT(text) is None or int(text) > MAX_PAGE:
        raise ValueError(f"limit must be a whole number from 1 to {MAX_PAGE}")
    return int(text)


def _event(event: AuditEvent) -> dict[str, Any]:
    further = {name: getattr(event, name) for name in AuditEvent._fields[3:]}
    further |= {name: timestamp(further[name]) for name in _MOMENTS if further[name] is not None}
    return {"sequence": event.seq, "event": event.kind, "at": timestamp(event.at), "identity": event.id, **further}
