"""``POST /api/v1/revoke``: revokes one identity, a prefix, or everything.

The holder of an identity's token may revoke that identity; everything else needs a service token of scope ``revoke``.
One identity is revoked by a floor, many by an epoch that validation compares with, so without a scan. The response is
sent when the shared store has the revocation; the next request to any worker sees it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from arsenal_fast.api import auth
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.json_body import Values, check_form, check_strings, raise_faults, read_object
from arsenal_fast.api.problems import REFUSED_TOKEN, UNKNOWN_IDENTITY
from arsenal_fast.api.services import Services
from arsenal_fast.errors import ProblemError
from arsenal_fast.identity import grammar
from arsenal_fast.identity.grammar import Identity, Malformed
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.tokens.claims import IdentityToken, Refusal

_AWAY: Final = "The shared state is away, so nothing was revoked; try again."
_FORMS: Final = ({"identity"}, {"identity", "token"}, {"issued_before"}, {"prefix", "issued_before"})
_MEMBERS: Final = ("identity", "token", "prefix", "issued_before")

# RFC 3339 section 5.6; fromisoformat() alone takes much more. .NET writes seven digits of a second, Go and Java nine.
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]++))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
).fullmatch


async def revoke(services: Services, context: RequestContext) -> None:
    """Revoke the identity, prefix or everything, as the body says."""
    body = read_object(context.request, _MEMBERS)
    check_strings(body, body)
    needed = "identity, identity and token, issued_before, or prefix and issued_before"
    check_form(body, _FORMS, "The body does not say what to revoke.", needed)
    if "identity" in body:
        await _revoke_identity(services, context, body)
    else:
        await _revoke_epoch(services, context, body)


def moment(text: str) -> int:
    """Return the ms of an RFC 3339 date-time, rounded down; ValueError with one sentence for anything else.

    A leap second counts as the second after it, as clocks of POSIX have it.
    """
    try:
        found = _MOMENT(text)
        if found is None:
            raise ValueError
        day, minute, second, fraction, offset = found.groups("0")
        is_leap = second == "60"
        at = datetime.fromisoformat(f"{day}T{minute}:{'59' if is_leap else second}.{fraction[:3]:0<3}{offset.upper()}")
        if is_leap:
            at = at.astimezone(UTC) + timedelta(seconds=1)
            if (at.day, at.hour, at.minute) != (1, 0, 0):  # they end a month (RFC 3339 section 5.7)
                raise ValueError
        return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise ValueError("must be an RFC 3339 date-time such as 2026-11-22T10:00:00.000Z") from None


async def _revoke_identity(services: Services, context: RequestContext, body: dict[str, Any]) -> None:
    identity = grammar.parse(body["identity"])
    if isinstance(identity, Malformed):
        raise ProblemError(400, identity.reason, [{"pointer": "/identity", "detail": identity.reason}])
    token = None
    if "token" in body:
        token = _own_token(services, identity, body["token"])
    else:
        auth.demand(context.client, auth.REVOKE, "To revoke an identity without its token")

    revoked = await services.revoker.revoke(identity, token, context.audit())
    if revoked is None:
        context.unavailable(_AWAY)
    elif not revoked.known:
        detail = "This service has no record of the identity: there is nothing to revoke."
        context.refuse(ProblemError(404, detail, kind=UNKNOWN_IDENTITY))
    else:
        answer = {
            "identity": identity.id,
            "status": "revoked",
            "already": revoked.already,
            "generated": timestamp(revoked.life.generated),
            "revoked": timestamp(revoked.floor),
        }
        context.answer(answer)


def _own_token(services: Services, identity: Identity, text: str) -> IdentityToken:
    token = services.keys.verify_identity(text, services.now())
    if isinstance(token, Refusal):
        raise _refused_token(token.sentence, token.sentence)
    if token.id != identity.id:
        raise _refused_token("The token does not allow this.", "is the token of another identity")
    return token


def _refused_token(sentence: str, detail: str) -> ProblemError:
    return ProblemError(403, sentence, [{"pointer": "/token", "detail": detail}], kind=REFUSED_TOKEN)


async def _revoke_epoch(services: Services, context: RequestContext, body: dict[str, Any]) -> None:
    auth.demand(context.client, auth.REVOKE, "To revoke more than one identity")
    values = Values(body)
    before = values.read("issued_before", partial(_past, services.now_ms()), 0)
    prefix = values.text("prefix", grammar.prefix_fault, None)
    raise_faults(values.faults)

    epoch_ms = await services.revoker.revoke_before(prefix, before, context.audit())
    if epoch_ms is None:
        context.unavailable(_AWAY)
    else:
        context.answer({"prefix": prefix, "status": "revoked", "issued_before": timestamp(epoch_ms)})


def _past(now_ms: int, text: str) -> int:
    before = moment(text)
    if not 0 < before <= now_ms + 1:
        raise ValueError("must be a moment from 1970 until now")
    return before
