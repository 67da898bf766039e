"""Computes from the measured figures what a million requests a second of the guide's mix would need."""

import math
from typing import NamedTuple

from bench import BenchError
from bench.report.markdown import number, section, table
from bench.results import Results, summarize
from bench.servers import SERVICE
from bench.workloads import BATCH, GUIDE_RATES, NEW_SHARE

# The guide's: requests per second by kind, hit ratio, lifetime and quota, and what it pays.
ID_RATE, BATCH_RATE, VALIDATE_RATE = GUIDE_RATES
HIT_RATIO = 1 - NEW_SHARE
TTL_S = 3600 + 300  # a record is kept for 300 s after its identity has expired
QUOTA_PER_HOUR = 100
POD_PRICE, SHARD_PRICE, GIGABYTE_PRICE = 12, 15, 4 / 50  # dollars a month; two cores a pod

RATE = 1_000_000  # requests a second
WORKER_SHARE = 0.6  # of a core that is used, so that the loss of a third of the pods is no outage
SHARD_SHARE = 0.5  # of Redis's one thread
MONTH_S = 30 * 86_400

ABOUT = """\
The guide's mix, scaled: {total:,} requests a second take {guide_cores} of a core here (the guide allows 0.5). The
figures suppose that a request costs what it costs on one worker. Redis is a cluster (`redis+cluster://…?shards={shards}`);
{sharding}."""
SHARDED = """\
a request costs the service {service} times, and Redis {store} times, what it costs with one Redis: measured on three
masters over 64 connections, {title}. That supposes as many requests of a tick for each shard as there"""
NOT_SHARDED = "what it costs more than one Redis was not measured in this result, and is not counted"
LOAD = "many clients"
"""Of the scenario ``cluster``: the load with the fewest requests of a tick for each master, so the dearest."""


def render(results: Results) -> str:
    """The section, or a sentence that says what is missing for it."""
    try:
        return section("A million requests a second, on paper", *computed(results))
    except BenchError as fault:
        return section("A million requests a second, on paper", f"Not computed from this result: {fault}")


def computed(results: Results) -> tuple[str, str]:
    """The paragraph and the table. Raises BenchError when the result lacks a figure."""
    total = ID_RATE + BATCH_RATE + VALIDATE_RATE
    id_us = HIT_RATIO * cpu_us(results, "cached-ingress") + (1 - HIT_RATIO) * cpu_us(results, "issuing")
    more = sharding(results)
    us = of_mix(id_us, cpu_us(results, "batch-10-new"), cpu_us(results, "validate"))
    sharded_us = us * more.service
    traffic = of_mix(*(bytes_of(results, name) for name in ("cached-ingress", "batch-10", "validate")))
    issued = RATE * of_mix(1 - HIT_RATIO, (1 - HIT_RATIO) * BATCH, 0)
    workers = math.ceil(RATE * sharded_us / 1e6 / WORKER_SHARE)
    redis_cores = RATE * figure(results, "redis", "CPU of Redis per request") * more.store / 1e6
    shards = math.ceil(redis_cores / SHARD_SHARE)
    cells = RATE * 3600 / QUOTA_PER_HOUR * figure(results, "redis", "bytes per limiter cell")
    stored = issued * TTL_S * figure(results, "redis", "bytes per identity") + cells
    gigabytes = RATE * traffic * MONTH_S / 1e9
    dollars = math.ceil(workers / 2) * POD_PRICE + shards * SHARD_PRICE
    resident = figure(results, "connections", "resident memory, at most")
    rows = [
        ("CPU of a request of the mix", f"{number(us)} us", "mean, weighted by the guide's rates"),
        ("CPU of the service", f"{number(RATE * sharded_us / 1e6)} cores", "rate x CPU of a request x a cluster's"),
        ("workers", f"{workers}", f"cores / {WORKER_SHARE}; two a pod"),
        ("memory of the workers", f"{number(workers * resident / 1024)} GB", "with 5,000 connections each"),
        ("CPU of Redis", f"{number(redis_cores)} cores", "rate x CPU of Redis for a request x a cluster's"),
        ("shards of Redis", f"{shards}", f"cores / {SHARD_SHARE}: Redis has one thread"),
        ("memory of Redis", f"{number(stored / 2**30)} GB", f"identities, and a client for each {QUOTA_PER_HOUR}/h"),
        ("new identities", f"{number(issued)} /s", "rows of the ledger, more than one database takes"),
        ("HTTP traffic", f"{number(RATE * traffic * 8 / 1e9)} Gbit/s", f"{number(traffic)} B in and out a request"),
        ("pods and shards", f"{number(dollars)} $/month", f"{POD_PRICE} $ a pod, {SHARD_PRICE} $ a shard (guide)"),
        ("traffic", f"{number(gigabytes * GIGABYTE_PRICE)} $/month", f"{GIGABYTE_PRICE} $/GB (guide), all month"),
    ]
    about = ABOUT.format(total=total, guide_cores=number(total * us / 1e6), shards=shards, sharding=more.text)
    return about, table(("", "computed", "from"), rows)


class Sharding(NamedTuple):
    """What a request costs with a cluster, in times one Redis: the service and Redis itself."""

    service: float
    store: float
    text: str


def sharding(results: Results) -> Sharding:
    """As measured by the scenario ``cluster``; without it a cluster costs no more."""
    if results.outcome("cluster") is None:
        return Sharding(1.0, 1.0, NOT_SHARDED)
    service = figure(results, "cluster", f"{LOAD}: service, times one Redis")
    one, masters = (
        figure(results, "cluster", f"{LOAD}: CPU of {name} per request") for name in ("one Redis", "3 masters")
    )
    store = masters / one
    return Sharding(service, store, SHARDED.format(service=number(service), store=number(store), title=LOAD))


def of_mix(of_id: float, of_batch: float, of_validate: float) -> float:
    """The mean over the requests of the guide's mix."""
    summed = ID_RATE * of_id + BATCH_RATE * of_batch + VALIDATE_RATE * of_validate
    return summed / (ID_RATE + BATCH_RATE + VALIDATE_RATE)


def cpu_us(results: Results, workload: str) -> float:
    """CPU per request. Raises BenchError where it was not measured."""
    summary = summarize(results.samples, workload, SERVICE.name)
    if summary is None:
        raise BenchError(f"The workload {workload} was not measured.")
    return summary.cpu_per_request


def figure(results: Results, scenario: str, name: str) -> float:
    """A figure of a scenario. Raises BenchError where it was not measured."""
    outcome = results.outcome(scenario)
    if outcome is None:
        raise BenchError(f"The scenario {scenario} was not measured.")
    return outcome.value(name)


def bytes_of(results: Results, workload: str) -> float:
    """Request and answer."""
    return sum(figure(results, "traffic", f"{workload}: {way}") for way in ("request", "answer"))
