"""What the dashboard shows: one row here is one panel there. `build.py` makes Grafana's JSON of it.

In an expression ``$s`` stands for the selector of the job and the chosen instances, ``$w`` for the window that fits
the zoom. Top to bottom: is it well; and if not, where.
"""

from dataclasses import dataclass
from typing import Final, Literal

GREEN, ORANGE, RED = "green", "orange", "red"

API: Final = 'route=~"/api/v1/.+"'
"""Requests that the service level is about: neither probes nor pages."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``unit``: Grafana's unit name; ``why``: its description, shown at the panel's corner."""

    title: str
    unit: str
    why: str
    queries: dict[str, str]
    """legend -> expression; a legend may hold labels, ``{{route}}``"""
    kind: Literal["timeseries", "stat", "heatmap"] = "timeseries"
    steps: tuple[tuple[float | None, str], ...] = ((None, GREEN),)
    """From this value on that colour; the first one is from the bottom."""
    words: tuple[tuple[int, str, str], ...] = ()
    """(value, word shown in its place, colour)"""
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A headed row; panels of a row are equally wide."""

    title: str
    panels: tuple[Panel, ...]
    height: int = 7
    """Of a panel, in Grafana's grid units."""


def up_and_down(*, down: str) -> tuple[tuple[int, str, str], ...]:
    """Return the words for a gauge of 0 and 1."""
    return (0, down, RED), (1, "up", GREEN)


def quantiles(histogram: str, *ranks: int, by: str = "", where: str = "$s") -> dict[str, str]:
    """Return the quantiles of a histogram over all instances, for each value of the label ``by``."""
    label = f"{by}, " if by else ""
    return {
        f"p{rank}" + (f" {{{{{by}}}}}" if by else ""): (
            f"histogram_quantile({rank / 100:g}, sum by ({label}le) (rate({histogram}_bucket{{{where}}}[$w])))"
        )
        for rank in ranks
    }


REQUESTS: Final = "http_server_request_duration_seconds"

VERDICT: Final = Row(
    "Is it well?",
    (
        Panel(
            "Instances",
            "none",
            "The worst of the instances that Prometheus should reach.",
            {"": 'min(up{job="$job"})'},
            kind="stat",
            words=up_and_down(down="DOWN"),
        ),
        Panel(
            "Health",
            "none",
            "What /api/health says. Degraded: it serves without Redis or without the ledger.",
            {
                "": 'max(identity_health{$s,status="degraded"}'
                ' + ignoring(status) 2 * identity_health{$s,status="unhealthy"})'
            },
            kind="stat",
            words=((0, "healthy", GREEN), (1, "degraded", ORANGE), (2, "unhealthy", RED)),
        ),
        Panel(
            "Alerts",
            "none",
            "Alerts that fire now; each has a page in docs/runbooks.",
            {"": 'count(ALERTS{job="$job",alertstate="firing"}) or vector(0)'},
            kind="stat",
            steps=((None, GREEN), (1, RED)),
        ),
        Panel(
            "Requests/s",
            "reqps",
            "Requests below /api/v1.",
            {"": "sum(rate(identity_api_requests_total{$s}[$w]))"},
            kind="stat",
        ),
        Panel(
            "Errors",
            "percentunit",
            "The share of 5xx below /api/v1. The objective is 0.1 %.",
            {
                "": 'sum(rate(identity_api_requests_total{$s,class="5xx"}[$w]))'
                " / sum(rate(identity_api_requests_total{$s}[$w]))"
            },
            kind="stat",
            steps=((None, GREEN), (0.001, ORANGE), (0.01, RED)),
        ),
        Panel(
            "p99",
            "s",
            "Latency below /api/v1 that 99 of 100 requests keep. The objective is 50 ms.",
            {"": quantiles(REQUESTS, 99, where=f"$s,{API}")["p99"]},
            kind="stat",
            steps=((None, GREEN), (0.025, ORANGE), (0.05, RED)),
        ),
        Panel(
            "Error budget left",
            "percentunit",
            "Rest of the month's 0.1 % of failed requests.",
            {
                "": '1 - sum(increase(identity_api_requests_total{job="$job",class="5xx"}[30d]))'
                ' / sum(increase(identity_api_requests_total{job="$job"}[30d])) / 0.001'
            },
            kind="stat",
            steps=((None, RED), (0, ORANGE), (0.25, GREEN)),
        ),
        Panel(
            "Workers missing",
            "none",
            "Configured workers that are not running.",
            {"": "sum(identity_workers_configured{$s} - identity_workers{$s})"},
            kind="stat",
            steps=((None, GREEN), (1, RED)),
        ),
    ),
    height=4,
)

