"""Two replicas with one Redis: a service token withdrawn or limited on one, so on the other in the very next request.

Each try mints a token on one replica, uses it on the other over connections that are kept open (so that it would be
recognised there), withdraws it or changes its limit on the first, and sends one request to the other: on a connection
that is kept, on a new one, or on several in a row. Several tries run at a time, under a load of others.
COHERENCE_TRIES is their number; ``make prove-ledger`` takes 10,000.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter

import pytest

from tests.support.http_client import Client, clients
from tests.support.http_client import request as packet
from tests.support.loops import run, until
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess, command

pytestmark = pytest.mark.integration

TRIES = int(os.environ.get("COHERENCE_TRIES", "200"))
LANES = 8  # tries at a time
CROWD = 3  # connections of a try to each replica
LOAD = 4  # connections of the load
TARGETS = ("/api/v1/id?prefix=player&run=1", "/api/v1/limits", "/api/v1/nothing")
ENV = {
    "RATE_LIMIT_REQUESTS": "100000000",
    "RATE_LIMIT_WINDOW": "31536000",
    "JWT_SECRET": "a secret of forty octets that nobody has",
    "API_BASE_URL": "http://127.0.0.1",
    "REDIS_TIMEOUT_MS": "5000",  # not whether a replica is slow is tested, and a busy machine may stall
}


@dataclass
class Pair:
    """Two replicas, and a token of scope ``tokens``."""

    services: Sequence[ServiceProcess]
    env: dict[str, str]
    bearer: str

    @property
    def ports(self) -> list[int]:
        return [service.port for service in self.services]

    async def mint(self, client: Client, subject: str) -> tuple[str, str]:
        """Mint a token; returns its id and its Authorization."""
        order = {"subject": subject, "scope": "issue behalf", "rate_limit": 1000, "per_subject": 500, "days": 1}
        answer = await client.post("/api/v1/tokens", order, Authorization=self.bearer)
        assert answer.status == 201, answer.text
        return answer.json["id"], f"Bearer {answer.json['token']}"

    async def change(self, client: Client, path: str, body: object) -> None:
        answer = await client.post(f"/api/v1/tokens/{path}", body, Authorization=self.bearer)
        assert answer.status == 200, answer.text


@pytest.fixture
def pair(own_redis: RedisServer, sqlite_url: str) -> Iterator[Pair]:
    yield from pair_of(own_redis.url, sqlite_url)


@pytest.fixture
def pair_of_cluster(sqlite_url: str) -> Iterator[Pair]:
    with RedisCluster(replicas=False) as cluster:
        yield from pair_of(cluster.url, sqlite_url)


def pair_of(redis_url: str, ledger_url: str) -> Iterator[Pair]:
    env = {**ENV, "REDIS_URL": redis_url, "DATABASE_URL": ledger_url}
    what = (
        "--subject",
        "tests",
        "--scope",
        "issue,tokens,audit,behalf",
        "--rate-limit",
        "1000000000",
        "--per-subject",
        "9",
        "--days",
        "1",
    )
    minted = command("token", "mint", *what, env=env)
    assert minted.returncode == 0, minted.stderr
    with ExitStack() as stack:
        services = [stack.enter_context(ServiceProcess(**env)) for _ in range(2)]
        yield Pair(services, env, f"Bearer {minted.stdout.strip()}")


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
                side = chance.randrange(2)
                await self.attempt(pair, opened[1 - side], opened[side::2], f"{number}.{index}", chance)

    async def attempt(
        self, pair: Pair, one: Client, crowd: Sequence[Client], subject: str, chance: random.Random
    ) -> None:
        """Change a token by ``one``, use it on ``crowd``, whose connections all are to the other replica."""
        token_id, bearer = await pair.mint(one, subject)
        fields = {"Authorization": bearer}
        if chance.random() < 0.5:
            fields["Arsenal-Subject"] = f"tg-{chance.randrange(3)}"
        use = packet("GET", chance.choice(TARGETS[:2]), fields)
        for client in crowd:
            for _ in range(3):
                assert (await client.ask(use)).status == 200
        match kind := chance.choice(["revoke", "revoke", "revoke subject", "limit", "another path"]):
            case "limit":
                await pair.change(one, "limit", {"id": token_id, "rate_limit": 77})
            case "revoke subject":
                await pair.change(one, "revoke", {"subject": subject})
            case _:
                await pair.change(one, "revoke", {"id": token_id})
        if kind == "another path":
            use = packet("GET", TARGETS[2], fields)
        for client in crowd:
            client.send(use)
            await asyncio.sleep(0)  # each of them is a packet, and perhaps a tick, of its own
        for client in crowd:
            answer = await client.answer()
            fine = answer.status == 401 if kind != "limit" else '"token";q=77;' in answer.headers["ratelimit-policy"]
            if not fine:
                self.faults.append(f"{kind} of {token_id}: {answer.status} {answer.headers}")
        self.asked[kind] += 1

    async def background(self, client: Client) -> None:
        """Requests of an address, to which all this is nothing."""
        for number in count():
            if self.stopped:
                return
            self.load[(await client.get(f"/api/v1/id?prefix=load&run={number % 50}")).status] += 1


@pytest.mark.parametrize("store", ["pair", "pair_of_cluster"])
def test_what_is_changed_on_one_replica_holds_on_the_other_in_the_very_next_request(
    store: str, request: pytest.FixtureRequest
) -> None:
    pair: Pair = request.getfixturevalue(store)
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
    run(scenario(), deadline=60 + TRIES / 10)
    seconds = perf_counter() - begun
    print(f"\n{tries.asked.total()} tries in {seconds:.0f} s {dict(tries.asked)}, {len(tries.faults)} stale answers;")
    print(f"beside them {tries.load.total()} answers, {tries.load.total() / seconds:.0f} a second")
    print("\n".join(tries.faults))
    assert tries.faults == []
    assert tries.asked.total() == TRIES
    assert set(tries.load) == {200}


@pytest.mark.parametrize("heard", [False, True], ids=["the first change of all", "one of many"])
def test_withdrawals_outlive_the_memory_of_redis(pair: Pair, own_redis: RedisServer, heard: bool) -> None:
    async def scenario() -> None:
        async with clients(pair.ports, 2) as (one, other):
            if heard:
                first, _ = await pair.mint(one, "first")
                await pair.change(one, "revoke", {"id": first})
            tokens = [await pair.mint(one, subject) for subject in ("a", "b", "b", "c", "d")]
            uses = [packet("GET", TARGETS[0], {"Authorization": bearer}) for _, bearer in tokens]
            for client in (one, other):
                assert [(await client.ask(use)).status for use in uses] == [200] * 5
            await pair.change(one, "revoke", {"id": tokens[0][0]})
            await pair.change(one, "revoke", {"subject": "b"})
            await pair.change(one, "limit", {"id": tokens[3][0], "rate_limit": 77})
            own_redis.flush()
            for client in (other, one, other):
                answers = [await client.ask(use) for use in uses]
                assert [answer.status for answer in answers] == [401, 401, 401, 200, 200]
                assert '"token";q=77;' in answers[3].headers["ratelimit-policy"]
            # A third replica, which knows nothing, after another loss.
            own_redis.flush()
            with ServiceProcess(**pair.env) as fresh:
                async with clients([fresh.port], 1) as (third,):
                    assert [(await third.ask(use)).status for use in uses] == [401, 401, 401, 200, 200]

    run(scenario(), deadline=60)


def test_while_redis_is_away_a_withdrawal_reaches_the_other_replica_and_stays_when_redis_returns(
    own_redis: RedisServer, sqlite_url: str
) -> None:
    env = {**ENV, "REDIS_URL": own_redis.url, "DATABASE_URL": sqlite_url, "REDIS_TIMEOUT_MS": "250"}
    what = (
        "--subject",
        "tests",
        "--scope",
        "issue,tokens,behalf",
        "--rate-limit",
        "1000000000",
        "--per-subject",
        "9",
        "--days",
        "1",
    )
    bearer = f"Bearer {command('token', 'mint', *what, env=env).stdout.strip()}"

    async def scenario(pair: Pair) -> None:
        async with clients(pair.ports, 2) as (one, other):
            token_id, token = await pair.mint(one, "bot")
            earlier_id, earlier = await pair.mint(one, "shop")
            uses = [packet("GET", TARGETS[0], {"Authorization": each}) for each in (token, earlier)]
            for client in (one, other):
                assert [(await client.ask(use)).status for use in uses] == [200, 200]
            await pair.change(one, "revoke", {"id": earlier_id})  # of which the other replica has not heard
            own_redis.kill()
            await pair.change(one, "revoke", {"id": token_id})
            withdrawn = perf_counter()
            assert (await one.ask(uses[0])).status == 401
            for use in uses:
                while (await other.ask(use)).status != 401:
                    assert perf_counter() - withdrawn < 30, "it is never known"
            known = perf_counter() - withdrawn
            own_redis.start()  # with nothing in its memory
            for client in (one, other):
                await returned(client)
                assert [(await client.ask(use)).status for use in uses] == [401, 401]
            print(f"\nknown after {known:.1f} s")
            with ServiceProcess(**env) as fresh:
                async with clients([fresh.port], 1) as (third,):
                    assert [(await third.ask(use)).status for use in uses] == [401, 401]

    async def returned(client: Client) -> None:
        while (await client.get("/api/health")).json["status"] != "healthy":
            await until(lambda: True)

    with ExitStack() as stack:
        services = [stack.enter_context(ServiceProcess(**env)) for _ in range(2)]
        run(scenario(Pair(services, env, bearer)), deadline=90)


@pytest.mark.parametrize("store", ["pair", "pair_of_cluster"])
def test_the_command_line_withdraws_for_running_replicas(store: str, request: pytest.FixtureRequest) -> None:
    pair: Pair = request.getfixturevalue(store)

    async def scenario() -> None:
        async with clients(pair.ports, 2) as (one, other):
            token_id, bearer = await pair.mint(one, "bot")
            use = packet("GET", TARGETS[0], {"Authorization": bearer})
            for client in (one, other):
                for _ in range(3):
                    assert (await client.ask(use)).status == 200
            for words in (("limit", token_id, "77"), ("revoke", token_id)):
                done = await asyncio.to_thread(command, "token", *words, env=pair.env)
                assert (done.returncode, done.stderr) == (0, "")
                answers = [await client.ask(use) for client in (one, other)]
                if words[0] == "limit":
                    assert ['"token";q=77;' in each.headers["ratelimit-policy"] for each in answers] == [True] * 2
                else:
                    assert [each.status for each in answers] == [401, 401]

    run(scenario(), deadline=60)
