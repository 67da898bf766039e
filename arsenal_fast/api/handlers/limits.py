"""``GET /api/v1/limits``: what the caller may still do; looking costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from arsenal_fast.api.admission import POLICY, TOKEN_POLICY
from arsenal_fast.http.response import JSON, tail

if TYPE_CHECKING:
    from arsenal_fast.api.app import Service
    from arsenal_fast.api.context import Exchange


def limits(service: Service, exchange: Exchange) -> None:
    client = exchange.client
    quota = client.quota if service.settings.quota else None

    def answer(lines: bytes, remaining: int | None, reset: int) -> None:
        exchange.limits = lines
        body = {
            "client": client.key,
            "policy": (TOKEN_POLICY if client.token else POLICY) if quota else None,
            "limit": quota.limit if quota else None,
            "window": quota.window if quota else None,
            "remaining": remaining,
            "reset": reset,
        }
        exchange.respond(200, tail(JSON, orjson.dumps(body), b"Cache-Control: no-store\r\n"))

    if quota is None:
        answer(b"", None, 0)
    else:
        service.admission.look(client, exchange.guard(answer))
