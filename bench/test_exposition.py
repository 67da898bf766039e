"""What a scrape costs a worker: it stands in the way of every other request, so it should stay under 2 ms."""

from typing import Any

from arsenal_fast.metrics import Metrics
from arsenal_fast.service.exposition import TEXT, collect, render

ROUTES = ("/api/v1/id", "/api/v1/identities", "/api/v1/validate", "/api/health")
STATUSES = (200, 400, 429, 503)


def test_scrape_of_a_busy_service(benchmark: Any) -> None:
    total = Metrics()
    for route in ROUTES:
        for status in STATUSES:
            total.observe(route, "GET", status, 0.0007, 1000)

    def scrape() -> bytes:
        return render(collect(total, version="v4.2.0", health="healthy", shared=True), TEXT)

    assert b"identity_requests_total" in benchmark(scrape)
