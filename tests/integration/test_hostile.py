"""Hostile or broken peers: each is answered or cut off, without a cost for other clients."""

import asyncio
import random
import re
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic

import pytest

from arsenal_fast.server.listener import ACCEPTED
from tests.support.http_client import Client, Gone, clients, request, samples
from tests.support.loops import run, until
from tests.support.processes import MEBIBYTE, resident, sockets
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

JSON = {"Content-Type": "application/json"}
ID = request("GET", "/api/v1/id?prefix=player&run=1")
METRICS = request("GET", "/api/metrics")
LIVE = request("GET", "/api/health/live")
HEALTH = request("GET", "/api/health")
LARGE = request("GET", "/api/docs/swagger-ui-bundle.js")  # over a megabyte
ENV = {
    "RATE_LIMIT_REQUESTS": "0",
    "ACCESS_LOG": "off",
    "HEADER_TIMEOUT": "1",
    "BODY_TIMEOUT": "1",
    "WRITE_TIMEOUT": "1",
}
MAY_GROW = 48 * MEBIBYTE  # of resident memory in one test; what clients could make it hold is many times that


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    with ServiceProcess(**ENV) as process:
        yield process


@pytest.fixture
def service(running: ServiceProcess) -> Iterator[ServiceProcess]:
    """The one service that all of them attack; it is the same process afterwards, healthy and no larger."""
    pid, before = running.pid, resident(running.pid)
    yield running

    async def health() -> str:
        async with clients(running.port, 1) as (client,):
            return str((await client.ask(HEALTH)).json["status"])

    assert run(health()) == "healthy"
    assert running.running
    assert running.pid == pid
    assert resident(pid) - before < MAY_GROW


