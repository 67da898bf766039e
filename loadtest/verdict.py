"""The verdict: rows, text and exit code from the measured figures. Pure: no process, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from bench.load import OpenLoad
from loadtest.exposition import Interval
from loadtest.plan import OTHER_CONNECTIONS, ROUTES, Plan

SATURATED = 0.95  # of a core: Locust is one process, and late from there on


class Outcome(Enum):
    """Of a row, and of a run: the worst of its rows. The value is the exit code."""

    PASSED = 0
    FAILED = 1
    LOAD_BOUND = 3
    """A rate is missing, and the generator had no CPU left to offer it: nothing is said about the service."""

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True)
class Measured:
    """One run, over the seconds that count. CPU in cores, memory in bytes, latencies in seconds."""

    interval: Interval
    locust: Mapping[str, float]  # requests per second by kind, as Locust counted them
    locust_failures: int
    locust_latencies: Mapping[float, int]  # seconds -> requests; the generator's own view, its queue included
    probe: OpenLoad | None  # what the prober saw; None: one of its requests failed
    cores: Mapping[str, float]  # by program: service, redis, locust, prober
    server_bytes: int
    redis_bytes: int
    others: float = 0.0  # cores that were busy with what is none of ours
    faults: Sequence[str] = field(default_factory=tuple)  # generators' own words on failures

    @property
    def saturated(self) -> bool:
        """Whether Locust used its whole core."""
        return self.cores.get("locust", 0.0) >= SATURATED

    def probed(self, percent: float) -> float:
        """Seconds at a percentile of the prober's latencies; inf where one of its requests failed."""
        return inf if self.probe is None else self.probe.streams["probes"][percent] / 1e6


@dataclass(frozen=True)
class Row:
    what: str
    measured: str
    threshold: str
    outcome: Outcome
    note: str = ""


def _held(holds: bool) -> Outcome:
    return Outcome.PASSED if holds else Outcome.FAILED


def rate_rows(plan: Plan, run: Measured) -> list[Row]:
    """Requests that the service has answered, by generator."""
    rows = []
    for kind, least in plan.rates.items():
        rate = run.interval.answers(ROUTES[kind]) / run.interval.seconds
        missing = Outcome.LOAD_BOUND if run.saturated else Outcome.FAILED
        outcome = Outcome.PASSED if rate >= least else missing
        note = f"Locust {run.locust.get(kind, 0.0):,.0f} + prober"
        rows.append(Row(f"{kind} per second", f"{rate:,.0f}", f">= {least:,.0f}", outcome, note))
    return rows


def latency_rows(plan: Plan, run: Measured) -> list[Row]:
    bound = plan.thresholds.p99
    limit = f"< {bound * 1000:g} ms"
    server = run.interval.latencies(ROUTES.values())
    within = server.share_within(bound)
    own = Row(
        "p99, the service's histogram",
        milliseconds(server.quantile(0.99)),
        limit,
        _held(within >= 0.99 and server.count > 0),
        f"{within:.3%} of {server.count:,} within {bound * 1000:g} ms",
    )
    p99 = run.probed(99.0)
    note = f"{plan.probes} probes a second, the slowest {milliseconds(run.probed(100.0))}"
    return [own, Row("p99, the prober", milliseconds(p99), limit, _held(p99 < bound), note)]


def failure_row(run: Measured) -> Row:
    refused = run.interval.refused()
    parts = {
        "Locust": run.locust_failures,
        "prober": int(run.probe is None),
        "answers from 400 on": sum(refused.values()),
        "denied": int(run.interval.grown("identity_limiter_denied_total")),
        "without Redis": int(run.interval.grown("identity_limiter_fallback_total")),
    }
    said = ", ".join(f"{name}: {count}" for name, count in parts.items() if count)
    return Row("failures", f"{sum(parts.values()):,}", "0", _held(not any(parts.values())), said)


def rows(plan: Plan, run: Measured) -> list[Row]:
    """All rows of the verdict."""
    limits = plan.thresholds
    interval = run.interval
    connections = min(each.plain.get("identity_connections_open", 0) for each in (interval.before, interval.after))
    users = int(connections) - OTHER_CONNECTIONS
    charged = interval.grown("identity_limiter_allowed_total")
    answered = sum(interval.answers(route) for route in ROUTES.values())
    cores = run.cores.get("service", inf)
    ratio = interval.hit_ratio
    return [
        *rate_rows(plan, run),
        Row("users connected", f"{users:,}", f">= {plan.users:,}", _held(users >= plan.users)),
        failure_row(run),
        Row("cache hit ratio", f"{ratio:.3f}", f">= {limits.hit_ratio}", _held(ratio >= limits.hit_ratio)),
        *latency_rows(plan, run),
        Row("service, cores", f"{cores:.2f}", f"<= {limits.server_cores}", _held(cores <= limits.server_cores)),
        _memory_row("service, memory", run.server_bytes, limits.server_bytes),
        _memory_row("redis, memory", run.redis_bytes, limits.redis_bytes),
        Row(
            "charged by the limiter",
            f"{charged / answered if answered else 0:.1%}",
            "all",
            _held(answered > 0 and charged >= answered * 0.999),  # the two counters are read within one scrape
            f"{charged:,.0f} requests",
        ),
    ]


def _memory_row(what: str, size: int, limit: int) -> Row:
    return Row(what, f"{size / (1 << 20):.0f} MiB", f"<= {limit >> 20} MiB", _held(size <= limit))


def overall(table: Sequence[Row]) -> Outcome:
    """Failed where anything failed; load-bound where only the load was missing."""
    found = {row.outcome for row in table}
    return next((worst for worst in (Outcome.FAILED, Outcome.LOAD_BOUND) if worst in found), Outcome.PASSED)


def milliseconds(seconds: float) -> str:
    return "no answer" if seconds == inf else f"{seconds * 1000:.2f} ms"


def costs(run: Measured) -> str:
    """One line on what the run itself cost."""
    parts = [f"{name} {cores:.2f}" for name, cores in run.cores.items()]
    crowd = f"; others on this machine {run.others:.2f}" if run.others >= 0.05 else ""
    bound = "; Locust was saturated" if run.saturated else ""
    return f"cores used: {', '.join(parts)}{crowd}{bound}"


def as_text(table: Sequence[Row], run: Measured) -> str:
    """The table for a terminal."""
    cells = [(row.what, row.measured, row.threshold, row.outcome.word, row.note) for row in table]
    head = ("", "measured", "threshold", "verdict", "")
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(4)]
    lines = []
    for what, measured, threshold, word, note in (head, *cells):
        line = f"{what:{widths[0]}}  {measured:>{widths[1]}}  {threshold:>{widths[2]}}  {word:{widths[3]}}  {note}"
        lines.append(line.rstrip())
    return "\n".join([*lines, "", costs(run), f"verdict: {overall(table).word}"])
