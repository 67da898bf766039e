"""The table of scenarios: what is measured beside the workloads, one small module each.

A scenario takes a :class:`~bench.setting.Setting` and gives figures and series. One that fails is reported
with its fault, and the others continue.
"""

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import BenchError
from bench.results import Outcome
from bench.scenarios import (
    bad_tokens,
    cluster,
    connections,
    footprint,
    issuing,
    locust,
    lookups,
    offered,
    redis_costs,
    saturated,
    scale,
    stages,
    tail,
    tls,
    traffic,
    workers,
)
from bench.servers import Server
from bench.setting import Findings, Setting


@dataclass(frozen=True)
class Scenario:
    """``about`` is its module's docstring, which the tables print, all but the first line.

    ``claimed``: its targets are in the table of PERF.md, and not only behind it.
    """

    name: str
    title: str
    about: str | None
    measure: Callable[[Setting], Findings]
    claimed: bool = False

    @property
    def method(self) -> str:
        """Question and method, in one paragraph."""
        return " ".join((self.about or "").split("\n")[1:]).strip()


SCENARIOS: Sequence[Scenario] = (
    Scenario("issuing", "Issued with a ledger", issuing.__doc__, issuing.measure, claimed=True),
    Scenario("lookups", "Validation beyond the worker's memory", lookups.__doc__, lookups.measure, claimed=True),
    Scenario("scale", "Scale", scale.__doc__, scale.measure, claimed=True),
    Scenario("tls", "TLS", tls.__doc__, tls.measure, claimed=True),
    Scenario("locust", "The guide's mix by Locust", locust.__doc__, locust.measure, claimed=True),
    Scenario("saturated", "The guide's mix, saturated", saturated.__doc__, saturated.measure, claimed=True),
    Scenario("connections", "5,000 connections, saturated", connections.__doc__, connections.measure),
    Scenario("offered", "5,000 connections, 20,000 req/s offered", offered.__doc__, offered.measure),
    Scenario("tail", "Tail", tail.__doc__, tail.measure),
    Scenario("footprint", "Start and idle", footprint.__doc__, footprint.measure),
    Scenario("redis", "Redis", redis_costs.__doc__, redis_costs.measure),
    Scenario("cluster", "A Redis Cluster", cluster.__doc__, cluster.measure),
    Scenario("workers", "Two workers", workers.__doc__, workers.measure),
    Scenario("tokens", "Bad tokens", bad_tokens.__doc__, bad_tokens.measure),
    Scenario("traffic", "Traffic", traffic.__doc__, traffic.measure),
    Scenario("stages", "Stages", stages.__doc__, stages.measure),
)


def run(scenarios: Iterable[Scenario], server: Server, quick: bool, tell: Callable[[Outcome], None]) -> list[Outcome]:
    """Run every scenario on fresh processes; ``tell`` is called with each outcome."""
    outcomes = []
    for scenario in scenarios:
        with TemporaryDirectory(prefix="bench-") as directory:
            outcome = attempt(scenario, Setting(server, Path(directory), quick))
        tell(outcome)
        outcomes.append(outcome)
    return outcomes


def attempt(scenario: Scenario, setting: Setting) -> Outcome:
    """The scenario's outcome under its name, or one that says why there is none."""
    began = time.monotonic()
    try:
        found = scenario.measure(setting)
    except BenchError as fault:
        return Outcome(scenario.name, fault=str(fault))
    except Exception:  # a fault of the harness must not lose what other scenarios found
        return Outcome(scenario.name, fault=traceback.format_exc(limit=-3))
    return Outcome(scenario.name, found.figures, found.series, seconds=round(time.monotonic() - began, 1))
