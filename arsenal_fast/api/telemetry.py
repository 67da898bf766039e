"""The telemetry of one worker and of all workers.

The hot path counts in :class:`~arsenal_fast.observability.metrics.Metrics`; the store and the process count elsewhere.
This module combines them: :func:`present` for this worker, :func:`total` for all. None of it runs on the hot path.
"""

from __future__ import annotations

from typing import Final

from arsenal_fast import REPOSITORY
from arsenal_fast.api.services import Services
from arsenal_fast.identity import validity
from arsenal_fast.observability.metrics import COUNTERS, NANOSECONDS, RANKINGS, Metrics, ProcessFigures, merge
from arsenal_fast.stores.ports import Ledger, Store

EMBEDDED: Final = "embedded"
"""Status of a store that lives in the worker's own memory."""

_FILES: Final = {"LIMITS_FILE": "limits", "OIDC_ISSUERS": "issuers"}
"""By variable, the name of its file in the health response."""

RUNBOOKS: Final = {
    "redis": "LimitsNotShared",
    "database": "LedgerBacklog",
    "limits": "SettingsRefused",
    "issuers": "SettingsRefused",
}
"""By dependency or file, the page of docs/runbooks/ for the time that it can't be used."""


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
    moment.rankings = {name: getattr(own, name).report(moment.written) for name in RANKINGS}
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


def reasons(services: Services) -> dict[str, str]:
    """Return why a dependency can't be used, by its name; empty while all can."""
    faults = {"redis": services.backend.fault}
    if services.ledger is not None:
        faults["database"] = services.ledger.fault
    faults |= {_FILES[name]: f"{name} was changed and is refused, see the log" for name in services.stale_files}
    return {name: fault for name, fault in faults.items() if fault}


def look(services: Services) -> None:
    """Note which dependencies are away, and the figures of an interval that is over; once a second."""
    history, monotonic_s = services.history, services.monotonic()
    history.note_away(reasons(services), services.now_ms())
    if history.is_due(monotonic_s):
        history.add(total(services), monotonic_s, services.now_ms())


def faults(services: Services) -> dict[str, dict[str, str]]:
    """Return why and since when each dependency is away, and the URL of its runbook; empty while all can be used."""
    why = reasons(services)
    if not why:
        return {}
    services.history.note_away(why, services.now_ms())
    since_ms = services.history.away_since_ms
    return {
        "reasons": why,
        "since": {name: validity.timestamp(since_ms[name]) for name in why},
        "runbooks": {name: f"{REPOSITORY}/blob/main/docs/runbooks/{RUNBOOKS[name]}.md" for name in why},
    }


def phase(services: Services) -> str:
    """Return the phase of the service: ``starting``, ``healthy`` or ``draining``."""
    if services.draining:
        return "draining"
    return "healthy" if services.ready else "starting"


def _add_counters(moment: Metrics, prefix: str, counters: object) -> None:
    """Add the counters of a store or ledger to the metrics of the same names behind the prefix."""
    for metric in COUNTERS:
        if metric.startswith(prefix):
            setattr(moment, metric, getattr(moment, metric) + getattr(counters, metric.removeprefix(prefix)))


def _add_store(moment: Metrics, backend: Store) -> None:
    counters = backend.counters
    moment.store_up = int(backend.healthy)
    moment.store_evictions += counters.evictions
    moment.redis_memory_used_bytes = counters.memory_used
    moment.redis_memory_limit_bytes = counters.memory_limit
    if backend.status == EMBEDDED:
        return  # its rows and commands never left the process: there is no Redis
    _add_counters(moment, "redis_", counters)
    nanoseconds = int(counters.round_trip_seconds_sum * NANOSECONDS)
    moment.redis_round_trip.plus(counters.round_trip_buckets, nanoseconds)


def _add_ledger(moment: Metrics, ledger: Ledger | None) -> None:
    if ledger is None:
        return
    counters = ledger.counters
    moment.ledger_up = int(ledger.healthy)
    moment.ledger_waiting = counters.waiting
    moment.ledger_commit.plus(counters.commit_times.counts, counters.commit_times.nanoseconds)
    _add_counters(moment, "ledger_", counters)


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
