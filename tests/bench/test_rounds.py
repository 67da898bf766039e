"""One real round: wrk measures the floor and the service; a failing server is reported and the others are kept."""

from dataclasses import replace

import pytest

from bench.processes import require_tools
from bench.results import Sample
from bench.rounds import Plan, joined, run
from bench.servers import SERVICE, lasting
from bench.workloads import Workload

BROKEN = replace(SERVICE, name="broken", command=("{python}", "-c", "raise SystemExit('no licence')"))


@pytest.mark.integration
def test_a_peer_that_does_not_start_is_reported_and_the_others_are_measured() -> None:
    """The one behind it also leaves its counters where they are looked for."""
    require_tools()
    other = replace(lasting(SERVICE), name="other", cell_keys="af:{0}:c:?*")
    faults: list[str] = []
    plan = Plan([SERVICE, BROKEN, other], [Workload.named("cached-proxy")], rounds=1, seconds=1)
    samples = run(plan, lambda _: None, faults.append)
    assert [sample.server for sample in samples] == ["other", SERVICE.name, "floor"]
    assert all(sample.cpu_per_request > 1 for sample in samples)
    (fault,) = faults
    assert fault.startswith("round 1: broken: broken did not become ready")
    assert "no licence" in fault


@pytest.mark.integration
def test_a_service_that_does_not_start_costs_its_round_and_not_the_run() -> None:
    require_tools()
    faults: list[str] = []
    samples = run(Plan([BROKEN], [Workload.named("cached-proxy")], rounds=2, seconds=1), lambda _: None, faults.append)
    assert samples == []
    assert [fault.partition(":")[0] for fault in faults] == ["round 1", "round 2"]


def test_two_intervals_are_one_figure() -> None:
    first = Sample(0, "cached-proxy", "other", 100, 1000, 800, "schedstat", 10, 30, 0.02)
    second = Sample(0, "cached-proxy", "other", 300, 1010, 900, "stat", 12, 20, 0.01)
    both = Sample(0, "cached-proxy", "other", 400, 2010, 1700, "both", 11, 25, 0.02)
    assert joined(first, second) == both
    assert joined(first, first).cpu_source == "schedstat"
