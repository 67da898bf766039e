"""Reads /api/metrics as numbers, and the difference between two readings."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

BUCKET = "http_server_request_duration_seconds_bucket"


class Series(NamedTuple):
    """The labels of a histogram."""

    route: str
    method: str
    status: str


@dataclass(frozen=True)
class Reading:
    """One scrape. ``at``: time.monotonic() of its answer."""

    at: float
    plain: Mapping[str, float]  # series without labels
    buckets: Mapping[Series, Mapping[float, int]]  # upper bound in seconds -> requests up to it; inf: all


def parse(text: str, at: float) -> Reading:
    """Read the Prometheus text format, as far as it is needed."""
    plain: dict[str, float] = {}
    buckets: dict[Series, dict[float, int]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            if sample.name == BUCKET:
                series = Series(labels["route"], labels["method"], labels["status"])
                buckets.setdefault(series, {})[float(labels["le"])] = int(sample.value)
            elif not labels:
                plain[sample.name] = sample.value
    return Reading(at, plain, buckets)


@dataclass(frozen=True)
class Latencies:
    """A histogram: requests up to each bound (seconds), in rising order; the last bound is inf."""

    up_to: Mapping[float, int]

    @property
    def count(self) -> int:
        """All requests."""
        return self.up_to.get(inf, 0)

    def share_within(self, bound: float) -> float:
        """Exact, for a bound of the histogram; KeyError for another. 1 without requests."""
        return self.up_to[bound] / self.count if self.count else 1.0

    def quantile(self, share: float) -> float:
        """Seconds, on a straight line within the bucket as Prometheus does; inf beyond the last bound."""
        wanted, low, below = share * self.count, 0.0, 0
        for bound, count in self.up_to.items():
            if count >= wanted and count > below:
                return inf if bound == inf else low + (bound - low) * (wanted - below) / (count - below)
            low, below = bound, count
        return 0.0


@dataclass(frozen=True)
class Interval:
    """What happened between two readings."""

    before: Reading
    after: Reading

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.after.at - self.before.at

    def grown(self, name: str) -> float:
        """By how much a counter without labels has grown."""
        return self.after.plain.get(name, 0.0) - self.before.plain.get(name, 0.0)

    def answers(self, route: str) -> int:
        """Requests of the route that were answered 200."""
        return sum(self._counted(series) for series in self.after.buckets if series[0] == route and series[2] == "200")

    def refused(self) -> dict[Series, int]:
        """Answers from 400 on, of all routes."""
        found = {series: self._counted(series) for series in self.after.buckets if int(series.status) >= 400}
        return {series: count for series, count in found.items() if count}

    def latencies(self, routes: Collection[str]) -> Latencies:
        """The histogram of all answers of these routes."""
        total: dict[float, int] = {}
        for series, counts in self.after.buckets.items():
            if series.route in routes:
                earlier = self.before.buckets.get(series, {})
                for bound, count in counts.items():
                    total[bound] = total.get(bound, 0) + count - earlier.get(bound, 0)
        return Latencies(dict(sorted(total.items())))

    @property
    def hit_ratio(self) -> float:
        """identity_cache_hit_ratio of the interval; 0 where nothing was looked up."""
        lookups = self.grown("identity_lookups_total")
        return self.grown("identity_lookup_hits_total") / lookups if lookups else 0.0

    def _counted(self, series: Series) -> int:
        return self.after.buckets[series].get(inf, 0) - self.before.buckets.get(series, {}).get(inf, 0)