TRAFFIC: Final = Row(
    "Traffic",
    (
        Panel(
            "Requests by route",
            "reqps",
            "All routes, probes and scrapes too.",
            {"{{route}}": f"sum by (route) (rate({REQUESTS}_count{{$s}}[$w]))"},
            stacked=True,
        ),
        Panel(
            "Requests by instance",
            "reqps",
            "Whether the load is shared evenly.",
            {"{{instance}}": "sum by (instance) (rate(identity_api_requests_total{$s}[$w]))"},
        ),
        Panel(
            "Identities",
            "ops",
            "New lives, renewals, revocations; and lives that one worker issued alone while Redis was unavailable.",
            {
                name: f"sum(rate(identity_{metric}_total{{$s}}[$w]))"
                for name, metric in (
                    ("issued", "issued"),
                    ("renewed", "renewed"),
                    ("revoked", "revoked"),
                    ("issued alone", "issued_without_store"),
                )
            },
        ),
        Panel(
            "Connections",
            "none",
            "Open now, and accepted each second.",
            {
                "open": "sum(identity_connections_open{$s})",
                "accepted/s": "sum(rate(identity_connections_accepted_total{$s}[$w]))",
            },
        ),
    ),
)

ERRORS: Final = Row(
    "Errors",
    (
        Panel(
            "Answers by class",
            "reqps",
            "Below /api/v1. 4xx are errors of clients, 5xx of the service.",
            {"{{class}}": "sum by (class) (rate(identity_api_requests_total{$s}[$w]))"},
            stacked=True,
        ),
        Panel(
            "5xx by route",
            "reqps",
            "Empty while nothing fails.",
            {"{{route}} {{status}}": f'sum by (route, status) (rate({REQUESTS}_count{{$s,status=~"5.."}}[$w]))'},
        ),
        Panel(
            "Share of errors, by window",
            "percentunit",
            "The alerts on the error budget use this: 1.44 % for an hour, or 0.6 % for six, pages.",
            {window: f'job:identity_api_errors:ratio_rate{window}{{job="$job"}}' for window in ("5m", "1h", "6h")},
        ),
        Panel(
            "Turned away",
            "ops",
            "Connections beyond MAX_CONNECTIONS, and those closed by a time-out.",
            {
                "shed": "sum(rate(identity_connections_shed_total{$s}[$w]))",
                "timed out": "sum(rate(identity_connections_timed_out_total{$s}[$w]))",
            },
        ),
    ),
)

LATENCY: Final = Row(
    "Latency",
    (
        Panel(
            "Quantiles",
            "s",
            "Below /api/v1, from the whole request to its answer.",
            quantiles(REQUESTS, 50, 90, 99, where=f"$s,{API}"),
        ),
        Panel(
            "p99 by route",
            "s",
            "Batches of a thousand rows always take longer.",
            quantiles(REQUESTS, 99, by="route", where=f"$s,{API}"),
        ),
        Panel(
            "Distribution",
            "s",
            "Number of requests by duration.",
            {"{{le}}": f"sum by (le) (increase({REQUESTS}_bucket{{$s,{API}}}[$w]))"},
            kind="heatmap",
        ),
        Panel(
            "Share over 50 ms, by window",
            "percentunit",
            "The alerts on latency use this: 14.4 % for an hour, or 6 % for six, pages.",
            {window: f'job:identity_api_slow:ratio_rate{window}{{job="$job"}}' for window in ("5m", "1h", "6h")},
        ),
    ),
)