def cpu(pid: int) -> float:
    """Seconds that the main thread, which is the loop's, has had of a CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def connections(pid: int) -> list[str]:
    """Sockets of the process beyond those that it has without any client."""
    return sockets(pid)[BASE_SOCKETS:]


BASE_SOCKETS = ACCEPTED + 2  # the listener's, and the pair by which the loop is woken; checked by the test below


def test_a_service_without_clients_has_the_sockets_that_the_count_leaves_out(service: ServiceProcess) -> None:
    async def scenario() -> None:
        await until(lambda: connections(service.pid) == [])
        async with clients(service.port, 2) as (one, other):
            await one.ask(LIVE)
            await other.ask(LIVE)
            assert len(connections(service.pid)) == 2

    run(scenario())


# Too much.


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (request("POST", "/api/v1/validate", JSON, b" " * (10 * MEBIBYTE)), 413),
        (request("POST", "/api/v1/validate", {**JSON, "Transfer-Encoding": "chunked"}) + b"100000\r\n" * 3, 413),
        (request("POST", "/api/v1/validate", {**JSON, "Content-Length": "9" * 30}), 413),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X-A: a\r\n" * 200_000, 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * MEBIBYTE, 431),
        (b"GET /" + b"a" * MEBIBYTE, 414),
        (b"\r\n" * 100_000, 400),
        (b"G" * MEBIBYTE, 400),
    ],
    ids=["body", "chunks", "length", "fields", "field", "target", "empty lines", "method"],
)
def test_what_is_too_large_is_refused_before_it_is_taken_in(
    service: ServiceProcess, octets: bytes, status: int
) -> None:
    if octets.endswith(b"100000\r\n"):  # a mebibyte to each size line
        head, _, _ = octets.partition(b"\r\n\r\n")
        octets = head + b"\r\n\r\n" + (b"100000\r\n" + b" " * MEBIBYTE + b"\r\n") * 3

    async def scenario() -> None:
        async with clients(service.port, 1) as (client,):
            client.send(octets)
            answer = await client.answer("POST" if octets.startswith(b"POST") else "GET")
            assert answer.status in {status, 501} if status == 400 else answer.status == status
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.closes
            assert await client.ended() == b""

    run(scenario())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"identity":' * 80_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"identities":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"identity": "\\ud800"}',
        b'{"identity": "\xff"}',
        b'{"identity": 1e999}',
        b'{"identity": NaN}',
        b"9" * 500_000,
        b'{"identities": [' + b",".join([b'"a"'] * 1001) + b"]}",
        b"",
    ],
    ids=lambda body: f"{body[:16]!r} of {len(body)}",
)
def test_json_that_is_deep_broken_or_large_is_a_400_and_the_connection_lives_on(
    service: ServiceProcess, body: bytes
) -> None:
    async def scenario() -> None:
        async with clients(service.port, 1) as (client,):
            answer = await client.ask(request("POST", "/api/v1/validate", JSON, body))
            assert answer.status == 400
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json["status"] == 400
            assert (await client.ask(ID)).status == 200

    run(scenario())


def test_100_pipelined_requests_are_answered_in_order(service: ServiceProcess) -> None:
    runs = [str(number) for number in range(100)]

    async def scenario() -> None:
        async with clients(service.port, 1) as (client,):
            octets = b"".join(request("GET", f"/api/v1/id?prefix=pipe&run={run_}") for run_ in runs)
            for _ in range(2):  # new ones, then remembered ones
                client.send(octets)
                answers = [await client.answer() for _ in runs]
                assert [answer.json["metadata"]["run"] for answer in answers] == runs

    run(scenario())


def test_a_bad_request_behind_good_ones_does_not_take_their_answers_with_it(service: ServiceProcess) -> None:
    async def scenario() -> None:
        async with clients(service.port, 1) as (client,):
            client.send(ID * 5 + b"GET / HTTP/1.1\nHost: h\n\n" + ID)
            answers = [await client.answer() for _ in range(6)]
            assert [answer.status for answer in answers] == [200] * 5 + [400]
            assert await client.ended() == b""

    run(scenario())


# Garbage.

GARBAGE = 5000
AT_ONCE = 50
PIECES = (
    *(
        b"GET ",
        b"POST ",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"Host: h\r\n",
        b"Host : h\r\n",
        b": ",
        b"%",
        b"?",
    ),
    *(
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n\r\n",
        b"0\r\n\r\n",
    ),
    *(b"/api/v1/id", b"/api/v1/validate", b"/api/v1/identities", b"prefix=", b"&run=", b"ttl=\xd9\xa1", b"\xff\xfe"),
    *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b'{"identity": ', b"[" * 50, b"X-Forwarded-For: ,,\r\n"),
)


def garbage(draw: random.Random) -> bytes:
    """Bytes of chance, pieces of requests in any order, or a request with a few bytes changed."""
    kind = draw.randrange(3)
    if kind == 0:
        return draw.randbytes(draw.randrange(1, 200))
    if kind == 1:
        return b"".join(draw.choices(PIECES, k=draw.randrange(1, 20)))
    octets = bytearray(request("POST", "/api/v1/validate", JSON, b'{"identity": "player-1@a/v1:id"}'))
    for _ in range(draw.randrange(1, 4)):
        octets[draw.randrange(len(octets))] = draw.randrange(256)
    return bytes(octets)


def test_5000_requests_of_garbage_are_refused_or_answered_and_none_fails_inside(service: ServiceProcess) -> None:
    draw = random.Random(4_2_0)
    attempts = iter([garbage(draw) for _ in range(GARBAGE)])
    statuses: Counter[int] = Counter()

    async def attack() -> None:
        for octets in attempts:
            async with clients(service.port, 1) as (client,):
                client.send(octets)
                client.half_close()
                statuses.update(map(int, re.findall(rb"HTTP/1\.1 (\d{3}) ", await client.ended())))

    async def scenario() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(attack())

    run(scenario(), deadline=30)
    assert statuses[400] > GARBAGE / 4
    assert not [status for status in statuses if status >= 500 and status not in (501, 505)], statuses
    assert "Traceback" not in service.stderr


# Too many.


@contextmanager
def few_descriptors(limit: int, env: Mapping[str, str]) -> Iterator[ServiceProcess]:
    """A service that may open so many files."""
    limited = ("sh", "-c", f'ulimit -n {limit}; exec "$0" -m arsenal_fast "$@"', sys.executable)
    with ServiceProcess(program=limited, **env) as service:
        yield service


def test_more_connections_than_descriptors_are_shed_and_those_that_are_there_are_served() -> None:
    async def scenario(port: int) -> None:
        async with clients(port, 1) as (first,):
            assert (await first.ask(ID)).status == 200
            outcomes: Counter[str] = Counter()
            served: list[Client] = []
            async with clients(port, 200) as opened:
                for client in opened:
                    client.send(ID)
                for client in opened:
                    try:
                        answer = await client.answer()
                    except Gone:
                        outcomes["cut"] += 1
                    else:
                        outcomes[str(answer.status)] += 1
                        if answer.status == 200:
                            served.append(client)
                        else:
                            assert (answer.headers["retry-after"], answer.closes) == ("1", True)
                print(f"of 200 connections with 128 descriptors {dict(outcomes)}")
                assert outcomes["200"] > 10
                assert outcomes["503"] > 10
                for client in [first, *served]:
                    assert (await client.ask(ID)).status == 200
            async with clients(port, 20) as later:  # the others have gone
                for client in later:
                    assert (await client.ask(ID)).status == 200
            assert (await first.ask(HEALTH)).json["status"] == "healthy"

    with few_descriptors(128, ENV) as service:
        run(scenario(service.port), deadline=20)


def lowest_free_descriptor(pid: int) -> int:
    """The number that the next file would get."""
    used = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in count() if number not in used)


def test_running_out_of_descriptors_is_survived_without_spinning() -> None:
    """None is spare: while the service runs, its limit is lowered to what it has open."""

    async def scenario(service: ServiceProcess) -> None:
        pid, port = service.pid, service.port
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        async with clients(port, 1) as (first,):
            assert (await first.ask(ID)).status == 200
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free_descriptor(pid), hard))
            try:
                async with clients(port, 50) as refused:  # the kernel accepts them for the service
                    assert (await first.ask(ID)).status == 200
                    await asyncio.to_thread(service.wait_for_log, "no file descriptor is left")
                    used, begun = cpu(pid), monotonic()
                    await first.quiet(0.5)
                    busy = (cpu(pid) - used) / (monotonic() - begun)
                    print(f"no descriptor left: {busy:.0%} of a CPU, the connected one is served")
                    assert busy < 1 / 2, "it spins"
                    assert (await first.ask(ID)).status == 200
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
                    for client in refused:  # which the service could only close
                        client.send(LIVE)
                        with pytest.raises(Gone):
                            await client.answer()
            finally:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
            await asyncio.to_thread(service.wait_for_log, "there are file descriptors again")
            async with clients(port, 10) as later:
                for client in later:
                    assert (await client.ask(ID)).status == 200
            assert samples((await first.ask(METRICS)).text)["identity_descriptors_exhausted_total"] >= 1

    with ServiceProcess(**ENV) as service:
        run(scenario(service))


def test_connections_beyond_the_bound_are_answered_503_and_room_is_used_again() -> None:
    async def scenario(port: int) -> None:
        async with clients(port, 10) as opened:
            for client in opened:
                assert (await client.ask(LIVE)).status == 200
            async with clients(port, 1) as (excess,):
                answer = await excess.answer()
                assert (answer.status, answer.headers["retry-after"], answer.closes) == (503, "1", True)
                assert answer.headers["access-control-allow-origin"] == "*"
        for _ in range(20):  # connections end in the loop's time
            async with clients(port, 1) as (client,):
                if (await client.ask(LIVE)).status == 200:
                    return
        raise AssertionError("no room is made")

    with ServiceProcess(**ENV, MAX_CONNECTIONS="10") as service:
        run(scenario(service.port))


def test_resets_in_the_middle_of_everything_leave_nothing_behind(service: ServiceProcess) -> None:
    async def scenario() -> None:
        for octets in (b"", b"GET", ID[:-1], ID, ID * 10, LARGE, request("POST", "/", JSON, b"x" * 1000)[:-1]):
            async with clients(service.port, 20) as opened:
                for client in opened:
                    client.send(octets)
                    client.reset()
        await until(lambda: connections(service.pid) == [])

    run(scenario())
    assert "Traceback" not in service.stderr
