"""The telemetry of one worker and of all workers.

The hot path counts in :class:`~arsenal_fast.observability.metrics.Metrics`; the store and the process count elsewhere.
This module combines them: :func:`present` for this worker, :func:`total` for all, :func:`document` as JSON for
dashboards. None of it runs on the hot path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from arsenal_fast.api.admission import POLICY
from arsenal_fast.api.services import Services
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.observability.metrics import BUCKETS, NANOSECONDS, Metrics, ProcessFigures, merge
from arsenal_fast.stores.ports import Backend, Ledger

EMBEDDED: Final = "embedded"
"""Status of a store that lives in the worker's own memory."""

_MALFORMED: Final = frozenset({"(malformed)", "(shed)"})
"""Routes of responses to invalid requests, which have no latency."""


def present(services: Services) -> Metrics:
    """Return this worker's counts as of now, with those of its store and its process."""
    own = services.metrics
    moment = Metrics(written=services.monotonic())
    moment.add(own.snapshot())
    _add_store(moment, services.backend)
    _add_ledger(moment, services.ledger)
    _add_process(moment, own.process())
    moment.identity_cache_entries = len(services.identities)
    moment.request_rate = own.rate.look(moment.written, own.answered)
    moment.workers = 1
    return moment


def snapshot(services: Services) -> bytes:
    """Return :func:`present` for the other workers."""
    return present(services).snapshot()


def total(services: Services) -> Metrics:
    """Return the sum over the workers.

    This worker's own counts are taken before the others' are read: reading them also publishes this worker's snapshot,
    which then has at least the counts reported here. So the sum that another worker reports a moment later is not
    smaller.
    """
    own = snapshot(services)
    return merge((own, *services.snapshots()), services.monotonic())


def health(services: Services, summed: Metrics) -> str:
    """Return the service's status, ``degraded`` also where only another worker has lost the store or the ledger."""
    lost = summed.store_up < summed.workers or (services.ledger is not None and summed.ledger_up < summed.workers)
    return "degraded" if lost and services.status == "healthy" else services.status


def dependencies(services: Services) -> dict[str, str]:
    """Return the status of the dependencies, one word each."""
    return {"database": services.ledger_status, "redis": services.backend.status, "api": phase(services)}


def reasons(services: Services) -> dict[str, str]:
    """Return why a dependency can't be used, by its name; empty while all can."""
    faults = {"redis": services.backend.fault}
    if services.ledger is not None:
        faults["database"] = services.ledger.fault
    return {name: fault for name, fault in faults.items() if fault}


def phase(services: Services) -> str:
    """Return the phase of the service: ``starting``, ``healthy`` or ``draining``."""
    if services.draining:
        return "draining"
    return "healthy" if services.ready else "starting"


def uptime(services: Services) -> int:
    """Return whole seconds since the start; not below 0 where the clock was set back."""
    return max(0, int(services.now() - services.started_at_s))


def document(services: Services, summed: Metrics) -> dict[str, Any]:
    """Return the telemetry response (schema ``Telemetry``)."""
    age_ms = max(0, int((services.monotonic() - summed.written) * 1000))
    return {
        "timestamp": timestamp(services.now_ms() - age_ms),
        "status": health(services, summed),
        "services": dependencies(services),
        "uptime": uptime(services),
        "version": services.settings.version,
        "workers": summed.workers,
        "requests": _requests(summed),
        "latency": _latency(summed),
        "cache": {
            "lookups": summed.identity_lookups,
            "hits": summed.identity_lookup_hits,
            "ratio": summed.hit_ratio,
            "entries": summed.identity_cache_entries,
        },
        "identities": {
            "issued": summed.identity_issued,
            "renewed": summed.identity_renewed,
            "issued_without_store": summed.identity_issued_without_store,
            "revoked": summed.identity_revoked,
        },
        "ledger": {
            "status": services.ledger_status,
            "waiting": summed.ledger_waiting,
            "dropped": summed.ledger_dropped,
            "rows": summed.ledger_rows,
            "commits": summed.ledger_commits,
            "failures": summed.ledger_failures,
        },
        "limiter": _limiter(services, summed),
        "redis": _redis(services, summed),
        "connections": {
            "open": summed.connections_open,
            "accepted": summed.connections_accepted,
            "shed": summed.connections_shed,
            "timed_out": summed.connections_timed_out,
        },
        "process": _process(summed),
    }


def quantile(counts: Sequence[int], rank: float) -> float | None:
    """Estimate a quantile in seconds from bucket counts; None where nothing was counted.

    Linear within a bucket, as Prometheus' ``histogram_quantile``; beyond the last bound, that bound.
    """
    wanted = rank * sum(counts)
    if not wanted:
        return None
    below, lower = 0, 0.0
    for count, bound in zip(counts, BUCKETS, strict=False):
        if count and below + count >= wanted:
            return lower + (bound - lower) * (wanted - below) / count
        below, lower = below + count, bound
    return BUCKETS[-1]


