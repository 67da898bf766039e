"""The endpoints whose responses are cached, each with the count of the cached responses of a batch."""

from typing import Final

from arsenal_fast.observability.metrics import Metrics


class Endpoint:
    """A method and path, and what was answered from the cache since the last :meth:`flush`."""

    __slots__ = ("further_lookups", "line", "method", "path", "responses")

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path
        self.line: Final = f"{method} {path} HTTP/1.1".encode("ascii")
        """The request line without a query."""
        self.responses = 0
        self.further_lookups = 0
        """Identities in the responses, but for the first of each."""

    def flush(self, metrics: Metrics, seconds: float) -> None:
        """Count the responses, each of which took so long."""
        if self.responses:
            metrics.observe(self.path, self.method, 200, seconds, self.responses)
            lookups = self.responses + self.further_lookups
            metrics.identity_lookups += lookups
            metrics.identity_lookup_hits += lookups
            self.responses = self.further_lookups = 0
