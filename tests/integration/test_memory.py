"""A worker under memory attacks of its clients stays within MEMORY_BUDGET."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from arsenal_fast.memory_budget import MIB, Shares, shares
from tests.support import hostile_keys
from tests.support.hostile_keys import Sender
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

BUDGET: Final = 200 * MIB
ENV: Final = {
    "MEMORY_BUDGET": "200M",
    "RATE_LIMIT_REQUESTS": "1000000000",
    "TRUSTED_PROXIES": "127.0.0.0/8",
    "REDIS_TIMEOUT_MS": "2000",
}
LONG_HOPS: Final = 139
"""Bytes of an X-Forwarded-For that is not remembered: its client is, by address."""

BODY: Final = b"[" + b",".join([b"[[]]"] * 209_000) + b"]"
"""Nearly a MiB that parses to 40."""


def peak(pid: int) -> int:
    """Bytes of the most memory that was ever resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def requests(share: Shares) -> Iterator[bytes]:
    """More of everything than the caches have room for; each is sent until it is remembered with its answer."""
    lines = 2 * share.lines // 1_500
    verdicts = 2 * share.verdicts // 1_000
    batches = 2 * share.batches // 20_000
    return chain(
        (hostile_keys.issue(n, n) for n in range(lines) for _ in range(3)),
        (hostile_keys.validate(n) for n in range(verdicts) for _ in range(2)),
        (hostile_keys.batch(n) for n in range(batches) for _ in range(3)),
        (hostile_keys.issue(0, 1_000_000 + n) for n in range(3 * share.forwarded)),
        (hostile_keys.issue(0, 2_000_000 + n, LONG_HOPS) for n in range(3 * share.clients)),
    )


def strangers(share: Shares, first: int) -> Iterator[bytes]:
    """Another client and another identity each time, more than the embedded store and the ledger's queue hold."""
    count = int(1.3 * max(share.cells, share.identities, share.ledger_rows // 700))
    return (hostile_keys.issue(first + n, first + n) for n in range(count))


def test_the_longest_keys_the_largest_body_and_both_stores_away_stay_within_the_budget(tmp_path: Path) -> None:
    share = shares(BUDGET)
    database = tmp_path / "identity.db"
    env = {**ENV, "DATABASE_URL": f"sqlite:///{database}"}
    with RedisServer() as redis, ServiceProcess(REDIS_URL=redis.url, **env) as service, ExitStack() as stack:
        sender = stack.enter_context(Sender(service.port))
        sender.send(requests(share))
        locked = stack.enter_context(closing(sqlite3.connect(database, timeout=20, isolation_level=None)))
        locked.execute("BEGIN EXCLUSIVE")
        redis.kill()
        sender.send(strangers(share, 5_000_000))
        once = resident(service.pid)
        sender.send(strangers(share, 6_000_000))
        assert resident(service.pid) - once < 8 * MIB, "it grows with each client, as if there was no bound"
        assert sender.statuses.keys() == {200}
        for _ in range(share.connections - 10):
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", service.port))))
        sender.send(hostile_keys.post(b"/api/v1/validate", BODY) for _ in range(3))
        # What no test of this file fills.
        others = share.unfinished + share.unsent + share.rows_in_flight * 6_144
        assert peak(service.pid) < BUDGET - others
        locked.execute("ROLLBACK")