LIMITER: Final = Row(
    "Rate limiter",
    (
        Panel(
            "Decisions",
            "reqps",
            "Refusals from memory cost Redis nothing.",
            {
                "allowed": "sum(rate(identity_limiter_allowed_total{$s}[$w]))",
                "refused": "sum(rate(identity_limiter_denied_total{$s}[$w]))",
                "of these from memory": "sum(rate(identity_limiter_denied_locally_total{$s}[$w]))",
            },
        ),
        Panel(
            "Share refused",
            "percentunit",
            "Over 50 % for long: an attack, a loop, or TRUSTED_PROXIES is not set.",
            {
                "refused": "sum(rate(identity_limiter_denied_total{$s}[$w]))"
                " / sum(rate(identity_limiter_denied_total{$s}[$w]) + rate(identity_limiter_allowed_total{$s}[$w]))"
            },
        ),
        Panel(
            "Decided by one worker alone",
            "reqps",
            "Over-admission: while Redis is unavailable each worker counts by itself.",
            {"{{instance}}": "sum by (instance) (rate(identity_limiter_fallback_total{$s}[$w]))"},
        ),
        Panel(
            "Requests in one batch",
            "none",
            "Requests that shared one command to the store; grows with the load.",
            {
                "requests": "sum(rate(identity_limiter_allowed_total{$s}[$w]))"
                " / sum(rate(identity_limiter_batches_total{$s}[$w]))"
            },
        ),
    ),
)

CACHE: Final = Row(
    "Cache of identities",
    (
        Panel(
            "Hit ratio",
            "percentunit",
            "Recent look-ups that found a living record (identity_cache_hit_ratio counts since the start).",
            {
                "of late": "sum(rate(identity_lookup_hits_total{$s}[$w])) / sum(rate(identity_lookups_total{$s}[$w]))",
                "since the start": "avg(identity_cache_hit_ratio{$s})",
            },
        ),
        Panel(
            "Look-ups",
            "ops",
            "By issuing and validating.",
            {
                "found": "sum(rate(identity_lookup_hits_total{$s}[$w]))",
                "all": "sum(rate(identity_lookups_total{$s}[$w]))",
            },
        ),
        Panel(
            "In the workers' memory",
            "none",
            "Bounded by MEMORY_BUDGET and IDENTITY_CACHE_SIZE in each worker.",
            {"{{instance}}": "sum by (instance) (identity_cache_entries{$s})"},
        ),
        Panel(
            "Dropped by the store",
            "ops",
            "Evictions of Redis: limits and identities dropped before they expire. Should be none.",
            {"dropped": "max(rate(identity_store_evictions_total{$s}[$w]))"},
        ),
    ),
)

REDIS: Final = Row(
    "Redis",
    (
        Panel(
            "Round trip",
            "s",
            "From a command to its reply, measured by the workers: a late event loop adds to it.",
            quantiles("identity_redis_round_trip_seconds", 50, 99),
        ),
        Panel(
            "Commands",
            "ops",
            "One command carries many limiter cells and identities.",
            {
                "commands": "sum(rate(identity_redis_commands_total{$s}[$w]))",
                "rows": "sum(rate(identity_redis_rows_total{$s}[$w]))",
            },
        ),
        Panel(
            "Memory",
            "bytes",
            "From Redis; a limit of 0 means none.",
            {
                "used": "max(identity_redis_memory_used_bytes{$s})",
                "limit": "max(identity_redis_memory_limit_bytes{$s})",
            },
        ),
        Panel(
            "Faults",
            "ops",
            "Lost connections, replies that timed out, errors.",
            {
                name: f"sum(rate(identity_redis_{name}_total{{$s}}[$w]))"
                for name in ("disconnects", "timeouts", "outages", "failures")
            }
            | {"reachable": "min(identity_redis_up{$s})"},
        ),
    ),
)

