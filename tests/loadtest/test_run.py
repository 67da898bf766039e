"""The programs of a load test: the prober's requests, and the statistics of Locust and the prober."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.load import open_loop_command, parse_open_result, seed
from loadtest.exposition import Interval
from loadtest.plan import Plan
from loadtest.run import History, judged, probes, read_locust
from tests.loadtest.test_report import history
from tests.support.service import ServiceProcess

LOCUST = """[
 {"name": "id", "method": "GET", "num_failures": 0, "num_reqs_per_sec": {"10": 9, "11": 100, "12": 102, "13": 5},
  "response_times": {"2": 7, "30": 1}},
 {"name": "id (bot)", "method": "GET", "num_failures": 2, "num_reqs_per_sec": {"11": 2, "12": 2},
  "response_times": {"2": 4}}
]"""
PROBED = {"rate": 30.0, "generator_cpu": 0.1, "lag_us": {"99.0": 1}, "streams": {"probes": {"99.0": 2_000}}}


def test_locust_s_statistics_are_rates_by_kind_within_whole_seconds(tmp_path: Path) -> None:
    path = tmp_path / "locust.json"
    path.write_text(LOCUST)
    rates, failures, latencies, said = read_locust(path, 10.4, 13.2)
    assert rates == {"id": 103.0}
    assert (failures, said) == (2, ["GET id (bot): 2"])
    assert latencies == {0.002: 11, 0.03: 1}


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_is_counted_between_its_marks_and_a_failed_probe_is_named(tmp_path: Path, failed: bool) -> None:
    (tmp_path / "locust.json").write_text(LOCUST)
    said = "fault A connection was lost: None.\n" if failed else f"result {json.dumps(PROBED)}\n"
    past: History = history()
    run = judged(Plan(output=tmp_path), past, 14.0, (100, 200), said)
    assert run.interval == Interval(past.samples[1].reading, past.samples[5].reading)
    assert run.cores == pytest.approx({"service": 0.3, "locust": 0.3})
    assert (run.server_bytes, run.redis_bytes) == (100, 200)
    assert (run.probe is None) is failed
    assert any("A connection was lost" in fault for fault in run.faults) is failed


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(DATABASE_URL="none", TRUSTED_PROXIES="127.0.0.1/32", RATE_LIMIT_REQUESTS="1000000") as running:
        yield running


@pytest.mark.integration
def test_the_service_takes_every_request_of_the_prober(service: ServiceProcess, tmp_path: Path) -> None:
    plan = probes(Plan(), service.port, seed(service.port), tmp_path)
    records = (tmp_path / "probes.stream").read_bytes().split(b"\0")[:3]
    paths = [record.split(b" ")[1].partition(b"?")[0] for record in records]
    assert paths == [b"/api/v1/id", b"/api/v1/identities", b"/api/v1/validate"]
    short = replace(plan, rate=100, warm=0.05, seconds=0.3)
    done = subprocess.run(open_loop_command(short), capture_output=True, text=True, check=True, timeout=30)
    assert parse_open_result(done.stdout).streams["probes"][100.0] > 0
