"""The exposition, parsed as Prometheus does."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from aioprometheus.formats.text import TextFormatter
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as read_text

from arsenal_fast.api.router import API
from arsenal_fast.api.routes import ROUTES
from arsenal_fast.observability import exposition
from arsenal_fast.observability.exposition import OPENMETRICS, TEXT, collect, markdown_table, render, wanted
from arsenal_fast.observability.metrics import BUCKETS, COUNTERS, GAUGES, TIMINGS, Metrics

read_openmetrics: Callable[[str], Iterable[Any]] = openmetrics_parser.text_string_to_metric_families

WANTS_OPENMETRICS = b"application/openmetrics-text;version=1.0.0"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def busy() -> Metrics:
    """A worker that has done a little of everything."""
    numbers: dict[str, Any] = {name: index + 1 for index, name in enumerate((*COUNTERS, *GAUGES))}
    total = Metrics(**numbers, process_started=1_763_805_600.25)
    total.store_up = total.workers = 2
    for route in ("/api/v1/id", "/api/v1/validate", "/api/metrics", "(unmatched)"):
        for method, status in (("GET", 200), ("GET", 503), ("POST", 429), ("OTHER", 404)):
            total.observe(route, method, status, 0.0004, 3)
            total.observe(route, method, status, 70.0)
    total.redis_round_trip.plus(range(10), 123_456_789)
    for series in (total.event_loop_lag, total.gc_pause, total.ledger_commit):
        series.observe(0.002)
    return total


def exposed(total: Metrics, accept: bytes = b"", **facts: Any) -> bytes:
    registry = collect(total, **{"version": "v4.2.0", "health": "healthy", "shared": True, **facts})
    return render(registry, wanted(accept))


def samples(families: Iterable[Any]) -> Samples:
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} came twice"
            found[key] = sample.value
    return found


def text_samples(body: bytes) -> Samples:
    return samples(read_text(body.decode()))


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_the_samples_of_the_guide_are_there_to_the_letter() -> None:
    total = Metrics(identity_lookups=100, identity_lookup_hits=94)
    total.observe("/api/v1/id", "GET", 200, 0.001, 1500)
    total.observe("/api/v1/identities", "POST", 200, 0.001, 150)
    total.observe("/api/v1/validate", "POST", 200, 0.001, 50)
    lines = exposed(total).decode().splitlines()
    assert 'identity_requests_total{method="GET",status="200"} 1500' in lines
    assert 'identity_requests_total{method="POST",status="200"} 200' in lines
    assert "identity_cache_hit_ratio 0.94" in lines
    assert "identity_service_up 1" in lines


def test_the_status_of_the_guides_alert_is_there_before_the_first_error() -> None:
    found = text_samples(exposed(Metrics()))
    for method in ("GET", "POST"):
        assert value(found, "identity_requests_total", method=method, status="5xx") == 0
        assert value(found, "identity_requests_total", method=method, status="200") == 0


def test_the_hit_ratio_is_0_before_the_first_look_up() -> None:
    assert value(text_samples(exposed(Metrics())), "identity_cache_hit_ratio") == 0


@pytest.mark.parametrize("total", [Metrics(), busy()], ids=["idle", "busy"])
def test_both_formats_are_read_by_strict_parsers_and_say_the_same(total: Metrics) -> None:
    openmetrics = exposed(total, WANTS_OPENMETRICS)
    assert samples(read_openmetrics(openmetrics.decode())) == text_samples(exposed(total))


def test_each_name_has_one_help_and_one_type_and_no_help_has_labels() -> None:
    lines = exposed(busy()).decode().splitlines()
    for word in ("HELP", "TYPE"):
        names = [line.split()[2] for line in lines if line.startswith(f"# {word} ")]
        assert len(names) == len(set(names)) > 30
        assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in names)
    assert not any("{" in line or "\\" in line or '"' in line for line in lines if line.startswith("# "))


def test_openmetrics_names_families_types_and_units() -> None:
    families = {family.name: family for family in read_openmetrics(exposed(busy(), WANTS_OPENMETRICS).decode())}
    kinds = {
        "identity_requests": ("counter", ""),
        "identity_build": ("info", ""),
        "identity_cache_hit_ratio": ("gauge", "ratio"),
        "http_server_request_duration_seconds": ("histogram", "seconds"),
        "process_cpu_seconds": ("counter", "seconds"),
        "process_resident_memory_bytes": ("gauge", "bytes"),
        "python_gc_collections": ("counter", ""),
    }
    assert {name: (families[name].type, families[name].unit) for name in kinds} == kinds
    assert all(family.documentation for family in families.values())
    assert not any(family.type == "unknown" for family in families.values())


def test_openmetrics_ends_with_eof() -> None:
    body = exposed(busy(), WANTS_OPENMETRICS)
    assert body.endswith(b"\n# EOF\n")
    assert body.count(b"# EOF") == 1
    assert b"\n\n" not in body


def test_every_number_of_the_metrics_is_exported_under_its_name() -> None:
    total = busy()
    found = text_samples(exposed(total))
    for name, text in (COUNTERS | GAUGES).items():
        if text is not None:
            family = (name if name.startswith("identity_") else f"identity_{name}") + (
                "_total" if name in COUNTERS else ""
            )
            assert value(found, family) == getattr(total, name)
    for name in TIMINGS:
        assert value(found, f"identity_{name}_seconds_count") == getattr(total, name).count > 0


def test_requests_of_the_api_are_counted_by_class_and_probes_are_not() -> None:
    total = Metrics()
    for route, status in (
        *(("/api/v1/id", 200), ("/api/v1/id", 429), ("/api/v1/audit", 503), ("(shed)", 503)),
        *(("/api/health/ready", 503), ("/api/metrics", 200), ("(unmatched)", 404), ("(malformed)", 400)),
    ):
        total.observe(route, "GET", status, 0.0, 2)
    found = text_samples(exposed(total))
    counts = {name: value(found, "identity_api_requests_total", **{"class": name}) for name in exposition.CLASSES}
    assert counts == {"2xx": 2, "3xx": 0, "4xx": 2, "5xx": 4}
    assert exposition._API.encode() == API


def test_the_workers_that_there_should_be_are_told() -> None:
    assert value(text_samples(exposed(Metrics(), workers=4)), "identity_workers_configured") == 4


def test_numbers_with_a_rendering_of_their_own() -> None:
    total = busy()
    found = text_samples(exposed(total))
    assert value(found, "process_cpu_seconds_total") == total.process_cpu_nanoseconds / 1e9
    assert value(found, "process_resident_memory_bytes") == total.process_resident_bytes
    assert value(found, "process_open_fds") == total.process_open_descriptors
    assert value(found, "process_start_time_seconds") == 1_763_805_600.25
    for generation in range(3):
        collections = value(found, "python_gc_collections_total", generation=str(generation))
        assert collections == getattr(total, f"gc_collections_{generation}")
    rendered = {name for name, text in (COUNTERS | GAUGES).items() if text is None}
    assert rendered == {
        "process_cpu_nanoseconds",
        "process_resident_bytes",
        "process_open_descriptors",
        "gc_collections_0",
        "gc_collections_1",
        "gc_collections_2",
        "store_up",
        "ledger_up",
    }, "a new number without a help needs a line in the exposition and one here"


def test_the_figures_of_an_unknown_process_are_left_out() -> None:
    names = {name for name, _ in text_samples(exposed(Metrics()))}
    assert not names & {"process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"}


def test_a_histograms_buckets_are_cumulative_and_its_sum_is_in_seconds() -> None:
    total = Metrics()
    for seconds in (0.0001, 0.0005, 0.003, 2.0, 60.0):
        total.observe("/api/v1/id", "GET", 200, seconds)
    found = text_samples(exposed(total))
    labels = {"route": "/api/v1/id", "method": "GET", "status": "200"}
    name = "http_server_request_duration_seconds"
    cumulative = [value(found, f"{name}_bucket", le=str(bound), **labels) for bound in BUCKETS]
    assert cumulative == [2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4]
    assert value(found, f"{name}_bucket", le="+Inf", **labels) == 5
    assert value(found, f"{name}_count", **labels) == 5
    assert value(found, f"{name}_sum", **labels) == pytest.approx(62.0036)


def test_the_round_trips_of_redis_are_a_histogram() -> None:
    found = text_samples(exposed(busy()))
    assert value(found, "identity_redis_round_trip_seconds_bucket", le="0.001") == 0 + 1
    assert value(found, "identity_redis_round_trip_seconds_count") == sum(range(10))
    assert value(found, "identity_redis_round_trip_seconds_sum") == 0.123456789


# (workers, workers that reach the store, whether there is a Redis) -> identity_redis_up; None: not shown.
REDIS_ROWS = [(1, 1, True, 1), (1, 0, True, 0), (4, 4, True, 1), (4, 3, True, 0), (1, 1, False, None)]


@pytest.mark.parametrize(("workers", "reaching", "shared", "expected"), REDIS_ROWS)
def test_redis_is_up_while_every_worker_reaches_it(
    workers: int, reaching: int, shared: bool, expected: int | None
) -> None:
    found = text_samples(exposed(Metrics(workers=workers, store_up=reaching), shared=shared))
    assert found.get(("identity_redis_up", frozenset())) == expected


@pytest.mark.parametrize(("workers", "using", "recorded", "expected"), REDIS_ROWS)
def test_the_ledger_is_up_while_every_worker_can_use_it(
    workers: int, using: int, recorded: bool, expected: int | None
) -> None:
    found = text_samples(exposed(Metrics(workers=workers, ledger_up=using), recorded=recorded))
    assert found.get(("identity_ledger_up", frozenset())) == expected


@pytest.mark.parametrize("state", exposition.HEALTH)
def test_health_is_1_for_the_state_that_the_service_is_in(state: str) -> None:
    found = text_samples(exposed(Metrics(), health=state))
    states = {name: value(found, "identity_health", status=name) for name in exposition.HEALTH}
    assert states == {name: float(name == state) for name in exposition.HEALTH}


def test_the_build_says_its_version() -> None:
    found = text_samples(exposed(Metrics()))
    (labels,) = [dict(labels) for name, labels in found if name == "identity_build_info"]
    assert labels["version"] == "v4.2.0"
    assert re.fullmatch(r"3\.\d+\.\d+\S*", labels["python"])


def test_the_metrics_table_of_the_documentation_is_the_one_of_the_code() -> None:
    """It is `python -c "from arsenal_fast.observability.exposition import markdown_table; print(markdown_table())"`."""
    text = (Path(__file__).parents[2] / "docs/monitoring.md").read_text(encoding="utf-8")
    assert f"\n\n{markdown_table()}\n" in text


def test_no_label_value_needs_escaping() -> None:
    """aioprometheus escapes nothing, and nor do we: routes are the only labels that are more than a word."""
    routes = {route.path for route in ROUTES} | {"(unmatched)", "(options)", "(malformed)", "(shed)"}
    assert all(re.fullmatch(r"[A-Za-z0-9/._()-]+", route) for route in routes)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["/api/v1/id", "(unmatched)"]),
            st.sampled_from(["GET", "OTHER"]),
            st.sampled_from([200, 500]),
            st.floats(0, 100),
            st.integers(1, 10**9),
        ),
        max_size=6,
    )
)
def test_the_quick_way_of_writing_histograms_says_what_the_librarys_does(observations: list[Any]) -> None:
    total = Metrics()
    for observation in observations:
        total.observe(*observation)
    registry = collect(total, version="v4.2.0", health="healthy", shared=True)
    assert text_samples(render(registry, TEXT)) == text_samples(TextFormatter().marshall(registry))


# Accept, content type of the answer.
FORMATS = [
    (b"", TEXT),
    (b"*/*", TEXT),
    (b"text/plain", TEXT),
    (b"text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
    (b"image/png", TEXT),  # nothing that we have is wanted: text all the same
    (b"application/openmetrics-text", OPENMETRICS),
    (b"application/openmetrics-text;version=1.0.0", OPENMETRICS),
    (b"application/openmetrics-text;version=0.0.1", TEXT),
    (b"application/openmetrics-text;q=0,text/plain", TEXT),
    (b"application/openmetrics-text;q=0.5,text/plain;q=0.6", TEXT),
    # Prometheus 2.42 and 3.
    (
        b"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        b"text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        OPENMETRICS,
    ),
    (
        b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
        b"application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
        b"text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        OPENMETRICS,
    ),
    (b"text/plain;version=0.0.4;q=0.2,*/*;q=0.1,application/openmetrics-text;version=1.0.0;q=0.05", TEXT),
]


@pytest.mark.parametrize(("accept", "content_type"), FORMATS)
def test_openmetrics_is_for_who_wants_it_more_than_text(accept: bytes, content_type: bytes) -> None:
    registry = collect(Metrics(), version="v4.2.0", health="healthy", shared=False)
    assert wanted(accept) == content_type
    assert render(registry, content_type).endswith(b"# EOF\n") is (content_type == OPENMETRICS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.parametrize("total", [Metrics(), busy()], ids=["idle", "busy"])
def test_promtool_finds_nothing_to_complain_about(total: Metrics) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exposed(total), capture_output=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_end_of_the_certificate_is_told_only_where_there_is_one() -> None:
    name = "identity_tls_certificate_expiry_timestamp_seconds"
    total = busy()
    assert name.encode() not in exposed(total)
    total.certificate_expires = 1_798_761_600.0
    assert value(text_samples(exposed(total)), name) == 1_798_761_600.0
    assert value(samples(read_openmetrics(exposed(total, WANTS_OPENMETRICS).decode())), name) == 1_798_761_600.0
