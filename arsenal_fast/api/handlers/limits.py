"""``GET /api/v1/limits``: the caller's remaining quota; not charged."""

from __future__ import annotations

from arsenal_fast.api.admission import POLICY, TOKEN_POLICY
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.services import Services


def limits(services: Services, context: RequestContext) -> None:
    client = context.client
    quota = client.quota if services.settings.quota else None

    def done(lines: bytes, remaining: int | None, reset: int) -> None:
        context.limit_lines = lines
        answer = {
            "client": client.key,
            "policy": (TOKEN_POLICY if client.token else POLICY) if quota else None,
            "limit": quota.limit if quota else None,
            "window": quota.window if quota else None,
            "remaining": remaining,
            "reset": reset,
        }
        context.answer(answer)

    if quota is None:
        done(b"", None, 0)
    else:
        services.admission.look(client, context.guard(done))
