"""Two replicas with one Redis: revoked on one, refused by the other from the next request on.

Each try issues an identity, has both replicas remember it (so that the second one would answer from its memory),
revokes it on one, and sends the other one request: a validation, a validation of the dead life's token, the bytes
that it has answered from memory a moment ago (once, or over several connections one after the other, while the
first of them makes it hear of the revocation), or a batch. Several tries run at a time, over identities that live
again and again, under a load of others. COHERENCE_TRIES is their number; ``make prove-ledger`` takes 10,000.
"""

import asyncio
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter, time
from typing import Final

import pytest

from arsenal_fast.identity.validity import timestamp
from tests.support.http_client import Answer, Client, clients, post, request
from tests.support.issuing import moment
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess, command

pytestmark = pytest.mark.integration

TRIES: Final = int(os.environ.get("COHERENCE_TRIES", "500"))
LANES: Final = 8  # tries at a time
CROWD: Final = 6  # connections that send the same request one after the other
LOAD: Final = 4  # connections of the load
DOMAIN: Final = "sports.api.yourbook.com"
ENV: Final = {
    "RATE_LIMIT_REQUESTS": "100000000",
    "RATE_LIMIT_WINDOW": "31536000",
    "JWT_SECRET": "a secret of forty octets that nobody has",
    "API_BASE_URL": "http://127.0.0.1",
    # A replica that can't reach Redis answers from its own memory, and reports that it is degraded. It is not that a
    # replica was slow which is tried here, and a busy machine may stall for longer than the default of 250 ms.
    "REDIS_TIMEOUT_MS": "5000",
}


@dataclass
class Pair:
    """Two replicas, and a token with the scope to revoke."""

    services: Sequence[ServiceProcess]
    bearer: str

    @property
    def ports(self) -> list[int]:
        return [service.port for service in self.services]

    async def revoke(self, client: Client, identity: str) -> Answer:
        return await client.post("/api/v1/revoke", {"identity": identity}, Authorization=self.bearer)


@pytest.fixture
def pair(own_redis: RedisServer, sqlite_url: str) -> Iterator[Pair]:
    env = {**ENV, "REDIS_URL": own_redis.url, "DATABASE_URL": sqlite_url}
    scopes = ("--scope", "issue,revoke,audit", "--rate-limit", "1000000000", "--days", "1")
    minted = command("token", "--subject", "tests", *scopes, env=env)
    assert minted.returncode == 0, minted.stderr
    with ExitStack() as stack:
        services = [stack.enter_context(ServiceProcess(**env)) for _ in range(2)]
        yield Pair(services, f"Bearer {minted.stdout.strip()}")


@dataclass
class Tries:
    """What they came to."""

    left: Iterator[int] = field(default_factory=lambda: iter(range(TRIES)))
    asked: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    load: Counter[int] = field(default_factory=Counter)
    stopped: bool = False

    async def lane(self, pair: Pair, number: int) -> None:
        """One try after the other, on connections of its own to both replicas."""
        chance = random.Random(number)
        async with clients(pair.ports, 2 * CROWD) as opened:
            for index in self.left:
                # One of few identities in every second try, so that it lives again; else a new one.
                run_ = f"{number}.{index % 3}" if index % 2 else f"{number}.new.{index}"
                side = chance.randrange(2)
                await self.attempt(pair, opened[1 - side], opened[side::2], run_, chance)

    async def attempt(self, pair: Pair, one: Client, crowd: Sequence[Client], run_: str, chance: random.Random) -> None:
        """Revoke on ``one``, then send the ``crowd``'s requests to the other replica."""
        other = crowd[0]
        octets = request("GET", f"/api/v1/id?prefix=player&run={run_}")
        living = (await one.ask(octets)).json
        for _ in range(2):  # the second one is answered from memory
            same = (await other.ask(octets)).json
            assert (same["generated"], same["token"]) == (living["generated"], living["token"])
        revoked = await pair.revoke(one, living["id"])
        assert (revoked.status, revoked.json["generated"]) == (200, living["generated"])
        match question := chance.choice(["validate", "validate many", "token", "GET", "GET crowd", "batch"]):
            case "validate":
                told = (await other.post("/api/v1/validate", {"identity": living["id"]})).json["status"]
                fine = told == "revoked"
            case "validate many":
                ids = ["player-0@h/v1:id", living["id"]]
                told = (await other.post("/api/v1/validate", {"identities": ids})).json["results"][1]["status"]
                fine = told == "revoked"
            case "token":
                told = (await other.post("/api/v1/validate", {"token": living["token"]})).json["status"]
                fine = told == "revoked"
            case "GET":
                told = (await other.ask(octets)).json["generated"]
                fine = told > revoked.json["revoked"]
            case "GET crowd":
                for client in crowd:
                    client.send(octets)
                    await asyncio.sleep(0)  # each of them is a packet, and perhaps a tick, of its own
                told = min([(await client.answer()).json["generated"] for client in crowd])
                fine = told > revoked.json["revoked"]
            case _:
                rows = [{"name": "a", "prefix": "player", "run": run_}]
                answer = await other.post("/api/v1/identities", {"environments": rows})
                told = answer.json["identities"][0]["generated"]
                fine = told > revoked.json["revoked"]
        self.asked[question] += 1
        if not fine:
            self.faults.append(f"{question} of {living['id']} of {living['generated']}: {told}")
        # And on either side a new life; the old token stays revoked.
        again = (await other.ask(octets)).json
        assert again["generated"] > revoked.json["revoked"] >= living["generated"]
        dead = (await one.post("/api/v1/validate", {"token": living["token"]})).json
        assert dead["status"] == "revoked", dead

    async def background(self, client: Client) -> None:
        """Known identities, new ones, and validations of both."""
        for number in count():
            if self.stopped:
                return
            target = f"/api/v1/id?prefix=load&run={number % 50}" if number % 4 else "/api/v1/id?prefix=load"
            answer = await client.get(target)
            self.load[answer.status] += 1
            if not number % 5:
                verdict = await client.post("/api/v1/validate", {"identity": answer.json["id"]})
                self.load[verdict.status if verdict.json["valid"] else 0] += 1


