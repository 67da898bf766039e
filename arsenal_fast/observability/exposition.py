"""The Prometheus exposition: collectors of aioprometheus, filled at a scrape, written as text.

The rules of this file:

* One HELP and one TYPE for a name; label values come from closed sets and hold nothing to escape (tests).
* A histogram's buckets are put into the collector as they stand, not observed one by one.
* Both formats show the same series under the same names, so that a scraper may switch. What
  OpenMetrics adds (a family without ``_total``, UNIT, EOF) follows from the names.

A scrape delays all other requests of the worker, so it has to be quick: see
``tests/observability/test_exposition.py`` for how it is measured.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from platform import python_version
from typing import Final, cast

from aioprometheus import histogram
from aioprometheus.collectors import Collector, Counter, Gauge, Histogram, Registry
from aioprometheus.formats.text import TextFormatter
from aioprometheus.mypy_types import HistogramDictType, LabelsType, MetricTupleType

from arsenal_fast.http.accept import quality
from arsenal_fast.observability.metrics import BUCKETS, COUNTERS, GAUGES, NANOSECONDS, TIMINGS, Metrics, Series

TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = b"application/openmetrics-text; version=1.0.0; charset=utf-8"

HEALTH: Final = ("healthy", "degraded", "unhealthy")

SEEDED: Final = tuple((method, status) for method in ("GET", "POST") for status in ("200", "5xx"))
"""Series that are exposed with 0 before the first request: `rate()` does not see a step from absent to one."""

CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")

_API: Final = "/api/v1/"  # as routes.API (a test), which can't be imported here: routes come after handlers

_UNITS: Final = ("seconds", "bytes", "ratio")

_Family = tuple[type[Counter] | type[Gauge], str, str, Sequence[tuple[LabelsType, float]]]
"""Kind, name, help, and the samples: labels and value."""
_Histogram = tuple[str, str, Sequence[float], Sequence[tuple[LabelsType, Series]]]
"""Name, help, bounds, and the samples."""

_LE: Final = {bound: str(bound) for bound in BUCKETS} | {float("inf"): "+Inf"}


def family(name: str) -> str:
    """Return the name under which a line of Metrics with a help is exported."""
    prefixed = name if name.startswith("identity_") else f"identity_{name}"
    if name in TIMINGS:
        return f"{prefixed}_seconds"
    return f"{prefixed}_total" if name in COUNTERS else prefixed


def wanted(accept: bytes) -> bytes:
    """Return the content type that ``accept`` prefers; text 0.0.4 for equal quality."""
    openmetrics = quality(accept, "application/openmetrics-text", "1.0.0")
    return OPENMETRICS if openmetrics > quality(accept, "text/plain", "0.0.4") else TEXT


def render(registry: Registry, content_type: bytes) -> bytes:
    """Return the body in the format of a content type."""
    return (_OpenMetrics() if content_type == OPENMETRICS else _Text()).marshall(registry)


def collect(
    total: Metrics, *, version: str, health: str, shared: bool, recorded: bool = False, workers: int = 1
) -> Registry:
    """Return collectors that hold ``total``.

    ``shared``: there is a Redis, ``recorded``: there is a ledger, so that its state is exported. ``workers``: the
    configured number.
    """
    registry = Registry()
    families = (
        *_numbers(total),
        *_service(total, version, health, workers),
        *_dependencies(total, shared, recorded),
        *_process(total),
        *_requests(total),
        *_shadows(total),
    )
    for kind, name, text, samples in families:
        collector = kind(name, text, registry=registry)
        for labels, value in samples:
            collector.set_value(labels, value)
    for name, text, bounds, series in _histograms(total):
        durations = Histogram(name, text, registry=registry, buckets=bounds)
        for labels, each in series:
            durations.set_value(labels, _filled(each, bounds))
    return registry


def markdown_table() -> str:
    """Return all metrics for docs/monitoring.md: name, labels, kind, help."""
    total = Metrics(process_started=1.0, certificate_expires=1.0, shadow_refused={"burst": 1})
    total.observe(_API, "GET", 200, 0.0)
    registry = collect(total, version="", health=HEALTH[0], shared=True, recorded=True)
    lines = ["| Metric | Kind | What it is |", "|---|---|---|"]
    for name, collector in sorted(registry.collectors.items()):
        labels, _ = collector.get_all()[0]
        shown = f"{name}{{{','.join(labels)}}}" if labels else name
        lines.append(f"| `{shown}` | {collector.kind.name} | {collector.doc} |")
    return "\n".join(lines)


def _numbers(total: Metrics) -> Iterator[_Family]:
    """Yield the lines of Metrics that have a help."""
    for kind, names in ((Counter, COUNTERS), (Gauge, GAUGES)):
        for name, text in names.items():
            if text is not None:
                yield kind, family(name), text, _one(getattr(total, name))


def _service(total: Metrics, version: str, health: str, workers: int) -> Iterator[_Family]:
    yield Gauge, "identity_service_up", "1 while the service answers.", _one(1)
    build = {"version": version, "python": python_version()}
    yield Gauge, "identity_build_info", "What runs here; the value is 1.", [(build, 1)]
    text = "Look-ups of an identity that found a living record, over all look-ups; 0 before the first."
    yield Gauge, "identity_cache_hit_ratio", text, _one(total.hit_ratio or 0)
    states = [({"status": state}, int(state == health)) for state in HEALTH]
    yield Gauge, "identity_health", "1 for the state that the service is in.", states
    if total.certificate_expires:
        text = "When the TLS certificate in use ends, since the epoch in seconds; absent without TLS."
        yield Gauge, "identity_tls_certificate_expiry_timestamp_seconds", text, _one(total.certificate_expires)
    yield Gauge, "identity_workers_configured", "Workers that there should be.", _one(workers)


def _dependencies(total: Metrics, shared: bool, recorded: bool) -> Iterator[_Family]:
    if shared:
        text = "1 while every worker reaches Redis."
        yield Gauge, "identity_redis_up", text, _one(int(total.store_up >= total.workers))
    if recorded:
        text = "1 while every worker can use the ledger."
        yield Gauge, "identity_ledger_up", text, _one(int(total.ledger_up >= total.workers))


def _process(total: Metrics) -> Iterator[_Family]:
    text = "User and system CPU time of the workers in seconds."
    yield Counter, "process_cpu_seconds_total", text, _one(total.process_cpu_nanoseconds / NANOSECONDS)
    runs = (total.gc_collections_0, total.gc_collections_1, total.gc_collections_2)
    generations = [({"generation": str(generation)}, count) for generation, count in enumerate(runs)]
    yield Counter, "python_gc_collections_total", "Runs of the garbage collector, by generation.", generations
    if not total.process_started:
        return  # unknown: 0 would be a figure
    text = "Resident memory of the workers in bytes."
    yield Gauge, "process_resident_memory_bytes", text, _one(total.process_resident_bytes)
    yield Gauge, "process_open_fds", "Open file descriptors of the workers.", _one(total.process_open_descriptors)
    text = "Start of the oldest living worker since the epoch in seconds."
    yield Gauge, "process_start_time_seconds", text, _one(total.process_started)


def _requests(total: Metrics) -> Iterator[_Family]:
    counts = dict.fromkeys(SEEDED, 0) | total.requests()
    requests = [({"method": method, "status": status}, count) for (method, status), count in sorted(counts.items())]
    text = "Requests answered, by method and status; 5xx stands for every status from 500 on."
    yield Counter, "identity_requests_total", text, requests
    text = "Requests below /api/v1, by class of status; a connection that was answered 503 at once counts as one."
    classes = [({"class": status_class}, count) for status_class, count in _api_requests(total).items()]
    yield Counter, "identity_api_requests_total", text, classes


def _shadows(total: Metrics) -> Iterator[_Family]:
    if total.shadow_refused:
        text = "Requests that passed and that a shadow policy would have refused, by its name in the limits file."
        counts = [({"policy": policy}, count) for policy, count in sorted(total.shadow_refused.items())]
        yield Counter, "identity_limiter_shadow_refused_total", text, counts


def _histograms(total: Metrics) -> Iterator[_Histogram]:
    for name, series in total.timings():
        yield family(name), TIMINGS[name] or "", BUCKETS[: len(series.counts) - 1], [({}, series)]
    by_request = [
        ({"route": route, "method": method, "status": str(status)}, series)
        for (route, method, status), series in sorted(total.series.items())
    ]
    text = "Time from the whole request to its answer."
    yield "http_server_request_duration_seconds", text, BUCKETS, by_request


def _one(value: float) -> list[tuple[LabelsType, float]]:
    """Return the sample of a family without labels."""
    return [({}, value)]


def _api_requests(total: Metrics) -> dict[str, int]:
    """Return the requests of the service level: neither probes nor pages. Each class exists from the start."""
    counts = dict.fromkeys(CLASSES, 0)
    for (route, _, status), series in total.series.items():
        if route.startswith(_API) or route == "(shed)":
            counts[f"{status // 100}xx"] += series.count
    return counts


def _filled(series: Series, bounds: Sequence[float]) -> histogram.Histogram:
    filled = histogram.Histogram(*bounds)
    filled.buckets = dict(zip(filled.buckets, accumulate(series.counts), strict=True))
    filled.observations = filled.buckets[float("inf")]
    filled.sum = series.nanoseconds / NANOSECONDS
    return filled


class _Text(TextFormatter):
    """aioprometheus' text 0.0.4 for many lines: a histogram's labels are joined once."""

    def _format_histogram(self, histogram: MetricTupleType, name: str, const_labels: LabelsType) -> list[str]:
        labels, figures = histogram
        # Bounds are floats, sum and count are not; no series of ours has const_labels.
        values = cast(HistogramDictType, figures)
        own = ",".join([f'{label}="{value}"' for label, value in labels.items()])
        start, whole = (f"{name}_bucket{{{own},", f"{{{own}}}") if own else (f"{name}_bucket{{", "")
        return [
            f'{start}le="{_LE[key]}"}} {value}' if isinstance(key, float) else f"{name}_{key}{whole} {value}"
            for key, value in values.items()
        ]


class _OpenMetrics(_Text):
    """OpenMetrics 1.0.0: the same samples under other headers."""

    def marshall_lines(self, collector: Collector) -> list[str]:
        kind, family = collector.kind.name, collector.name
        if kind == "counter":
            family = family.removesuffix("_total")
        elif family.endswith("_info"):
            kind, family = "info", family.removesuffix("_info")
        header = [f"# TYPE {family} {kind}", f"# HELP {family} {collector.doc}"]
        unit = family.rpartition("_")[2]
        if unit in _UNITS:
            header.insert(1, f"# UNIT {family} {unit}")
        plain_header = 2  # the lines of text 0.0.4: HELP, TYPE
        return header + super().marshall_lines(collector)[plain_header:]

    def marshall(self, registry: Registry) -> bytes:
        return super().marshall(registry) + b"# EOF\n"
