"""The open-loop generator against servers that respond, stall, refuse and close."""

import asyncio
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import BenchError
from bench.load import open_loop_command, parse_open_result
from bench.openloop import Generator, NoFigure, Plan, Source, Stream, quantiles

HANG_UP = b"\0"  # at the end of an answer
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def test_percentiles_are_values_that_occurred() -> None:
    found = quantiles(list(range(1000, 0, -1)))
    assert (found[50.0], found[99.0], found[99.9], found[100.0]) == (501, 991, 1000, 1000)
    assert quantiles([7]) == dict.fromkeys(found, 7)
    assert quantiles([9, 1])[99.0] == 9
    assert quantiles([]) == {}


def test_records_come_in_turn_and_each_gets_its_own_number(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"a\x01\0b\x01\0")
    source = Source(Stream("issuing", str(path), serial_format="%03d"), 7)
    assert [source.next() for _ in range(3)] == [b"a008", b"b009", b"a010"]
    path.write_bytes(b"a\0")
    assert Source(Stream("cached", str(path)), 7).next() == b"a"


class Server(asyncio.Protocol):
    """A fake: answers each read with what ``answer`` gives for its number, and parses nothing."""

    def __init__(self, answer: Callable[[int], bytes], count: list[int]) -> None:
        self._answer, self._count = answer, count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert data == b"GET"
        self._count[0] += 1
        answer = self._answer(self._count[0])
        self._transport.write(answer.removesuffix(HANG_UP))
        if answer.endswith(HANG_UP):
            self._transport.close()


async def offered(answer: Callable[[int], bytes], tmp_path: Path, **changed: float) -> dict[str, dict[float, int]]:
    path = tmp_path / "records"
    path.write_bytes(b"GET\0")
    loop = asyncio.get_running_loop()
    count = [0]
    server = await loop.create_server(lambda: Server(answer, count), "127.0.0.1", 0)
    plan = {"connections": 10, "rate": 500, "seconds": 0.1, "warm": 0.02, **changed}
    port = server.sockets[0].getsockname()[1]
    try:
        found = await Generator(Plan(port=port, streams=[Stream("s", str(path))], **plan)).run()  # type: ignore[arg-type]
    finally:
        server.close()  # without waiting: since Python 3.12 that would be for the generator's connections, too
    assert count[0] == round(plan["rate"] * plan["warm"]) + round(plan["rate"] * plan["seconds"])
    streams: dict[str, dict[float, int]] = found["streams"]
    return streams


@pytest.mark.integration
def test_every_offered_request_is_sent_and_its_latency_kept(tmp_path: Path) -> None:
    latencies = asyncio.run(offered(lambda _: ANSWER, tmp_path))["s"]
    assert 0 < latencies[50.0] <= latencies[100.0]


@pytest.mark.integration
def test_requests_that_had_to_wait_for_a_connection_are_charged_from_when_they_were_due(tmp_path: Path) -> None:
    """500 a second for 0.1 s over one connection, to a server that takes 4 ms for each: the last waits about 0.1 s."""

    def slow(_: int) -> bytes:
        end = asyncio.get_running_loop().time() + 1 / 250
        while asyncio.get_running_loop().time() < end:
            pass
        return ANSWER

    latencies = asyncio.run(offered(slow, tmp_path, connections=1))["s"]
    assert latencies[100.0] > 50_000


@pytest.mark.integration
@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-x\r\n\r\n"]
)
def test_an_answer_that_is_no_200_with_a_length_voids_the_figure(answer: bytes, tmp_path: Path) -> None:
    with pytest.raises(NoFigure, match="no 200 with a length"):
        asyncio.run(offered(lambda number: ANSWER if number < 30 else answer, tmp_path))


@pytest.mark.integration
def test_a_server_that_hangs_up_within_an_answer_voids_the_figure(tmp_path: Path) -> None:
    with pytest.raises(NoFigure, match="A connection was lost"):
        asyncio.run(offered(lambda number: ANSWER if number < 30 else ANSWER[:-1] + HANG_UP, tmp_path))


def test_a_server_that_is_away_is_a_fault_and_no_figure(tmp_path: Path) -> None:
    (tmp_path / "records").write_bytes(b"GET\0")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and never listens
        plan = Plan(unused.getsockname()[1], 1, 30, 1.0, [Stream("s", str(tmp_path / "records"))])
        done = subprocess.run(open_loop_command(plan), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    with pytest.raises(BenchError, match="it said: fault"):
        parse_open_result(done.stdout)


def test_what_the_generator_says_is_read_by_stream_and_percentile() -> None:
    said = 'result {"rate": 9.5, "generator_cpu": 0.2, "lag_us": {"99.0": 7}, "streams": {"s": {"50.0": 3}}}\n'
    load = parse_open_result(said)
    assert (load.rate, load.lag_us, load.streams) == (9.5, {99.0: 7}, {"s": {50.0: 3}})
    with pytest.raises(BenchError, match="it said: fault A connection was lost"):
        parse_open_result("fault A connection was lost: None.\n")
