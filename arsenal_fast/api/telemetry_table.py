"""The members of the health and telemetry responses: how each is read, and its schema."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from arsenal_fast.api import telemetry
from arsenal_fast.api.figures import Figure, counter, counters, section, summed_figure
from arsenal_fast.api.history import INTERVALS, Interval
from arsenal_fast.api.json_schema import (
    Schema,
    array_of,
    boolean,
    count,
    nullable,
    number,
    object_of,
    string,
    timestamp,
    word,
)
from arsenal_fast.api.services import Services
from arsenal_fast.identity import validity
from arsenal_fast.observability.metrics import BUCKETS, NANOSECONDS, Metrics
from arsenal_fast.ratelimit.policies import MAX_POLICIES
from arsenal_fast.ratelimit.quota import UNLIMITED

CALLERS: Final = "callers"
"""The member of the telemetry that names clients."""

SHOWN: Final = 25
"""Callers in each list of it."""

_MALFORMED: Final = frozenset({"(malformed)", "(shed)"})
"""Routes of responses to invalid requests, which have no latency."""


def quantile(counts: Sequence[int], rank: float) -> float | None:
    """Estimate a quantile in seconds from bucket counts; None where nothing was counted.

    Linear within a bucket, as Prometheus' ``histogram_quantile``; beyond the last bound, that bound.
    """
    wanted = rank * sum(counts)
    if not wanted:
        return None
    below, lower = 0, 0.0
    for observed, bound in zip(counts, BUCKETS, strict=False):
        if observed and below + observed >= wanted:
            return lower + (bound - lower) * (wanted - below) / observed
        below, lower = below + observed, bound
    return BUCKETS[-1]


def _uptime(services: Services) -> int:
    """Return whole seconds since the start; not below 0 where the clock was set back."""
    return max(0, int(services.now() - services.started_at_s))


def _quota(schema: Schema, name: str) -> Figure:
    """Return a figure of the default quota of addresses; None without one."""
    return Figure(
        nullable(schema),
        lambda services, _: None if services.address_quota is UNLIMITED else getattr(services.address_quota, name),
    )


def _policies(services: Services, _: Metrics) -> list[dict[str, object]]:
    """Return the policies in force, but for those of tokens."""
    if services.limits is not None:
        found = [(policy.quota, policy.shadow) for policy in services.limits.policies.policies]
    else:
        found = [(services.address_quota, False)] if services.address_quota is not UNLIMITED else []
    return [
        {"policy": quota.policy, "limit": quota.limit, "window": quota.window, "shadow": shadow}
        for quota, shadow in found
    ]


def _by_status(summed: Metrics) -> dict[str, int]:
    by_status: dict[str, int] = {}
    for (_, status), responses in sorted(summed.requests().items(), key=lambda each: each[0][1]):
        by_status[status] = by_status.get(status, 0) + responses
    return by_status


def _latency_ms(rank: int, summed: Metrics) -> float | None:
    rows = [each.counts for (route, _, _), each in summed.series.items() if route not in _MALFORMED]
    return _milliseconds(quantile([sum(column) for column in zip(*rows, strict=True)], rank / 100))


def _round_trip_ms(summed: Metrics) -> float | None:
    trips = summed.redis_round_trip
    return _milliseconds(trips.nanoseconds / NANOSECONDS / trips.count if trips.count else None)


def _rows_per_command(summed: Metrics) -> float | None:
    return round(summed.redis_rows / summed.redis_commands, 2) if summed.redis_commands else None


def _interval(interval: Interval) -> dict[str, object]:
    trips = interval.round_trips
    return {
        "at": validity.timestamp(interval.ended_ms),
        "seconds": round(interval.seconds, 3),
        "requests": interval.requests,
        "refused": interval.refused,
        "errors": interval.errors,
        "p50": _milliseconds(quantile(interval.latency, 0.50)),
        "p99": _milliseconds(quantile(interval.latency, 0.99)),
        "round_trip_ms": _milliseconds(interval.round_trip_ns / NANOSECONDS / trips if trips else None),
        "waiting": interval.waiting,
    }


def _started(summed: Metrics) -> str | None:
    return validity.timestamp(int(summed.process_started * 1000)) if summed.process_started else None


def _taken(services: Services, summed: Metrics) -> str:
    age_ms = max(0, int((services.monotonic() - summed.written) * 1000))
    return validity.timestamp(services.now_ms() - age_ms)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _ranking(name: str, what: str) -> dict[str, Figure]:
    """Return the figures of the callers that did something most often."""
    caller = object_of(
        {
            "client": string("As in `client` of the limits.", example="203.0.113.9"),
            "requests": count("At least so many.", 1, example=4711),
        },
        title=name.title().replace("_", ""),
    )
    return {
        name: summed_figure(
            array_of(caller, f"{what}, in descending order.", maxItems=SHOWN),
            lambda summed: [
                {"client": client, "requests": number} for client, number in summed.rankings[name].heaviest()[:SHOWN]
            ],
        ),
        f"{name}_error": summed_figure(
            count("Each may have so many more; who is not among the first 128 has at most so many."),
            lambda summed: summed.rankings[name].error,
        ),
    }


_CALLERS: Final = section(
    {
        "seconds": summed_figure(
            number("How long was counted: since the start, or the last 5 to 10 minutes."),
            lambda summed: round(max(each.seconds for each in summed.rankings.values()), 1),
        ),
        **_ranking("heaviest", "Who sent most requests that are charged"),
        **_ranking("most_refused", "Who was answered 429 most often"),
    },
    description="Only for a service token of scope `metrics`; null for others.",
)
_STATUS: Final = word(
    "`degraded`: serving, but a dependency is away. `unhealthy`: starting or draining.",
    ("healthy", "degraded", "unhealthy"),
    example="healthy",
)
_DATABASE: Final = Figure(
    word(
        "The ledger. `degraded`: it can be read or written, but not both. `disabled`: `DATABASE_URL` is `none`.",
        ("healthy", "degraded", "unavailable", "disabled"),
        example="healthy",
    ),
    lambda services, _: services.ledger_status,
)
_REDIS: Final = Figure(
    word(
        "The shared state. `embedded`: in the process, without Redis.",
        ("healthy", "unavailable", "embedded"),
        example="healthy",
    ),
    lambda services, _: services.backend.status,
)
_API: Final = Figure(
    word("Where the service is in its life.", ("starting", "healthy", "draining"), example="healthy"),
    lambda services, _: telemetry.phase(services),
)
_SERVICE: Final = {
    "services": section({"database": _DATABASE, "redis": _REDIS, "api": _API}, description="One word for each."),
    "uptime": Figure(count("Seconds since the start.", example=3600), lambda services, _: _uptime(services)),
    "version": Figure(
        {"type": "string", "pattern": r"^v[0-9]+\.[0-9]+\.[0-9]+$", "example": "v4.2.0"},
        lambda services, _: services.settings.version,
    ),
}
HEALTH: Final = {"status": Figure(_STATUS, lambda services, _: services.status), **_SERVICE}
"""The members of the health response (schema ``Health``), which are read of this worker alone."""

_REQUESTS: Final = section(
    {
        "total": counter("answered", "Answers."),
        "by_status": summed_figure(
            {
                "type": "object",
                "propertyNames": {"pattern": "^([1-4][0-9]{2}|5xx)$"},
                "additionalProperties": count("Answers."),
                "description": "The exact status below 500, and `5xx`.",
            },
            _by_status,
        ),
        "errors": summed_figure(
            count("Answers with a status of 500 and above."), lambda summed: _by_status(summed).get("5xx", 0)
        ),
        "rate": summed_figure(
            nullable(number("Answers a second, of late; null until there were two looks.")),
            lambda summed: None if summed.request_rate is None else round(summed.request_rate, 1),
        ),
    }
)
_PROCESS: Final = section(
    {
        "cpu_seconds": summed_figure(
            number("User and system time."), lambda summed: summed.process_cpu_nanoseconds / NANOSECONDS
        ),
        "resident_memory_bytes": counter("process_resident_bytes", "Memory in use now."),
        "open_fds": counter("process_open_descriptors", "File descriptors open now."),
        "started": summed_figure(nullable(timestamp("Start of the oldest worker.")), _started),
        "gc_collections": summed_figure(
            count("Runs of the garbage collector."),
            lambda summed: summed.gc_collections_0 + summed.gc_collections_1 + summed.gc_collections_2,
        ),
    }
)
_HISTORY: Final = Figure(
    array_of(
        object_of(
            {
                "at": timestamp("When the interval ended."),
                "seconds": number("How long it was."),
                "requests": count("Calls of `/api/v1/`: no probes, scrapes or pages."),
                "refused": count("Those answered 429."),
                "errors": count("Those answered with a status of 500 and above."),
                "p50": nullable(number("Their latency in milliseconds; null without calls.")),
                "p99": nullable(number("The same.")),
                "round_trip_ms": nullable(number("Mean milliseconds of Redis's round trips; null without any.")),
                "waiting": count("Rows that waited to be written to the ledger at its end."),
            },
            title="Interval",
        ),
        "The last five minutes, oldest interval first.",
        maxItems=INTERVALS,
    ),
    lambda services, _: list(map(_interval, services.history.intervals)),
)
_TELEMETRY: Final = {
    "timestamp": Figure(timestamp("When the counts were taken: at most a second ago."), _taken),
    "status": Figure(_STATUS, telemetry.health),
    **_SERVICE,
    "workers": counter("workers", "Workers that are alive; what counts up is the sum over all that ever were."),
    "requests": _REQUESTS,
    "latency": section(
        {
            f"p{rank}": summed_figure(
                nullable(number("Milliseconds; null before the first request.")), partial(_latency_ms, rank)
            )
            for rank in (50, 90, 99)
        },
        description="From the request's last byte to the answer, since the start; estimated from a histogram.",
    ),
    "cache": section(
        {
            "lookups": counter("identity_lookups", "Look-ups of an identity."),
            "hits": counter("identity_lookup_hits", "Those that found a living record."),
            "ratio": summed_figure(
                nullable(number("Hits over look-ups; null before the first.", maximum=1)),
                lambda summed: summed.hit_ratio,
            ),
            "entries": counter("identity_cache_entries", "Identities in the workers' memory."),
        }
    ),
    "identities": section(
        counters(
            "identity_",
            issued="New lives.",
            renewed="Lives renewed in their last quarter.",
            issued_without_store="Issued by one worker alone while the shared store was away.",
            revoked="Revocations: of one identity, of a prefix or of everything.",
        )
    ),
    "ledger": section(
        {
            "status": _DATABASE,
            **counters(
                "ledger_",
                waiting="Rows that wait to be written now; more than a few: it is away or slow.",
                dropped="Rows that it will never have: there was no memory left to wait in.",
                rows="Rows written.",
                commits="Commits, each of many rows.",
                failures="Tries that found it locked, full or away.",
            ),
        }
    ),
    "limiter": section(
        {
            "policy": _quota(string("Null: there is a limits file, or no limit."), "policy"),
            "limit": _quota(count("Requests in a window.", 1), "limit"),
            "window": _quota(count("Seconds of the window.", 1), "window"),
            "policies": Figure(
                array_of(
                    object_of(
                        {
                            "policy": string("Its name.", example="default"),
                            "limit": count("Requests in a window.", 1),
                            "window": count("Seconds of the window.", 1),
                            "shadow": boolean("Whether it only counts what it would have refused."),
                        },
                        title="LimiterPolicy",
                    ),
                    "Those of the limits file, or the default one.",
                    maxItems=MAX_POLICIES,
                ),
                _policies,
            ),
            "shadow_refused": summed_figure(
                {
                    "type": "object",
                    "additionalProperties": count("Requests."),
                    "description": "Requests that shadow policies would have refused, by the name of the policy.",
                },
                lambda summed: summed.shadow_refused,
            ),
            **counters(
                "limiter_",
                allowed="Requests let through.",
                denied="Requests refused.",
                denied_locally="Those refused from memory, without the store.",
                fallback="Requests decided by one worker alone while the shared store was away.",
                batches="Commands that carried the decisions.",
            ),
        }
    ),
    CALLERS: Figure(nullable(_CALLERS.schema), _CALLERS.read),
    "redis": section(
        {
            "status": _REDIS,
            **counters("redis_", commands="Commands sent.", timeouts="Times that no answer came in time."),
            "rows_per_command": summed_figure(
                nullable(number("Limiter cells and identities that one command carried.")), _rows_per_command
            ),
            "round_trip_ms_mean": summed_figure(nullable(number("Mean milliseconds of a round trip.")), _round_trip_ms),
        }
    ),
    "connections": section(
        counters(
            "connections_",
            open="Open now.",
            accepted="Accepted.",
            shed="Answered 503 for there were too many.",
            timed_out="Closed by a time-out.",
        )
    ),
    "process": _PROCESS,
    "history": _HISTORY,
}
TELEMETRY: Final = section(_TELEMETRY, description="The sum over the workers.").schema
"""The schema of the telemetry response (``Telemetry``)."""


def read_telemetry(services: Services, summed: Metrics, *, named: bool) -> dict[str, object]:
    """Return the telemetry; only where ``named`` with the names of clients."""
    return {
        name: None if name == CALLERS and not named else figure.read(services, summed)
        for name, figure in _TELEMETRY.items()
    }
