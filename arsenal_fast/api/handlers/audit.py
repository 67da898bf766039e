"""``GET /api/v1/audit``: the ledger, newest first; for service tokens of scope ``audit``.

Each reading is recorded as an event: its caller, moment and query.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson

from arsenal_fast.api import auth
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.handlers.revocation import moment
from arsenal_fast.api.json_body import raise_faults
from arsenal_fast.api.problems import problem
from arsenal_fast.api.services import Services
from arsenal_fast.errors import Fault
from arsenal_fast.http.query import parse_query
from arsenal_fast.http.response import JSON, tail
from arsenal_fast.identity import grammar
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.ledger.model import MAX_PAGE, AuditEvent, AuditPage, AuditQuery, parse_cursor, write_cursor
from arsenal_fast.ratelimit.headers import retry_after_line
from arsenal_fast.replies import reply

T = TypeVar("T")

DEFAULT_LIMIT: Final = 100
"""Events of a page, by default."""
_PARAMETERS: Final = frozenset({"prefix", "run", "since", "until", "limit", "cursor"})
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,3}").fullmatch
_NO_STORE: Final = b"Cache-Control: no-store\r\n"


async def audit(services: Services, context: RequestContext) -> None:
    """Respond with one page of events."""
    auth.demand(context.client, auth.AUDIT, "The audit")
    query = _query(services, context)
    ledger = services.ledger
    if ledger is None:
        context.respond(503, problem(503, "This service keeps no ledger (DATABASE_URL is none)."))
        return

    page: AuditPage | None = await reply(ledger.audit, query)
    if page is None:
        detail = "The ledger can't be read just now; try again."
        context.respond(503, problem(503, detail, lines=retry_after_line(1)))
        return
    body = {
        "events": [_event(event) for event in page.events],
        "total": len(page.events),
        "cursor": None if page.after is None else write_cursor(page.after),
    }
    context.respond(200, tail(JSON, orjson.dumps(body), _NO_STORE))


def _query(services: Services, context: RequestContext) -> AuditQuery:
    given = parse_query(context.request.query, _PARAMETERS)
    faults: list[Fault] = []

    def read(name: str, reader: Callable[[str], T], default: T) -> T:
        if name not in given:
            return default
        try:
            return reader(given[name])
        except ValueError as error:
            faults.append({"parameter": name, "detail": str(error)})
            return default

    caller, request_id, _ = context.audit()
    query = AuditQuery(
        at=services.now_ms(),
        caller=caller,
        request_id=request_id,
        prefix=read("prefix", _checked(grammar.prefix_fault), None),
        run=read("run", _checked(grammar.run_fault), None),
        since=read("since", moment, None),
        until=read("until", moment, None),
        limit=read("limit", _limit, DEFAULT_LIMIT),
        after=read("cursor", parse_cursor, None),
    )
    raise_faults(faults)
    return query


def _checked(fault: Callable[[str], str | None]) -> Callable[[str], str | None]:
    def read(text: str) -> str | None:
        detail = fault(text)
        if detail is not None:
            raise ValueError(detail)
        return text

    return read


def _limit(text: str) -> int:
    if _LIMIT(text) is None or int(text) > MAX_PAGE:
        raise ValueError(f"limit must be a whole number from 1 to {MAX_PAGE}")
    return int(text)


def _event(event: AuditEvent) -> dict[str, Any]:
    return {
        "sequence": event.seq,
        "event": event.kind,
        "at": timestamp(event.at),
        "identity": event.id,
        "prefix": event.prefix,
        "run": event.run,
        "domain": event.domain,
        "version": event.version,
        "generated": None if event.generated is None else timestamp(event.generated),
        "expires": None if event.expires is None else timestamp(event.expires),
        "issued_before": None if event.issued_before is None else timestamp(event.issued_before),
        "environment": event.environment,
        "caller": event.caller,
        "request_id": event.request_id,
    }
