"""``/api/v1/tokens``: mints, lists, limits and withdraws service tokens; for service tokens of scope ``tokens``.

A caller hands on no scope that its own token lacks. The token itself is in the response that mints it, and in no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from arsenal_fast.api import auth
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.handlers.audit import DEFAULT_LIMIT, read_limit
from arsenal_fast.api.json_body import Values, check_form, raise_faults, read_object
from arsenal_fast.api.services import Services
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.query import parse_query
from arsenal_fast.identity.amendments import DEFAULT_DAYS, LONGEST_DAYS
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.ledger.model import TokenQuery
from arsenal_fast.registry.service_tokens import (
    Outcome,
    TokenOrder,
    name_fault,
    state_of,
)
from arsenal_fast.tokens.claims import (
    ID_LENGTH,
    MAX_RATE_LIMIT,
    SCOPES,
    is_scope,
    is_token_id,
    subject_fault,
)

ID_RANGE: Final = f"A token's id is {ID_LENGTH} of 0-9 a-f."

_PARAMETERS: Final = ("subject", "limit", "cursor")
_ORDER: Final = ("subject", "scope", "rate_limit", "days", "per_subject", "name")
_WHAT: Final = "To work on service tokens"
_AWAY: Final = "Neither the shared state nor the ledger can be written, so nothing was changed; try again."
_CURSOR: Final = re.compile(rf"([0-9]{{1,15}})-([0-9a-f]{{{ID_LENGTH}}})").fullmatch


async def list_tokens(services: Services, context: RequestContext) -> None:
    """Respond with one page of minted tokens, newest first."""
    auth.demand(context.client, auth.TOKENS, _WHAT)
    given = parse_query(context.request.query, _PARAMETERS, services.ignored_parameters)
    values = Values(given, query=True)
    limit = values.read("limit", read_limit, DEFAULT_LIMIT)
    subject = values.text("subject", subject_fault, None)
    after = values.read("cursor", _cursor, None)
    raise_faults(values.faults)

    states = await services.service_tokens.page(TokenQuery(limit + 1, subject=subject, after=after))
    if states is None:
        context.unavailable("The ledger can't be read just now, or there is none.")
        return
    page = states[:limit]
    last = page[-1].record if len(states) > limit else None
    answer = {
        "tokens": [state.members() for state in page],
        "total": len(page),
        "cursor": None if last is None else f"{last.issued_ms}-{last.id}",
    }
    context.answer(answer)


async def mint_token(services: Services, context: RequestContext) -> None:
    """Respond with a new token."""
    auth.demand(context.client, auth.TOKENS, _WHAT)
    order = _order(read_object(context.request, _ORDER))
    held = context.client.scopes
    # Who may issue all protected prefixes may hand on one of them.
    lacking = [scope for scope in order.scopes if scope not in held and scope.partition(":")[0] not in held]
    if lacking:
        raise ProblemError(403, f"A token can't hand on a scope that it lacks: {', '.join(lacking)}.")
    token, record = await services.service_tokens.mint(order, context.audit())
    state = state_of(record, services.identities.sync.amendments, services.now())
    context.answer({**state.members(), "token": token}, status=201)


async def revoke_token(services: Services, context: RequestContext) -> None:
    """Withdraw one token, or all of a subject."""
    auth.demand(context.client, auth.TOKENS, _WHAT)
    body = read_object(context.request, ("id", "subject"))
    check_form(body, ({"id"}, {"subject"}), "The body does not say which tokens to withdraw.", "id or subject")
    values = Values(body)
    token_id, subject = values.text("id", id_fault, ""), values.text("subject", subject_fault, "")
    raise_faults(values.faults)
    tokens = services.service_tokens
    if token_id:
        outcome = await tokens.revoke(token_id, context.audit())
    else:
        outcome = await tokens.revoke_subject(subject, context.audit())
    if outcome is None:
        context.unavailable(_AWAY)
    else:
        context.answer(_changed(outcome, "revoked"))


async def limit_token(services: Services, context: RequestContext) -> None:
    """Give one token another limit."""
    auth.demand(context.client, auth.TOKENS, _WHAT)
    body = read_object(context.request, ("id", "rate_limit"))
    check_form(body, ({"id", "rate_limit"},), "The body does not say which limit to change.", "id and rate_limit")
    values = Values(body)
    token_id = values.text("id", id_fault, "")
    rate_limit = values.read("rate_limit", _whole("rate_limit", MAX_RATE_LIMIT), 0)
    raise_faults(values.faults)
    outcome = await services.service_tokens.limit(token_id, rate_limit, context.audit())
    if outcome is None:
        context.unavailable(_AWAY)
    elif not outcome.in_force:
        context.refuse(ProblemError(409, "The token has been withdrawn, or its limit was changed a moment ago."))
    else:
        context.answer(_changed(outcome, "limited"))


def id_fault(text: str) -> str | None:
    """Return what is wrong with the id of a token, or None."""
    return None if is_token_id(text) else ID_RANGE


def _changed(outcome: Outcome, status: str) -> dict[str, Any]:
    change = outcome.change
    return {
        "id": change.token_id,
        "subject": change.subject,
        "status": status,
        "rate_limit": change.rate_limit,
        "known": outcome.known,
        "at": timestamp(change.at),
    }


def _order(body: dict[str, Any]) -> TokenOrder:
    values = Values(body)
    for name in ("subject", "rate_limit"):
        if name not in body:
            values.add(name, f"{name} is required")
    scope = values.text("scope", _scope_fault, "")
    order = TokenOrder(
        values.text("subject", subject_fault, ""),
        scope.split(),
        values.read("rate_limit", _whole("rate_limit", MAX_RATE_LIMIT), 0),
        values.read("days", _whole("days", LONGEST_DAYS), DEFAULT_DAYS),
        values.read("per_subject", _whole("per_subject", MAX_RATE_LIMIT), 0),
        values.text("name", name_fault, ""),
    )
    if ("behalf" in order.scopes) != bool(order.per_subject) and not values.faults:
        values.add("per_subject", "per_subject is the limit of each end user: with the scope behalf, and only then")
    raise_faults(values.faults)
    return order


def _scope_fault(text: str) -> str | None:
    words = text.split(" ") if text else []
    good = len(set(words)) == len(words) and all(map(is_scope, words))
    return None if good else f"scope must be words of {', '.join(SCOPES)} between spaces, each at most once"


def _whole(name: str, high: int) -> Callable[[object], int]:
    def reader(value: object) -> int:
        if type(value) is not int or not 1 <= value <= high:
            raise ValueError(f"{name} must be a whole number from 1 to {high}")
        return value

    return reader


def _cursor(text: str) -> tuple[int, str]:
    match = _CURSOR(text)
    if match is None:
        raise ValueError("cursor must be the one that the page before ended with.")
    return int(match[1]), match[2]
