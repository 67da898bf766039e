"""Figures of wrk and of sockets: only runs with nothing but 200s give a figure."""

import json

import pytest

from bench import BenchError
from bench.floor import Floor
from bench.load import Load, missing_bytes, parse_result
from tests.support.rig import FakeTransport

COUNTS = {
    "requests": 1000, "duration_us": 3_000_000, "quantiles_us": [[50, 700], [99, 1400], [99.9, 2100]],
    "not_2xx": 0, "broken": 0,
}  # fmt: skip
LOAD = Load(1000, 3_000_000, {50: 700, 99: 1400, 99.9: 2100})


def said(**changed: int) -> str:
    return f"Running 3s test\n  64 connections\nresult {json.dumps(COUNTS | changed)}\nRequests/sec: 333\n"


def test_the_result_line_is_found_among_the_words_of_wrk() -> None:
    assert parse_result(said(), "validate") == LOAD


@pytest.mark.parametrize("changed", [{"not_2xx": 1}, {"broken": 1}, {"requests": 0}])
def test_one_bad_answer_voids_the_figure(changed: dict[str, int]) -> None:
    with pytest.raises(BenchError, match=r"validate: .* no figure"):
        parse_result(said(**changed), "validate")


def test_a_generator_that_failed_is_quoted() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        parse_result("unable to connect to 127.0.0.1:1\n", "validate")


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (b"", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 5),
        (b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\n12\r", 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345", 0),
    ],
)
def test_an_answer_is_read_to_its_content_length(answer: bytes, missing: int) -> None:
    assert missing_bytes(answer) == missing


def test_an_answer_without_a_length_can_not_be_repeated_by_the_floor() -> None:
    with pytest.raises(BenchError, match="without Content-Length"):
        missing_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def test_the_floor_writes_its_answer_once_for_each_read() -> None:
    transport, floor = FakeTransport(("127.0.0.1", 50_000)), Floor(b"answer")
    floor.connection_made(transport)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\0", b"x" * 70_000):
        floor.data_received(data)
    assert transport.written == [b"answer"] * 3
