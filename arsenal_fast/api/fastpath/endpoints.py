"""The endpoints with cached responses, and their counts."""

from itertools import groupby
from typing import Final

from arsenal_fast.identity.validity import Terms
from arsenal_fast.observability.metrics import Metrics


class Endpoint:
    """A method and path, and the count of cached responses since the last :meth:`flush`.

    ``group``: of its route in a limits file.
    """

    __slots__ = ("fetched", "further_lookups", "group", "late", "line", "method", "path", "responses", "terms")

    def __init__(self, method: str, path: str, group: str) -> None:
        self.method = method
        self.path = path
        self.group = group
        self.line: Final = f"{method} {path} HTTP/1.1".encode("ascii")
        """The request line without a query."""
        self.terms: Terms | None = None
        """How the store is to fetch an identity that is not kept any more."""
        self.responses = 0
        self.fetched = 0
        """Of these the ones with an identity that the store has given with the admission, which the issuer counts."""
        self.further_lookups = 0
        """Identities in the responses, without the first of each."""
        self.late: list[float] = []
        """The starts of the requests whose responses were waited for since the last :meth:`flush_late`, monotonic."""

    def flush_late(self, metrics: Metrics, now_s: float) -> None:
        """Count the responses that were waited for, each as sent now."""
        starts, self.late = self.late, []
        for started_s, group in groupby(starts):  # whole batches are answered together
            metrics.observe(self.path, self.method, 200, now_s - started_s, len(list(group)))

    def flush(self, metrics: Metrics, seconds: float) -> None:
        """Count the responses, each with this duration."""
        if self.responses:
            metrics.observe(self.path, self.method, 200, seconds, self.responses)
            lookups = self.responses - self.fetched + self.further_lookups
            metrics.identity_lookups += lookups
            metrics.identity_lookup_hits += lookups
            self.responses = self.fetched = self.further_lookups = 0