def test_what_was_revoked_on_one_replica_is_dead_on_the_other_in_the_very_next_request(pair: Pair) -> None:
    tries = Tries()

    async def scenario() -> None:
        async with clients(pair.ports, LOAD) as opened, asyncio.TaskGroup() as tasks:
            for client in opened:
                tasks.create_task(tries.background(client))
            async with asyncio.TaskGroup() as lanes:
                for number in range(LANES):
                    lanes.create_task(tries.lane(pair, number))
            tries.stopped = True

    begun = perf_counter()
    run(scenario(), deadline=30 + TRIES / 50)
    seconds = perf_counter() - begun
    print(f"\n{tries.asked.total()} tries in {seconds:.0f} s {dict(tries.asked)}, {len(tries.faults)} stale answers;")
    print(f"beside them {tries.load.total()} answers, {tries.load.total() / seconds:.0f} a second")
    print("\n".join(tries.faults))
    assert tries.faults == []
    assert tries.asked.total() == TRIES
    assert set(tries.load) == {200}


def test_a_life_that_is_revoked_while_its_row_waits_for_the_ledger_is_not_remembered(
    pair: Pair, own_redis: RedisServer, sqlite_url: str
) -> None:
    """The replica hears of the revocation before the life: its row is still on the way to a locked file."""
    identity, key = f"player-1@{DOMAIN}/v1:id", f"af:{{0}}:i:player-1@{DOMAIN}/v1"
    get = request("GET", "/api/v1/id?prefix=player&run=1")

    async def scenario() -> None:
        async with clients([*pair.ports, pair.ports[0]], 3) as (one, other, third):
            assert (await one.get("/api/v1/id?prefix=player&run=2")).status == 200
            with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as file:
                file.execute("BEGIN IMMEDIATE")
                one.send(get)
                await until(lambda: bool(own_redis.command("EXISTS", key)))
                other.send(revocation(pair, identity))
                await until(lambda: len(bytes(own_redis.command("GET", key)).split()) > 2)  # type: ignore[call-overload]
                # With the next request the replica learns what was revoked.
                assert (await third.get("/api/v1/id?prefix=player&run=2")).status == 200
                dead = (await one.answer()).json["generated"]
                revoked = (await other.answer("POST")).json
                assert revoked["generated"] == dead
            assert (await third.post("/api/v1/validate", {"identity": identity})).json["status"] == "revoked"
            assert (await one.ask(get)).json["generated"] > revoked["revoked"]

    run(scenario())


@pytest.mark.parametrize("heard", [False, True], ids=["the first revocation of all", "one of many"])
@pytest.mark.parametrize("scope", ["identity", "prefix"])
def test_what_was_revoked_stays_dead_on_a_replica_that_has_not_heard_of_it_when_redis_loses_its_memory(
    pair: Pair, own_redis: RedisServer, heard: bool, scope: str
) -> None:
    targets = ["/api/v1/id?prefix=player&run=1", "/api/v1/id?prefix=player&run=2", "/api/v1/id?prefix=other&run=1"]

    async def scenario() -> None:
        async with clients(pair.ports, 2) as (one, other):
            if heard:
                first = (await one.get("/api/v1/id?prefix=first&run=1")).json
                assert (await pair.revoke(one, first["id"])).status == 200
            lives = [(await one.get(target)).json for target in targets]
            assert [(await other.get(target)).json for target in targets] == lives
            if scope == "identity":
                assert (await pair.revoke(one, lives[0]["id"])).status == 200
                wanted = ["revoked", "active", "active"]
            else:
                await until(lambda: moment(lives[1]["generated"]) < time() * 1000 - 1)
                body = {"prefix": "player", "issued_before": timestamp(int(time() * 1000))}
                assert (await one.post("/api/v1/revoke", body, Authorization=pair.bearer)).status == 200
                wanted = ["revoked", "revoked", "active"]
            own_redis.command("FLUSHALL")
            ids = [life["id"] for life in lives]
            for client in (other, one, other):
                results = (await client.post("/api/v1/validate", {"identities": ids})).json["results"]
                assert [result["status"] for result in results] == wanted
            for target, life, status in zip(targets, lives, wanted, strict=True):
                again = [(await client.get(target)).json["generated"] for client in (other, one)]
                assert again[0] == again[1]
                assert (again[0] == life["generated"]) == (status == "active")

    run(scenario())


def revocation(pair: Pair, identity: str) -> bytes:
    return post("/api/v1/revoke", {"identity": identity}, {"Authorization": pair.bearer})
