"""A scripted service: it gives the answers that it is handed, and keeps the requests. It knows no rule of the API."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from arsenal_identity import AsyncClient, Client, Retry

Answer = httpx.Response | httpx.RequestError

IDENTITY: dict[str, Any] = {
    "id": "player-123456@sports.api.yourbook.com/v1:id",
    "email": "player-123456@sports.api.yourbook.com",
    "ttl": 3600,
    "generated": "2026-11-22T10:00:00.000Z",
    "expires": "2026-11-22T11:00:00.000Z",
    "token": "a.b.c",
    "metadata": {
        "prefix": "player",
        "run": "123456",
        "domain": "sports.api.yourbook.com",
        "version": "v1",
        "type": "disposable-identity",
        "compatible": ["nexus"],
        "added": "by a later release",
    },
}


def ok(document: object) -> httpx.Response:
    """An answer with JSON."""
    return httpx.Response(200, json=document)


def problem(status: int, headers: Mapping[str, str] | None = None, **members: object) -> httpx.Response:
    """An answer with a problem document."""
    document = {"type": "about:blank", "title": "A problem", "status": status, "detail": "It says why.", **members}
    fields = {"Content-Type": "application/problem+json", **(headers or {})}
    return httpx.Response(status, content=json.dumps(document).encode(), headers=fields)


class Scripted:
    """Answers in order, and what was sent and waited for."""

    def __init__(self, *answers: Answer, retry: Retry | None = None, token: str | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self._answers = list(answers)
        transport = httpx.MockTransport(self._answer)
        retry = retry or Retry(chance=lambda: 1.0)
        url = "http://identity.test"
        self.client = Client(url, token=token, retry=retry, transport=transport, sleep=self.waits.append)
        self.async_client = AsyncClient(url, token=token, retry=retry, transport=transport, sleep=self._sleep)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, httpx.RequestError):
            raise answer
        return answer

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def body(self) -> Any:
        """The JSON of the newest request."""
        return json.loads(self.requests[-1].content)


def ask(scripted: Scripted, call: Callable[[Client], object]) -> object:
    """The result of a call, or its exception."""
    try:
        return call(scripted.client)
    except Exception as error:
        return error
