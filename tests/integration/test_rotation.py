"""JWT_SECRET is rotated by rolling restarts under load, as docs/identity-and-trust.md says.

Two replicas behind a balancer. Clients use a service token of the old secret for a protected prefix, and validate
and revoke with every identity token that they ever got, of any replica and secret. First roll-out: the
new secret verifies. Second: it signs. No request may be refused in either, nor in between, when the replicas differ.
Then the old secret goes, and what it signed with it.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pytest

from tests.support.http_client import Client, clients
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess, command, free_port

pytestmark = pytest.mark.integration

CONNECTIONS: Final = 8
SERVED: Final = 300  # answers before, between and after the roll-outs
KEPT: Final = 5_000  # identity tokens
OLD: Final = "the old secret, of forty and more octets."
NEW: Final = "the new secret, of forty and more octets."
ENV: Final = {
    "RATE_LIMIT_REQUESTS": "1000000",
    "API_BASE_URL": "http://127.0.0.1",
    "PROTECTED_PREFIXES": "vip",
    "DRAIN_DELAY": "0.3",  # in which every connection hears that it closes
}


def minted(secret: str) -> str:
    """A service token, by the command that operators use."""
    arguments = ("--subject", "sports-book", "--scope", "issue", "--rate-limit", "1000000", "--days", "1")
    done = command("token", *arguments, env={**ENV, "JWT_SECRET": secret})
    assert done.returncode == 0, done.stderr
    return f"Bearer {done.stdout.strip()}"


class Cluster:
    """Two replicas; new connections go to those that are not being replaced."""

    def __init__(self, **env: str) -> None:
        self._env = {**ENV, **env}
        self._running: dict[int, ServiceProcess] = {}
        self.ready: list[int] = []

    async def roll_out(self, **secrets: str) -> None:
        """Replace one replica after the other; the first time start them."""
        for port in list(self._running) or [free_port(), free_port()]:
            if port in self._running:
                self.ready.remove(port)
                self._running[port].send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(self._running[port].wait) == 0
            self._running[port] = service = ServiceProcess(**self._env, **secrets, PORT=str(port))
            await asyncio.to_thread(service.start)
            self.ready.append(port)

    async def token(self, bearer: str) -> Any:
        """The response with one more identity."""
        async with clients(self.ready, 1) as (client,):
            return (await client.get("/api/v1/id?prefix=vip", Authorization=bearer)).json

    def stop(self) -> None:
        for service in self._running.values():
            service.stop()


class Users:
    """What the clients of the cluster have received. ``bearers``: service tokens that are valid now."""

    def __init__(self, cluster: Cluster, bearers: Sequence[str]) -> None:
        self._cluster = cluster
        self.bearers = bearers
        self.tokens: list[tuple[str, str]] = []
        """Identities and their tokens, none of them revoked."""
        self.answers: Counter[tuple[str, object]] = Counter()
        self.stopped = False

    async def more(self, answers: int) -> None:
        wanted = self.answers.total() + answers
        await until(lambda: self.answers.total() >= wanted)

    async def use(self, number: int) -> None:
        """Keep a connection until an answer says that it closes."""
        chance = random.Random(number)
        while not self.stopped:
            async with clients(chance.choice(self._cluster.ready), 1) as (client,):
                while not self.stopped and not await self._ask(client, chance):
                    pass

    async def _ask(self, client: Client, chance: random.Random) -> bool:
        """One request; whether the connection closes."""
        kind = chance.choice(["issue", "issue", "validate", "validate both", "revoke"]) if self.tokens else "issue"
        result: object
        if kind == "issue":
            answer = await client.get("/api/v1/id?prefix=vip", Authorization=chance.choice(self.bearers))
            result = answer.status
            if result == 200 and len(self.tokens) < KEPT:
                self.tokens.append((answer.json["id"], answer.json["token"]))
        elif kind == "revoke":
            identity, token = self.tokens.pop(chance.randrange(len(self.tokens)))
            answer = await client.post("/api/v1/revoke", {"identity": identity, "token": token})
            result = answer.status
        else:
            # Out of the list, so that no client revokes it meanwhile.
            identity, token = self.tokens.pop(chance.randrange(len(self.tokens)))
            body = {"token": token} if kind == "validate" else {"identity": identity, "token": token}
            answer = await client.post("/api/v1/validate", body)
            result = answer.json["status"] if answer.status == 200 else answer.status
            self.tokens.append((identity, token))
        self.answers[kind, result] += 1
        return answer.closes


def test_a_secret_is_rotated_under_load_and_no_token_that_should_hold_is_refused(
    own_redis: RedisServer, sqlite_url: str
) -> None:
    cluster = Cluster(REDIS_URL=own_redis.url, DATABASE_URL=sqlite_url)
    old, new = minted(OLD), minted(NEW)
    users = Users(cluster, [old])

    async def scenario() -> None:
        await cluster.roll_out(JWT_SECRET=OLD)
        async with asyncio.TaskGroup() as tasks:
            for number in range(CONNECTIONS):
                tasks.create_task(users.use(number))
            await users.more(SERVED)
            first = await cluster.token(old)
            await cluster.roll_out(JWT_SECRET=OLD, JWT_SECRET_PREVIOUS=NEW)
            users.bearers = [old, new]
            await users.more(SERVED)
            await cluster.roll_out(JWT_SECRET=NEW, JWT_SECRET_PREVIOUS=OLD)
            await users.more(SERVED)
            last = await cluster.token(new)
            users.stopped = True
        assert {users.answers[kind, 200] > SERVED // 10 for kind in ("issue", "revoke")} == {True}
        # The old secret goes.
        await cluster.roll_out(JWT_SECRET=NEW)
        async with clients(cluster.ready, 2) as opened:
            for client in opened:
                assert (await client.get("/api/v1/id?prefix=vip", Authorization=new)).status == 200
                refused = await client.get("/api/v1/id?prefix=vip", Authorization=old)
                assert refused.status == 401
                assert refused.headers["www-authenticate"].startswith("Bearer")
                bodies = ({"token": last["token"]}, {"token": first["token"]}, {"identity": first["id"]})
                verdicts = [(await client.post("/api/v1/validate", body)).json["valid"] for body in bodies]
                assert verdicts == [True, False, True], "identities live on; what the old secret signed does not"

    try:
        run(scenario(), deadline=60)
    finally:
        cluster.stop()
    print(f"\n{users.answers.total()} answers over two roll-outs: {dict(users.answers)}")
    assert set(users.answers) == {
        ("issue", 200),
        ("revoke", 200),
        ("validate", "active"),
        ("validate both", "active"),
    }
