"""Clients that send too slowly, or read nothing: each is cut off in time, over plain TCP and over TLS."""

import asyncio
from collections.abc import Iterator
from time import monotonic

import pytest

from tests.support.honest import Honest
from tests.support.http_client import clients, request
from tests.support.loops import run, until
from tests.support.processes import MEBIBYTE, resident, sockets
from tests.support.transports import TRANSPORTS, Service, service_over

pytestmark = pytest.mark.integration

JSON = {"Content-Type": "application/json"}
ID = request("GET", "/api/v1/id?prefix=player&run=1")
LARGE = request("GET", "/api/docs/swagger-ui-bundle.js")  # over a megabyte
ENV = {
    "RATE_LIMIT_REQUESTS": "0",
    "ACCESS_LOG": "off",
    "HEADER_TIMEOUT": "1",
    "BODY_TIMEOUT": "1",
    "WRITE_TIMEOUT": "1",
}
SLOW = 20  # clients
MAY_GROW = 48 * MEBIBYTE  # of resident memory; what the clients could make it hold is many times that
PROMPT_S = 0.5  # any answer to another client


@pytest.fixture(scope="module", params=TRANSPORTS)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service_over(request.param, tmp_path_factory.mktemp("tls"), **ENV) as service:
        yield service


@pytest.mark.parametrize(
    ("beginning", "drip"),
    [
        (b"GET /api/v1/id HTTP/1.1\r\nHost: h\r\nX-Slow: ", b"a"),
        (request("POST", "/api/v1/validate", {**JSON, "Content-Length": "100000"}), b" "),
        (request("POST", "/api/v1/validate", {**JSON, "Transfer-Encoding": "chunked"}), b"1\r\n \r\n"),
    ],
    ids=["head", "body", "chunked body"],
)
def test_a_slow_sender_is_answered_408_and_cut_off_even_if_it_is_steady(
    service: Service, beginning: bytes, drip: bytes
) -> None:
    async def scenario() -> None:
        port, tls = service.process.port, service.tls
        async with clients(port, SLOW, tls=tls) as slow, clients(port, 1, tls=tls) as (client,):
            honest, begun = Honest(client, service.process.pid), monotonic()
            for each in slow:
                each.send(beginning)
            while await slow[0].quiet(0.05):
                for each in slow:
                    each.send(drip)
                await honest.ask(ID)
                assert monotonic() - begun < 5
            took_s = monotonic() - begun
            assert took_s > 0.9, "not before its time"
            assert honest.worst_s < PROMPT_S, "others are served meanwhile"
            for each in slow:
                answer = await each.answer("POST" if beginning.startswith(b"POST") else "GET")
                assert (answer.status, answer.closes) == (408, True)
                assert await each.ended() == b""
            print(f"{SLOW} of {SLOW} answered 408 after {took_s:.1f} s, others within {honest.worst_s * 1e3:.0f} ms")

    run(scenario())


def test_a_client_that_never_reads_is_cut_off_and_its_responses_do_not_pile_up(service: Service) -> None:
    async def scenario() -> None:
        process, tls = service.process, service.tls
        async with clients(process.port, 1, tls=tls) as (client,):
            honest = Honest(client, process.pid)
            await honest.ask(LARGE)  # the file is read and kept
            honest.worst_s = 0.0
            before, idle = resident(process.pid), len(sockets(process.pid))
            async with clients(process.port, SLOW, tls=tls) as deaf:
                for each in deaf:
                    each.stop_reading()
                    each.send(LARGE * 30)
                await until(lambda: len(sockets(process.pid)) == idle + SLOW)
                begun, worst = monotonic(), 0
                while len(sockets(process.pid)) > idle:
                    worst = max(worst, resident(process.pid) - before)
                    await honest.ask(ID)
                    await asyncio.sleep(0.01)  # the pace of looking
                took_s = monotonic() - begun
            print(
                f"{SLOW} of {SLOW} cut off after {took_s:.1f} s, {worst / MEBIBYTE:.1f} MiB for all of them,"
                f" others within {honest.worst_s * 1e3:.0f} ms"
            )
            assert worst < MAY_GROW
            assert honest.worst_s < PROMPT_S, "others are served meanwhile"

    run(scenario(), deadline=20)