def _add_store(moment: Metrics, backend: Backend) -> None:
    counters = backend.counters
    moment.store_up = int(backend.healthy)
    moment.store_evictions += counters.evictions
    moment.redis_memory_used_bytes = counters.memory_used
    moment.redis_memory_limit_bytes = counters.memory_limit
    if backend.status == EMBEDDED:
        return  # its rows and commands never left the process: there is no Redis
    moment.redis_commands += counters.commands
    moment.redis_batches += counters.batches
    moment.redis_rows += counters.rows
    moment.redis_replies += counters.replies
    moment.redis_timeouts += counters.timeouts
    moment.redis_connects += counters.connects
    moment.redis_disconnects += counters.disconnects
    moment.redis_outages += counters.outages
    moment.redis_failures += counters.failures
    moment.redis_script_loads += counters.script_loads
    nanoseconds = int(counters.round_trip_seconds_sum * NANOSECONDS)
    moment.redis_round_trip.plus(counters.round_trip_buckets, nanoseconds)


def _add_ledger(moment: Metrics, ledger: Ledger | None) -> None:
    if ledger is None:
        return
    counters = ledger.counters
    moment.ledger_up = int(ledger.healthy)
    moment.ledger_waiting = counters.waiting
    moment.ledger_dropped += counters.dropped
    moment.ledger_refused += counters.refused
    moment.ledger_commit.plus(counters.commit_times.counts, counters.commit_times.nanoseconds)
    moment.ledger_timeouts += counters.timeouts
    moment.ledger_trimmed += counters.trimmed
    moment.ledger_rows += counters.rows
    moment.ledger_commits += counters.commits
    moment.ledger_failures += counters.failures


def _add_process(moment: Metrics, figures: ProcessFigures) -> None:
    moment.process_cpu_nanoseconds += int(figures.cpu_seconds * NANOSECONDS)
    moment.process_resident_bytes = figures.resident_bytes
    moment.process_open_descriptors = figures.open_descriptors
    moment.process_started = figures.started
    moment.log_lines_dropped += figures.log_lines_dropped
    young, middle, old = figures.collections
    moment.gc_collections_0 += young
    moment.gc_collections_1 += middle
    moment.gc_collections_2 += old


def _requests(summed: Metrics) -> dict[str, Any]:
    by_status: dict[str, int] = {}
    for (_, status), count in sorted(summed.requests().items(), key=lambda each: each[0][1]):
        by_status[status] = by_status.get(status, 0) + count
    return {
        "total": sum(by_status.values()),
        "by_status": by_status,
        "errors": by_status.get("5xx", 0),
        "rate": _rounded(summed.request_rate, 1),
    }


def _latency(summed: Metrics) -> dict[str, float | None]:
    rows = [each.counts for (route, _, _), each in summed.series.items() if route not in _MALFORMED]
    counts = [sum(column) for column in zip(*rows, strict=True)]
    return {f"p{rank}": _milliseconds(quantile(counts, rank / 100)) for rank in (50, 90, 99)}


def _limiter(services: Services, summed: Metrics) -> dict[str, Any]:
    quota = services.settings.quota
    return {
        "policy": POLICY if quota else None,
        "limit": quota.limit if quota else None,
        "window": quota.window if quota else None,
        "allowed": summed.limiter_allowed,
        "denied": summed.limiter_denied,
        "denied_locally": summed.limiter_denied_locally,
        "fallback": summed.limiter_fallback,
        "batches": summed.limiter_batches,
    }


def _redis(services: Services, summed: Metrics) -> dict[str, Any]:
    trips = summed.redis_round_trip
    mean = trips.nanoseconds / NANOSECONDS / trips.count if trips.count else None
    commands = summed.redis_commands
    return {
        "status": services.backend.status,
        "commands": commands,
        "rows_per_command": round(summed.redis_rows / commands, 2) if commands else None,
        "timeouts": summed.redis_timeouts,
        "round_trip_ms_mean": _milliseconds(mean),
    }


def _process(summed: Metrics) -> dict[str, Any]:
    started = summed.process_started
    return {
        "cpu_seconds": summed.process_cpu_nanoseconds / NANOSECONDS,
        "resident_memory_bytes": summed.process_resident_bytes,
        "open_fds": summed.process_open_descriptors,
        "started": timestamp(int(started * 1000)) if started else None,
        "gc_collections": summed.gc_collections_0 + summed.gc_collections_1 + summed.gc_collections_2,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else _rounded(seconds * 1000, 3)


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
