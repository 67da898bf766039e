"""Identities over two processes that share one Redis: issued once, the same from both, renewed for both."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

import pytest

from tests.support.http_client import Answer, Client, clients, request
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess

pytestmark = pytest.mark.integration

DOMAIN = "sports.api.yourbook.com"
TTL = 3_600_000  # ms


@contextmanager
def services(redis: RedisServer, count: int, **env: str) -> Iterator[list[ServiceProcess]]:
    with ExitStack() as stack:
        env = {**REPLICA, "RATE_LIMIT_REQUESTS": "0", "REDIS_URL": redis.url, **env}
        yield [stack.enter_context(ServiceProcess(**env)) for _ in range(count)]


async def together(started: Sequence[ServiceProcess], opened: Sequence[Client], targets: Sequence[str]) -> list[Answer]:
    """Requests that wait for both processes until the last is sent, so that all of them are first ones."""
    for service in started:
        service.pause()
    for client, target in zip(opened, targets, strict=True):
        client.send(request("GET", target))
    for client in opened:
        await client.flushed()
    for service in started:
        service.resume()
    answers = [await client.answer() for client in opened]
    assert {answer.status for answer in answers} == {200}
    return answers


async def metric(ports: Sequence[int], name: str) -> float:
    """Summed over the services."""
    async with clients(ports, len(ports)) as opened:
        return sum([(await client.scrape())[name] for client in opened])


def life(answer: Any) -> tuple[str, str]:
    return answer["generated"], answer["expires"]


def test_of_many_first_requests_over_two_processes_exactly_one_issues(redis: RedisServer) -> None:
    async def scenario(started: Sequence[ServiceProcess]) -> None:
        ports = [service.port for service in started]
        async with clients(ports, 128) as opened:
            answers = await together(started, opened, ["/api/v1/id?prefix=player&run=one"] * 128)
        assert len({answer.body for answer in answers}) == 1
        assert await metric(ports, "identity_issued_total") == 1

    with services(redis, 2) as started:
        run(scenario(started))


def test_each_of_many_identities_is_issued_once_over_two_processes(redis: RedisServer) -> None:
    identities = 32

    async def scenario(started: Sequence[ServiceProcess]) -> None:
        ports = [service.port for service in started]
        # Neighbours use different processes, so each identity is requested from both.
        targets = [f"/api/v1/id?prefix=player&run={index // 2 % identities}" for index in range(128)]
        async with clients(ports, 128) as opened:
            answers = await together(started, opened, targets)
        lives = {answer.json["id"]: life(answer.json) for answer in answers}
        assert len(lives) == identities
        assert all(life(answer.json) == lives[answer.json["id"]] for answer in answers)
        assert await metric(ports, "identity_issued_total") == identities

    with services(redis, 2) as started:
        run(scenario(started))


def test_a_batch_and_single_requests_get_the_same_lives_from_both(redis: RedisServer) -> None:
    environments = [{"name": str(index), "prefix": "player", "run": str(index)} for index in range(1000)]

    async def scenario(started: Sequence[ServiceProcess]) -> None:
        async with clients([service.port for service in started], 2) as (one, other):
            batch = {"environments": environments}
            first = (await one.post("/api/v1/identities", batch)).json["identities"]
            second = (await other.post("/api/v1/identities", batch)).json["identities"]
            assert first == second
            single = (await other.get("/api/v1/id?prefix=player&run=999")).json
            assert (single["id"], life(single)) == (first[999]["id"], life(first[999]))
            ids = [row["id"] for row in first]
            results = (await other.post("/api/v1/validate", {"identities": ids})).json["results"]
            assert {result["status"] for result in results} == {"active"}

    with services(redis, 2) as started:
        run(scenario(started))


@pytest.mark.parametrize(("processes", "workers"), [(2, 1), (1, 2)], ids=["two processes", "two workers"])
def test_a_run_that_is_left_out_is_never_given_twice(redis: RedisServer, processes: int, workers: int) -> None:
    rounds, connections = 10, 50

    async def scenario(started: Sequence[ServiceProcess]) -> None:
        async with clients([service.port for service in started], connections) as opened:
            ids = []
            for _ in range(rounds):
                answers = await together(started, opened, ["/api/v1/id?prefix=test"] * connections)
                ids += [answer.json["id"] for answer in answers]
            assert len(set(ids)) == rounds * connections
            checked = (await opened[0].post("/api/v1/validate", {"identities": ids})).json["results"]
            assert {result["status"] for result in checked} == {"active"}

    with services(redis, processes, WORKERS=str(workers)) as started:
        run(scenario(started))


def test_a_renewal_by_one_is_seen_by_the_other_although_both_remember_the_old_life(redis: RedisServer) -> None:
    """The old life is written as if it had begun long ago: a second from now it is time to renew."""
    target = "/api/v1/id?prefix=player&run=old"

    async def scenario(started: Sequence[ServiceProcess]) -> None:
        ports = [service.port for service in started]
        async with clients(ports, 2) as (one, other):
            generated = round(time.time() * 1000) - TTL * 3 // 4 + 1000
            redis.command("SET", f"af:{{0}}:i:player-old@{DOMAIN}/v1", f"{generated} {TTL}", "PX", TTL)
            old, same = (await one.get(target)).json, (await other.get(target)).json
            assert life(old) == life(same)
            assert round(datetime.fromisoformat(old["generated"]).timestamp() * 1000) == generated
            while life(renewed := (await one.get(target)).json) == life(old):
                assert time.time() * 1000 < generated + TTL
            assert time.time() * 1000 >= generated + TTL * 3 // 4, "not renewed before its last quarter"
            assert life((await other.get(target)).json) == life(renewed)
            assert renewed["generated"] > old["generated"]
            assert renewed["ttl"] == TTL // 1000
            verdict = (await other.post("/api/v1/validate", {"identity": renewed["id"]})).json
            assert (verdict["status"], life(verdict)) == ("active", life(renewed))
        assert await metric(ports, "identity_renewed_total") == 1
        assert await metric(ports, "identity_issued_total") == 0

    with services(redis, 2) as started:
        run(scenario(started))


def test_what_one_issued_the_other_validates_until_it_expires(redis: RedisServer) -> None:
    async def scenario(started: Sequence[ServiceProcess]) -> None:
        async with clients([service.port for service in started], 2) as (one, other):
            issued = (await one.get("/api/v1/id?prefix=player&run=short&ttl=1")).json
            seen = []
            while "expired" not in seen:
                verdict = (await other.post("/api/v1/validate", {"identity": issued["id"]})).json
                assert life(verdict) == life(issued)
                assert verdict["valid"] == (verdict["validated"] < issued["expires"])
                seen.append(verdict["status"])
            assert seen == ["active"] * (len(seen) - 1) + ["expired"]
            assert len(seen) > 1

    with services(redis, 2) as started:
        run(scenario(started))
