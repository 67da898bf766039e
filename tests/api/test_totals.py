"""Metrics and telemetry are computed once a second, and their sums never go back."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.api import telemetry
from arsenal_fast.api.totals import KEPT_S, Totals
from arsenal_fast.observability.multiprocess import SharedCounters
from arsenal_fast.server.supervisor import SNAPSHOT_SIZE
from tests.support.rig import Answer, Rig, request

FORMS = [
    ("/api/metrics", {}),
    ("/api/metrics", {"Accept": "application/openmetrics-text;version=1.0.0"}),
    ("/api/telemetry", {}),
]


def taken(rig: Rig) -> list[float]:
    """The moments at which the rig's worker takes its sum, from now on."""
    moments: list[float] = []

    def take() -> Any:
        moments.append(rig.elapsed)
        return telemetry.total(rig.service)

    rig.service.totals = Totals(take, lambda: rig.elapsed, None)
    return moments


def answered(answer: Answer) -> int:
    """How many requests a scrape counts."""
    if answer.headers["content-type"] == "application/json":
        return int(answer.json["requests"]["total"])
    lines = answer.body.decode().splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("identity_requests_total{"))


def test_the_sum_is_taken_once_a_second_for_all_forms() -> None:
    rig = Rig()
    moments = taken(rig)
    first = [rig.get(path, **fields).body for path, fields in FORMS]
    rig.advance(KEPT_S - 0.001)
    assert [rig.get(path, **fields).body for path, fields in FORMS] == first
    assert moments == [1000.0]
    rig.advance(0.001)
    assert [rig.get(path, **fields).body for path, fields in FORMS] != first
    assert len(moments) == 2


@pytest.mark.parametrize(("path", "fields"), FORMS)
def test_a_form_is_rendered_once_a_second_however_often_it_is_asked_for(path: str, fields: dict[str, str]) -> None:
    rig = Rig()
    moments = taken(rig)
    client = rig.connect()
    for _ in range(10):
        client.send(request("GET", path, **fields) * 32)
    assert len({answer.body for answer in client.answers(*["GET"] * 320)}) == 1
    assert len(moments) == 1


def test_head_and_the_health_of_the_moment_are_as_before() -> None:
    rig = Rig()
    whole = rig.get("/api/metrics")
    head = rig.connect().get("/api/metrics", method="HEAD")
    assert (head.headers["content-length"], head.body) == (whole.headers["content-length"], b"")
    rig.service.draining = True
    assert rig.get("/api/health").status == 503


def test_telemetry_says_when_it_was_taken() -> None:
    rig = Rig()
    assert rig.get("/api/telemetry").json["timestamp"] == "2025-11-22T10:00:00.000Z"
    rig.advance(0.5)
    assert rig.get("/api/telemetry").json["timestamp"] == "2025-11-22T10:00:00.000Z"
    rig.advance(0.5)
    assert rig.get("/api/telemetry").json["timestamp"] == "2025-11-22T10:00:01.000Z"


def test_telemetry_of_a_sum_that_a_scrape_has_taken_says_so() -> None:
    rig = Rig()
    rig.get("/api/metrics")
    rig.advance(0.75)
    assert rig.get("/api/telemetry").json["timestamp"] == "2025-11-22T10:00:00.000Z"


class Workers:
    """Several workers of one service, as ``worker.py`` composes them."""

    def __init__(self, count: int) -> None:
        self.counters = SharedCounters(count, SNAPSHOT_SIZE)
        self.rigs = [Rig() for _ in range(count)]
        for slot, rig in enumerate(self.rigs):
            rig.service.snapshots = partial(self._others, slot)
            rig.service.totals = Totals(partial(telemetry.total, rig.service), rig.service.monotonic, self.counters)

    def _others(self, slot: int) -> list[bytes]:
        self.counters.write(slot, telemetry.snapshot(self.rigs[slot].service))
        return [self.counters.read(other) for other in range(len(self.rigs)) if other != slot]

    def advance(self, seconds: float) -> None:
        for rig in self.rigs:
            rig.advance(seconds)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.sampled_from([0.1, 0.4, 0.5, 0.999, 1.0, 7.0])),
        st.tuples(st.just("work"), st.integers(0, 2)),
        st.tuples(st.just("scrape"), st.tuples(st.integers(0, 2), st.sampled_from(FORMS))),
        st.tuples(st.just("scrape"), st.tuples(st.integers(0, 2), st.sampled_from(FORMS))),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_no_scrape_of_any_worker_tells_less_than_an_earlier_one(steps: list[Any]) -> None:
    workers = Workers(3)
    seen = [0]
    for kind, argument in steps:
        if kind == "advance":
            workers.advance(argument)
        elif kind == "work":
            workers.rigs[argument].get("/nowhere")
        else:
            slot, (path, fields) = argument
            seen.append(answered(workers.rigs[slot].get(path, **fields)))
    assert seen == sorted(seen)


def test_all_workers_show_the_sum_of_the_first_one_for_its_second() -> None:
    workers = Workers(2)
    first, second = workers.rigs
    told = first.get("/api/metrics").body
    second.get("/nowhere")
    workers.advance(0.999)
    assert answered(second.get("/api/telemetry")) == 0
    assert [line for line in second.get("/api/metrics").body.splitlines() if b"requests_total" in line] == [
        line for line in told.splitlines() if b"requests_total" in line
    ]
    workers.advance(0.001)
    assert answered(second.get("/api/telemetry")) >= 3


def test_while_another_worker_takes_the_sum_the_last_one_is_shown() -> None:
    workers = Workers(2)
    first, second = workers.rigs
    before = answered(first.get("/api/metrics"))
    second.get("/nowhere")
    workers.advance(5)

    @contextmanager
    def occupied() -> Iterator[bool]:
        yield False

    alone, workers.counters.alone = workers.counters.alone, occupied  # type: ignore[method-assign]
    assert answered(second.get("/api/metrics")) == before
    workers.counters.alone = alone  # type: ignore[method-assign]
    assert answered(second.get("/api/metrics")) > before


# METRICS_ACCESS.

BY_TOKEN = {"metrics_by_token": True}


@pytest.mark.parametrize("path", ["/api/metrics", "/api/telemetry"])
def test_metrics_may_be_kept_for_tokens_of_their_scope(path: str) -> None:
    rig = Rig(settings=BY_TOKEN)
    none, other = rig.get(path), rig.get(path, Authorization=rig.bearer("audit"))
    assert (none.status, other.status) == (401, 403)
    assert none.headers["www-authenticate"] == 'Bearer realm="arsenal-identity", scope="metrics"'
    assert 'error="insufficient_scope", scope="metrics"' in other.headers["www-authenticate"]
    assert rig.get(path, Authorization=rig.bearer("metrics")).status == 200
    bad = rig.get(path, Authorization=rig.bearer("metrics")[:-4] + "AAAA")
    assert bad.status == 401
    assert 'error="invalid_token"' in bad.headers["www-authenticate"]


def test_a_guess_at_a_token_for_metrics_is_charged() -> None:
    rig = Rig(settings=BY_TOKEN)
    rig.get("/api/metrics", Authorization="Bearer guess")
    assert rig.get("/api/v1/limits").json["remaining"] == 99
    assert rig.get("/api/health", Authorization="Bearer guess").status == 200, "probes read no token"


@pytest.mark.parametrize("path", ["/api/metrics", "/api/telemetry"])
def test_metrics_are_open_by_default(path: str) -> None:
    rig = Rig()
    assert rig.get(path).status == 200
    assert rig.get(path, Authorization="Bearer guess").status == 200