LEDGER: Final = Row(
    "Ledger",
    (
        Panel(
            "Commit",
            "s",
            "Time that writing a group of rows took; a new identity waits for it.",
            quantiles("identity_ledger_commit_seconds", 50, 99),
        ),
        Panel(
            "Rows",
            "ops",
            "Written, and how many a commit holds.",
            {
                "rows/s": "sum(rate(identity_ledger_rows_total{$s}[$w]))",
                "rows in a commit": "sum(rate(identity_ledger_rows_total{$s}[$w]))"
                " / sum(rate(identity_ledger_commits_total{$s}[$w]))",
            },
        ),
        Panel(
            "Waiting",
            "none",
            "Rows that are only in memory. Beyond 50,000 in one worker (at 256 MB) the oldest are lost.",
            {"{{instance}}": "sum by (instance) (identity_ledger_waiting{$s})"},
        ),
        Panel(
            "Faults",
            "none",
            "Lost rows are gaps in the history, trimmed ones were deleted early. Failures: locked, full, slow.",
            {
                name: f"sum(increase(identity_ledger_{name}_total{{$s}}[$w]))"
                for name in ("dropped", "refused", "trimmed", "failures", "timeouts")
            }
            | {"usable": "min(identity_ledger_up{$s})"},
        ),
    ),
)

PROCESS: Final = Row(
    "Process",
    (
        Panel(
            "CPU",
            "none",
            "Cores in use by all workers of an instance.",
            {"{{instance}}": "sum by (instance) (rate(process_cpu_seconds_total{$s}[$w]))"},
        ),
        Panel(
            "Memory",
            "bytes",
            "Resident, of all workers of an instance.",
            {"{{instance}}": "sum by (instance) (process_resident_memory_bytes{$s})"},
        ),
        Panel(
            "Lateness of the event loop",
            "s",
            "How late the event loop is; all responses are late by as much.",
            quantiles("identity_event_loop_lag_seconds", 50, 99),
        ),
        Panel(
            "Garbage collection",
            "percentunit",
            "Share of time in which the worker did nothing else.",
            {"{{instance}}": "sum by (instance) (rate(identity_gc_pause_seconds_sum{$s}[$w]))"},
        ),
        Panel(
            "Workers",
            "none",
            "Running workers, and how often one was replaced.",
            {
                "alive": "sum(identity_workers{$s})",
                "replaced": "sum(increase(identity_worker_restarts_total{$s}[$w]))",
            },
        ),
        Panel(
            "Open files",
            "none",
            "Descriptors, connections among them.",
            {"{{instance}}": "sum by (instance) (process_open_fds{$s})"},
        ),
        Panel(
            "Up since",
            "dateTimeAsIso",
            "Start of the oldest worker.",
            {"{{instance}}": "min by (instance) (process_start_time_seconds{$s}) * 1000"},
            kind="stat",
        ),
        Panel(
            "What runs",
            "none",
            "Instances of each version.",
            {"{{version}} on Python {{python}}": "count by (version, python) (identity_build_info{$s})"},
            kind="stat",
        ),
    ),
)

ALERTS: Final = Row(
    "Alerts",
    (
        Panel(
            "Alerts that fire",
            "none",
            "Empty without problems. Each has a page in docs/runbooks.",
            {"{{alertname}} ({{severity}})": 'count by (alertname, severity) (ALERTS{job="$job",alertstate="firing"})'},
            stacked=True,
        ),
    ),
    height=5,
)

ROWS: Final = (VERDICT, ALERTS, TRAFFIC, ERRORS, LATENCY, LIMITER, CACHE, REDIS, LEDGER, PROCESS)
