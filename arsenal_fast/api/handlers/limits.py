"""``GET /api/v1/limits``: the caller's remaining quota; not charged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.services import Services
from arsenal_fast.ratelimit.headers import QuotaState, tightest
from arsenal_fast.ratelimit.quota import UNLIMITED

_NO_LIMIT: Final[dict[str, object]] = {"policy": None, "limit": None, "window": None, "remaining": None, "reset": 0}


def limits(services: Services, context: RequestContext) -> None:
    def done(lines: bytes, states: Sequence[QuotaState]) -> None:
        client = context.client  # perhaps another one than before, where a token has ended
        context.limit_lines = lines
        first = _told(tightest(states)) if states else _NO_LIMIT
        context.answer({"client": client.key, **first, "policies": list(map(_told, states))})

    if services.limits is not None:
        context.client = services.limits.of_caller(context.client)
    if context.client.quota is UNLIMITED and not context.client.token:
        done(b"", ())
    else:
        services.admission.look(context, context.guard(done))


def _told(state: QuotaState) -> dict[str, object]:
    quota, remaining, reset = state
    return {
        "policy": quota.policy,
        "limit": quota.limit,
        "window": quota.window,
        "remaining": remaining,
        "reset": reset,
    }
