"""The limit is exact: of a thousand requests at once exactly the allowed number pass, with any number of processes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter

import pytest

from tests.support.http_client import Answer, Client, clients, request
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

REQUESTS, ALLOWED, WINDOW = 1000, 100, 3600
INTERVAL = WINDOW // ALLOWED  # seconds until one more may pass
LIMIT = {"RATE_LIMIT_REQUESTS": str(ALLOWED), "RATE_LIMIT_WINDOW": str(WINDOW)}
CELL = "af:{0}:c:127.0.0.1"
ID = request("GET", "/api/v1/id?prefix=player&run=1")


@contextmanager
def services(count: int, **env: str) -> Iterator[list[ServiceProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(ServiceProcess(**env)) for _ in range(count)]


async def at_once(opened: Sequence[Client], octets: Sequence[bytes]) -> list[Answer]:
    """Send one request on each connection before any answer is read."""
    for client, each in zip(opened, octets, strict=True):
        client.send(each)
    return [await client.answer() for client in opened]


async def crowd(ports: Sequence[int]) -> list[Answer]:
    async with clients(ports, REQUESTS) as opened:
        return await at_once(opened, [ID] * REQUESTS)


def assert_exact(answers: Sequence[Answer], seconds: float) -> None:
    """``seconds``: how long it took; a client's next request passes INTERVAL after its first."""
    assert Counter(answer.status for answer in answers) == {200: ALLOWED, 429: REQUESTS - ALLOWED}
    passed = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers if answer.status == 200]
    assert sorted(passed) == list(range(ALLOWED)), "each that passes gets a different remainder"
    for answer in answers:
        if answer.status == 429:
            assert INTERVAL - seconds <= int(answer.headers["retry-after"]) <= INTERVAL
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json["violated-policies"] == ["default"]


@pytest.mark.parametrize(
    ("processes", "workers", "shared"),
    [(1, 1, False), (1, 1, True), (2, 1, True), (1, 2, True)],
    ids=["memory", "redis", "two processes sharing a Redis", "two workers of one process"],
)
def test_of_1000_at_once_exactly_100_pass(redis: RedisServer, processes: int, workers: int, shared: bool) -> None:
    env = {**LIMIT, "WORKERS": str(workers), "REDIS_URL": redis.url if shared else "memory://"}
    with services(processes, **env) as started:
        begun = perf_counter()
        answers = run(crowd([service.port for service in started]), deadline=30)
        took_s = perf_counter() - begun
        passed = sum(answer.status == 200 for answer in answers)
        print(f"{passed} of {REQUESTS} passed, the last answer after {took_s:.2f} s")
        assert_exact(answers, took_s)


def test_retry_after_is_the_wait_that_the_store_imposes(redis: RedisServer) -> None:
    """Instead of waiting, the cell is moved back in time; a replica without a remembered refusal gets the request."""

    def pass_in_store(seconds: int) -> None:
        tat = redis.command("GET", CELL)
        assert isinstance(tat, bytes)
        redis.command("SET", CELL, int(tat) - seconds * 1_000_000, "KEEPTTL")

    async def scenario(ports: Sequence[int]) -> None:
        async with clients(ports, len(ports)) as (first, second, third):
            denied = [await first.ask(ID) for _ in range(ALLOWED + 1)][-1]
            assert denied.status == 429
            wait = int(denied.headers["retry-after"])
            assert wait == INTERVAL
            pass_in_store(wait - 2)  # one second less, and one for a slow machine
            assert (await second.ask(ID)).status == 429
            pass_in_store(2)
            assert (await third.ask(ID)).status == 200

    with services(3, **LIMIT, REDIS_URL=redis.url) as started:
        run(scenario([service.port for service in started]))


@pytest.mark.parametrize("shared", [False, True], ids=["memory", "redis"])
def test_a_client_that_waits_for_retry_after_passes_and_an_early_one_gets_an_exact_time_again(
    redis: RedisServer, shared: bool
) -> None:
    async def scenario(port: int) -> None:
        told: list[tuple[float, float, int]] = []  # sent, answered, Retry-After
        async with clients(port, 1) as (client,):
            assert (await client.ask(ID)).status == 200
            while True:
                sent = perf_counter()
                answer = await client.ask(ID)
                answered = perf_counter()
                if answer.status == 200:
                    break
                told.append((sent, answered, int(answer.headers["retry-after"])))
        assert len(told) > 10
        last_refused, _, _ = told[-1]
        for earlier, heard, retry_after in told:
            assert last_refused < heard + retry_after, "who waits so long is not refused again"
            assert answered - earlier > retry_after - 1, "no client waits a second too long"

    env = {"RATE_LIMIT_REQUESTS": "1", "RATE_LIMIT_WINDOW": "1", "ACCESS_LOG": "off"}
    with services(1, **env, REDIS_URL=redis.url if shared else "memory://") as (service,):
        run(scenario(service.port))


def test_each_of_many_clients_behind_a_proxy_has_its_own_exact_limit(redis: RedisServer) -> None:
    addresses = [f"203.0.113.{number}" for number in range(30)] + [f"2001:db8:0:{number:x}::1" for number in range(20)]
    each, allowed = 20, 10

    async def scenario(ports: Sequence[int]) -> list[Answer]:
        targets = [request("GET", "/api/v1/id", {"X-Forwarded-For": f"10.9.8.7, {name}"}) for name in addresses]
        async with clients(ports, len(addresses) * each) as opened:
            return await at_once(opened, targets * each)

    env = {"RATE_LIMIT_REQUESTS": str(allowed), "TRUSTED_PROXIES": "127.0.0.0/8", "REDIS_URL": redis.url}
    with services(2, **env) as started:
        answers = run(scenario([service.port for service in started]), deadline=30)
    for index, address in enumerate(addresses):
        statuses = Counter(answer.status for answer in answers[index :: len(addresses)])
        assert statuses == {200: allowed, 429: each - allowed}, address


def test_an_untrusted_client_can_not_choose_the_client_that_is_charged() -> None:
    async def scenario(port: int) -> list[int]:
        async with clients(port, 1) as (client,):
            answers = [await client.get("/api/v1/id", X_Forwarded_For=f"203.0.113.{number}") for number in range(10)]
        async with clients(port, 1, sources=["127.0.0.9"]) as (other,):
            answers.append(await other.get("/api/v1/id"))
        return [answer.status for answer in answers]

    with services(1, RATE_LIMIT_REQUESTS="5", TRUSTED_PROXIES="10.0.0.0/8") as (service,):
        assert run(scenario(service.port)) == [200] * 5 + [429] * 5 + [200]


def test_a_limit_of_another_process_is_seen_at_once(redis: RedisServer) -> None:
    async def scenario(ports: Sequence[int]) -> list[int]:
        async with clients(ports, 2) as (one, other):
            answers = [await client.ask(ID) for _ in range(5) for client in (one, other)]
        return [int(answer.headers["x-ratelimit-remaining"]) for answer in answers]

    with services(2, **LIMIT, REDIS_URL=redis.url) as started:
        assert run(scenario([service.port for service in started])) == list(range(99, 89, -1))
