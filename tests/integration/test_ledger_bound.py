"""A service whose clients issue more than LEDGER_MAX_ROWS: the ledger keeps its bound and logs it."""

from pathlib import Path
from typing import Any, Final

import pytest
import requests

from arsenal_fast.ledger.prune import verify
from arsenal_fast.ledger.store import PRUNE_ROWS
from tests.support.daemons import wait_for
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

BOUND: Final = 1_000
BATCHES: Final = 20
ROWS: Final = 1_000  # of a batch: an address may have a hundred of them an hour


def metric(service: ServiceProcess, name: str) -> float:
    lines = requests.get(f"{service.url}/api/metrics", timeout=10).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_address_within_its_limit_can_not_fill_the_disk(workers: str, tmp_path: Path, own_redis: Any) -> None:
    url = f"sqlite:///{tmp_path}/identity.db"
    env = {"LEDGER_RETENTION_DAYS": "0", "LEDGER_MAX_ROWS": str(BOUND), "WORKERS": workers, "REDIS_URL": own_redis.url}
    batch = {"environments": [{"name": str(row), "prefix": "load"} for row in range(ROWS)]}
    with ServiceProcess(DATABASE_URL=url, **env) as service:
        for _ in range(BATCHES):
            answer = requests.post(f"{service.url}/api/v1/identities", json=batch, timeout=10)
            assert answer.status_code == 200, answer.text[:500]
        service.wait_for_log(f"the ledger is full \\(LEDGER_MAX_ROWS is {BOUND}\\)")
        # Workers show each other their counts twice a second, and a sum is shown for a second.
        wait_for(
            lambda: metric(service, "identity_ledger_trimmed_total") > BATCHES * ROWS / 2,
            "the metric of what was trimmed",
        )
    report = verify(url)
    assert report.events <= BOUND + 2 * PRUNE_ROWS * int(workers)
    assert report.faults == []
