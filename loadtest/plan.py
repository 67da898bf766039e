"""The load and the thresholds of a run, as data. The numbers are the guide's."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

RATES = {"id": 1500.0, "batch": 200.0, "validate": 2000.0}  # requests per second
USERS = 5000
ROUTES = {"id": "/api/v1/id", "batch": "/api/v1/identities", "validate": "/api/v1/validate"}
HEADROOM = 1.02  # paced generators can only lose: 2 % more are offered than must be reached
OTHER_CONNECTIONS = 2  # no user's: the prober's, and that of the scrape that has the count

SPAWN_RATE = 250  # users per second while they come
LATE = 6.0  # seconds that users may be late; after that the run counts without them
SETTLE = 4.0  # seconds from the last user's coming to the first counted request, and from the last one to the end
RAMP_SHARE = 0.3  # of the steady shape: SHAPES["steady"] of the locustfile
OUTPUT = Path("build/loadtest")


@dataclass(frozen=True)
class Thresholds:
    """What the verdict compares with."""

    hit_ratio: float = 0.94  # identity_cache_hit_ratio of the guide's sample
    p99: float = 0.05  # seconds; must be a bound of the service's histogram
    server_cores: float = 0.5  # "0.5 cores peak"
    server_bytes: int = 256 << 20  # "256MB limit"
    redis_bytes: int = 50 << 20  # "50MB for TTL cache"


@dataclass(frozen=True)
class Plan:
    """One run. ``seconds`` are those that count; users come before and go after them."""

    users: int = USERS
    rates: dict[str, float] = field(default_factory=lambda: dict(RATES))
    seconds: float = 40.0
    probes: int = 30  # per second, in addition
    output: Path = OUTPUT
    database: str = ""  # DATABASE_URL; without one the ledger is in SQLite
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def shape_seconds(self) -> float:
        """The length of Locust's steady shape: its ramp must be no steeper than SPAWN_RATE."""
        held = LATE + self.seconds + 2 * SETTLE
        return max(held / (1 - RAMP_SHARE), self.users / SPAWN_RATE / RAMP_SHARE)

    @property
    def ramp_seconds(self) -> float:
        return self.shape_seconds * RAMP_SHARE


def parse_arguments(arguments: Sequence[str] | None = None) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description="The guide's mix, and a verdict.")
    parser.add_argument("--users", type=int, default=USERS, metavar="N", help=f"(default {USERS})")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="times the guide's rates (default 1)")
    parser.add_argument("--seconds", type=float, default=40.0, metavar="S", help="that count, 5 or more (default 40)")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help=f"for the report (default {OUTPUT})")
    parser.add_argument("--database", default="", metavar="URL", help="the ledger's (default SQLite)")
    chosen = parser.parse_args(arguments)
    if chosen.users < 50 or not chosen.scale > 0 or chosen.seconds < 5:
        parser.error("at least 50 users, a positive scale, and 5 seconds")
    return Plan(
        users=chosen.users,
        rates={kind: rate * chosen.scale for kind, rate in RATES.items()},
        seconds=chosen.seconds,
        output=chosen.output,
        database=chosen.database,
    )
