"""The prober and wrk: their arithmetic, their octets, and that the service takes them."""

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import BenchError
from bench.workloads import IDENTITIES
from loadtest.filler import command, parse_result, write_script
from loadtest.plan import RATES
from loadtest.prober import ADDRESS, Connection, Probe, parse, percentile
from loadtest.requests import PLACE, batch_record, id_record, mix, validate_record
from loadtest.run import seed
from tests.support.service import ServiceProcess

SUFFIX = "@sports.api.yourbook.com/v1:id"

PERCENTILES = [([1.0], 0.99, 1.0), ([3.0, 1.0, 2.0], 0.5, 2.0), (list(range(1, 101)), 0.99, 99), ([1, 9], 0.99, 9)]


@pytest.mark.parametrize(("values", "share", "found"), PERCENTILES)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, found: float) -> None:
    assert percentile(values, share) == found


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_probes_are_those_that_were_due_in_time_and_whole_lines() -> None:
    written = [Probe(1.0, "id", 0.1), Probe(2.0, "batch", None), Probe(3.0, "id", 0.2)]
    lines = [json.dumps(probe._asdict()) + "\n" for probe in written]
    assert parse([*lines, '{"due": 2.5, "ki'], 1.5, 3.0) == written[1:]


def test_the_mix_has_the_proportions_of_the_rates_and_what_is_new_in_them() -> None:
    records = mix(RATES, SUFFIX)
    by_kind = {kind: [record for each, record in records if each == kind] for kind in RATES}
    for kind, rate in RATES.items():
        assert len(by_kind[kind]) / len(records) == pytest.approx(rate / sum(RATES.values()), abs=1e-3)
    place = PLACE.encode()
    assert sum(place in record for record in by_kind["id"]) == len(by_kind["id"]) // 12
    assert sum(place in record for record in by_kind["batch"]) == len(by_kind["batch"]) // 2
    assert sum(b"nobody" in record for record in by_kind["validate"]) == len(by_kind["validate"]) // 50


def test_the_digits_that_wrk_fills_in_are_as_long_as_their_place() -> None:
    record = batch_record(ADDRESS, 0, new=True)
    head, _, body = record.replace(PLACE.encode(), b"%06d" % 42).partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    assert int(length[1]) == len(body)


RESULT = 'result {"sent": {"id": 300, "batch": 40}, "duration_us": 2000000, "not_2xx": 1, "broken": 2}'


def test_wrk_s_result_is_rates_and_failures() -> None:
    assert parse_result(f"Running 2s test\n{RESULT}\n") == ({"id": 150.0, "batch": 20.0}, 3)


def test_wrk_without_a_result_is_quoted() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        parse_result("unable to connect to 127.0.0.1:1\n")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(DATABASE_URL="none", TRUSTED_PROXIES="127.0.0.1/32", RATE_LIMIT_REQUESTS="1000000") as running:
        yield running


@pytest.mark.integration
def test_the_service_takes_every_kind_of_request(service: ServiceProcess) -> None:
    suffix = seed(service.port)
    assert suffix == SUFFIX
    connection = Connection(service.port)
    new = b"%06d" % 7
    for record in (
        id_record(ADDRESS, 1),
        id_record(ADDRESS, 1, new=True).replace(PLACE.encode(), new),
        batch_record(ADDRESS, IDENTITIES - 1),
        batch_record(ADDRESS, 1, new=True).replace(PLACE.encode(), new),
        validate_record(ADDRESS, 1, suffix),
        validate_record(ADDRESS, 1, suffix, stranger=True),
    ):
        assert connection.succeeds(record), record
    connection.close()


@pytest.mark.integration
def test_wrk_offers_the_rate_and_no_more(service: ServiceProcess, tmp_path: Path) -> None:
    rates = {kind: rate / 10 for kind, rate in RATES.items()}
    script = write_script(rates, SUFFIX, tmp_path)
    done = subprocess.run(command(service.port, script, 3), capture_output=True, text=True, check=True, timeout=30)
    sent, failures = parse_result(done.stdout)
    assert failures == 0
    # Three seconds have room for a stall on a busy machine, and what was held up is sent after it.
    assert sum(sent.values()) == pytest.approx(sum(rates.values()), rel=0.1)
    assert sent["validate"] > sent["id"] > sent["batch"]


def answer_once(listener: socket.socket, octets: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(octets)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("octets", "succeeds"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", False),
        (b"", False),
    ],
)
def test_a_probe_succeeds_by_a_whole_200_alone(octets: bytes, succeeds: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once, args=(listener, octets))
        thread.start()
        connection = Connection(listener.getsockname()[1])
        assert connection.succeeds(b"GET / HTTP/1.1\r\n\r\n") is succeeds
        thread.join()
        connection.close()


def test_a_service_that_is_away_is_a_failed_probe() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and never listens
        assert not Connection(unused.getsockname()[1]).succeeds(b"")
