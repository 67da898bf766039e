"""Clients that check every response: valid, their own, and the same as before.

Each works on one kept connection: a new identity, an old one again, and a validation of each. An answer must have a
status of 2xx, the nonce that was sent as X-Request-Id, and the requested identity; an identity must keep its
life and its token, from any process.
"""

import asyncio
import itertools
from collections import Counter
from typing import Any

from tests.support.haproxy import SERVED_BY
from tests.support.http_client import Client, Gone, clients
from tests.support.loops import until
from tests.support.service import ServiceProcess


class Users:
    """Clients, each on one connection for as long as the server keeps it; their responses and failures."""

    def __init__(
        self, port: int, identities: int | None = None, *, kept: int | None = None, pause_s: float = 0.0
    ) -> None:
        """``identities``: after so many a client begins again with its first; None: there is always a new one.

        ``kept``: turns of a connection, of which every second one is then reset and not closed; None: it is kept.
        ``pause_s``: after each turn, which is an identity and its validation.
        """
        self._port = port
        self._kept = kept
        self._pause_s = pause_s
        self._nonces = itertools.count()
        self._turns = None if identities is None else 2 * identities
        self.known: dict[str, tuple[str, str, str]] = {}
        """Generated, expires and token of each identity."""
        self.answers: Counter[str] = Counter()
        """By the replica that has answered, as the balancer names it; "" without one."""
        self.failures: list[str] = []
        self.connections = 0
        self.stopped = False

    async def use(self, number: int) -> None:
        """In turn a new identity and an old one again, each validated; until stopped."""
        turns = itertools.count() if self._turns is None else itertools.cycle(range(self._turns))
        while not self.stopped:
            self.connections += 1
            async with clients(self._port, 1) as (client,):
                for turn in itertools.islice(turns, self._kept):
                    mine = turn // 2 if turn % 2 == 0 else turn // 4
                    identity = await self._issued(client, f"{number}.{mine}")
                    if identity is None or not await self._validated(client, identity) or self.stopped:
                        break  # a failure was noted; continue with a new connection
                    if self._pause_s:
                        await asyncio.sleep(self._pause_s)  # the pace of a person
                else:
                    if self.connections % 2:
                        client.reset()

    async def _issued(self, client: Client, run_: str) -> str | None:
        answer = await self._ask(client, "GET", f"/api/v1/id?prefix=player&run={run_}", None)
        if answer is None:
            return None
        told = (answer["generated"], answer["expires"], answer["token"])
        if answer["id"] != f"player-{run_}@sports.api.yourbook.com/v1:id":
            self.failures.append(f"asked for {run_}, got {answer['id']}")
        elif self.known.setdefault(answer["id"], told) != told:
            self.failures.append(f"{answer['id']} has another life: {told}, not {self.known[answer['id']]}")
        return str(answer["id"])

    async def _validated(self, client: Client, identity: str) -> bool:
        question = {"identity": identity, "token": self.known[identity][2]}
        answer = await self._ask(client, "POST", "/api/v1/validate", question)
        if answer is None:
            return False
        if (answer["identity"], answer["valid"]) != (identity, True):
            self.failures.append(f"{identity} is {answer['status']}: {answer['reason']}")
        return True

    async def _ask(self, client: Client, method: str, target: str, body: object) -> Any:
        """The JSON of a good answer; None where there is none, which is noted."""
        nonce = f"n-{next(self._nonces)}"
        try:
            if method == "GET":
                answer = await client.get(target, X_Request_Id=nonce)
            else:
                answer = await client.post(target, body, X_Request_Id=nonce)
        except (Gone, TimeoutError) as error:
            self.failures.append(f"{method} {target}: {error or 'no answer'}")
            return None
        if not 200 <= answer.status < 300:
            self.failures.append(f"{method} {target}: {answer.status} {answer.text[:200]}")
            return None
        if (echoed := answer.headers.get("x-request-id")) != nonce:
            self.failures.append(f"{method} {target}: the answer is that of {echoed}, not of {nonce}")
        self.answers[answer.headers.get(SERVED_BY.lower(), "")] += 1
        return answer.json

    async def served_by(self, *services: ServiceProcess, count: int) -> None:
        """Wait until each of them has answered so many more."""
        goals = {str(service.port): self.answers[str(service.port)] + count for service in services}
        await until(lambda: all(self.answers[port] >= goal for port, goal in goals.items()))

    @property
    def verdict(self) -> str:
        """Empty where all went well."""
        if not self.failures:
            return ""
        return f"{len(self.failures)} of {self.answers.total()} requests have failed: {self.failures[:5]}"
