"""Hours of traffic: every response is the right one, and the processes don't grow.

SOAK_SECONDS says for how long (make soak: an hour); by default it is a look of a few seconds. The clients begin again
with their first identities before the caches are full, so that any growth is a leak.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess
from tests.support.users import Users

pytestmark = pytest.mark.integration

SECONDS: Final = float(os.environ.get("SOAK_SECONDS", "3"))
CONNECTIONS: Final = 16
IDENTITIES: Final = 200  # of each client
WARM: Final = 0.25  # of the time, after which nothing may grow any more
MEBIBYTE: Final = 1 << 20
MAY_GROW: Final = 8 * MEBIBYTE  # of resident memory in all processes together: arenas fill up and settle
ENV: Final = {"WORKERS": "2", "RATE_LIMIT_REQUESTS": "0", "ACCESS_LOG": "off"}


def resident(service: ServiceProcess) -> int:
    """Resident bytes of the processes that answer, by proc(5)."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in service.serving_pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def descriptors(service: ServiceProcess) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in service.serving_pids)


def test_every_answer_is_the_one_that_was_asked_for_and_nothing_grows(own_redis: RedisServer) -> None:
    async def scenario(service: ServiceProcess) -> Users:
        users = Users(service.port, IDENTITIES)
        async with asyncio.TaskGroup() as tasks:
            for number in range(CONNECTIONS):
                tasks.create_task(users.use(number))
            await asyncio.sleep(SECONDS * WARM)
            before = resident(service), descriptors(service)
            await asyncio.sleep(SECONDS * (1 - WARM))
            after = resident(service), descriptors(service)
            users.stopped = True
        assert after[0] - before[0] <= MAY_GROW, f"{(after[0] - before[0]) / MEBIBYTE:.1f} MiB more in {SECONDS:.0f} s"
        assert after[1] <= before[1]
        return users

    with ServiceProcess(**ENV, REDIS_URL=own_redis.url) as service:
        users = run(scenario(service), deadline=SECONDS + 60)
        assert len(service.worker_pids) == 2, "no worker was replaced"
        assert service.stderr.count("is process") == 2, service.last_words
    assert not users.verdict, users.verdict
    assert users.answers.total() > 100 * SECONDS
    assert len(users.known) == CONNECTIONS * IDENTITIES or SECONDS < 10
