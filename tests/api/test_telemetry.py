"""Telemetry: the counts of store, ledger and process, over all workers."""

from arsenal_fast.api import telemetry
from arsenal_fast.observability.metrics import ProcessFigures
from arsenal_fast.server.supervisor import SNAPSHOT_SIZE
from arsenal_fast.stores.counters import Counters
from tests.support.ledgers import SwitchedLedger
from tests.support.operations import SharedStore, away, exposed
from tests.support.rig import Rig


def test_what_the_store_counted_flows_into_every_snapshot() -> None:
    store = SharedStore()
    rig = Rig(store=store)
    counters = store.counters
    counters.commands, counters.rows, counters.timeouts, counters.script_loads = 7, 70, 2, 1
    counters.round_trip(0.0004)
    counters.round_trip(0.02)
    for _ in range(2):  # looking does not add
        total = telemetry.total(rig.service)
        assert (total.redis_commands, total.redis_rows, total.redis_timeouts) == (7, 70, 2)
        assert (total.redis_round_trip.count, total.redis_round_trip.nanoseconds) == (2, 20_400_000)
    answer = rig.get("/api/metrics")
    assert exposed(answer, "identity_redis_commands_total") == 7
    assert exposed(answer, "identity_redis_round_trip_seconds_bucket", le="0.0005") == 1
    assert exposed(answer, "identity_redis_up") == 1


def test_every_count_of_the_store_is_taken_once() -> None:
    store = SharedStore()
    names = [name for name in Counters.__slots__ if name not in ("round_trip_buckets", "round_trip_seconds_sum")]
    for index, name in enumerate(names):
        setattr(store.counters, name, 2**index)
    taken = telemetry.present(Rig(store=store).service)
    for index, name in enumerate(names):
        if name == "evictions":
            assert taken.store_evictions == 2**index
        elif name.startswith("memory_"):
            assert getattr(taken, f"redis_{name}_bytes") == 2**index
        elif name != "round_trips":  # the sum of the buckets
            assert getattr(taken, f"redis_{name}") == 2**index


def test_the_embedded_stores_rows_are_not_called_redis() -> None:
    rig = Rig()
    rig.get("/api/v1/id")
    assert rig.spare.counters.commands > 0
    answer = rig.get("/api/metrics")
    assert exposed(answer, "identity_redis_commands_total") == 0
    assert b"identity_redis_up" not in answer.body


def test_one_worker_without_redis_makes_the_metrics_degraded() -> None:
    here, there = Rig(store=SharedStore()), Rig(store=away())
    here.service.snapshots = lambda: [telemetry.snapshot(there.service)]
    answer = here.get("/api/metrics")
    assert exposed(answer, "identity_redis_up") == 0
    assert exposed(answer, "identity_health", status="degraded") == 1
    assert here.get("/api/telemetry").json["status"] == "degraded"


def test_one_worker_without_its_ledger_makes_the_metrics_degraded() -> None:
    lost = SwitchedLedger()
    lost.away = True
    here, there = Rig(ledger=SwitchedLedger()), Rig(ledger=lost)
    assert exposed(here.get("/api/metrics"), "identity_ledger_up") == 1
    here.advance(1)
    here.service.snapshots = lambda: [telemetry.snapshot(there.service)]
    answer = here.get("/api/metrics")
    assert exposed(answer, "identity_ledger_up") == 0
    assert exposed(answer, "identity_health", status="degraded") == 1


def test_without_a_ledger_nothing_is_said_of_one() -> None:
    answer = Rig().get("/api/metrics")
    assert b"identity_ledger_up" not in answer.body
    assert exposed(answer, "identity_health", status="healthy") == 1


def test_the_figures_of_the_processes_add_up_and_the_start_is_the_earliest() -> None:
    here, there = Rig(), Rig()
    here.service.metrics.process = lambda: ProcessFigures(1.5, 1000, 10, 2000.0, (5, 2, 1))
    there.service.metrics.process = lambda: ProcessFigures(0.25, 500, 4, 1000.0, (1, 1, 1))
    here.service.snapshots = lambda: [telemetry.snapshot(there.service)]
    answer = here.get("/api/metrics")
    assert exposed(answer, "process_cpu_seconds_total") == 1.75
    assert exposed(answer, "process_resident_memory_bytes") == 1500
    assert exposed(answer, "process_open_fds") == 14
    assert exposed(answer, "process_start_time_seconds") == 1000
    assert exposed(answer, "python_gc_collections_total", generation="0") == 6


def test_callers_of_all_workers_are_added_up() -> None:
    here, there = Rig(), Rig()
    for rig in (here, there, there):
        rig.get("/api/v1/id?run=1")
    here.service.snapshots = lambda: [telemetry.snapshot(there.service)]
    callers = here.get("/api/telemetry", Authorization=here.bearer("metrics")).json["callers"]
    assert callers["heaviest"] == [{"client": "203.0.113.9", "requests": 3}]


def test_looking_at_a_limit_counts_as_no_request() -> None:
    rig = Rig()
    for _ in range(3):
        rig.get("/api/v1/limits")
    assert telemetry.total(rig.service).rankings["heaviest"].counts == {}


def test_a_snapshot_of_the_longest_keys_fits_into_its_slot() -> None:
    rig = Rig()
    for number in range(2000):
        key = b"sub:%b>%0128d" % (b"s" * 128, number)
        rig.service.metrics.heaviest.add([key], [2 + number])
        rig.service.metrics.most_refused.add([key], [2 + number])
    assert len(telemetry.snapshot(rig.service)) < SNAPSHOT_SIZE // 2
