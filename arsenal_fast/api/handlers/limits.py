"""``GET /api/v1/limits``: the caller's remaining quota; not charged."""

from __future__ import annotations

import orjson

from arsenal_fast.api.admission import POLICY, TOKEN_POLICY
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.services import Services
from arsenal_fast.http.response import JSON, tail


def limits(services: Services, context: RequestContext) -> None:
    client = context.client
    quota = client.quota if services.settings.quota else None

    def answer(lines: bytes, remaining: int | None, reset: int) -> None:
        context.limit_lines = lines
        body = {
            "client": client.key,
            "policy": (TOKEN_POLICY if client.token else POLICY) if quota else None,
            "limit": quota.limit if quota else None,
            "window": quota.window if quota else None,
            "remaining": remaining,
            "reset": reset,
        }
        context.respond(200, tail(JSON, orjson.dumps(body), b"Cache-Control: no-store\r\n"))

    if quota is None:
        answer(b"", None, 0)
    else:
        services.admission.look(client, context.guard(answer))
