"""The guide's cost table and a plan for a million requests a second, from what was measured.

Both are tables of :class:`Step`: a formula over names, which is shown and evaluated, so that page and arithmetic
can't disagree. ``GUIDE`` and ``ASSUMED`` are all numbers that are not measured; each says where it comes from.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench import BenchError
from bench.report.markdown import number, section, table
from bench.results import Results, summarize
from bench.servers import SERVICE

WITH_LEDGER = f"{SERVICE.name} with SQLite ledger"
FUNCTIONS = {"ceil": math.ceil, "max": max}


@dataclass(frozen=True)
class Input:
    """A number that formulas may use, and its source."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Step:
    """``name = formula``, in ``unit``; ``meaning`` is for people."""

    name: str
    formula: str
    unit: str
    meaning: str


GUIDE = (
    Input("id_rate", 1500, "/s", "guide, performance"),
    Input("batch_rate", 200, "/s", "guide, performance"),
    Input("validate_rate", 2000, "/s", "guide, performance"),
    Input("hit_ratio", 0.94, "", "guide, performance"),
    Input("ttl", 3600, "s", "guide, default ttl"),
    Input("limit", 100, "/h", "guide, requests an hour for a client"),
    Input("guide_pods", 3, "pods", "guide, cost"),
    Input("pod_price", 36 / 3, "$/month", "guide, cost: 3 x shared-2x = $36"),
    Input("pod_cores", 2, "cores", "guide, cost: shared-2x"),
    Input("redis_price", 15, "$/month", "guide, cost: business plan"),
    Input("gigabyte_price", 4 / 50, "$/GB", "guide, cost: 50 GB = $4"),
    Input("guide_gigabytes", 50, "GB", "guide, cost"),
)
ASSUMED = (
    Input("utilisation", 0.6, "", "assumed: of a core, so that a lost third of the pods is no outage"),
    Input("redis_utilisation", 0.5, "", "assumed: of Redis's one thread"),
    Input("batch_rows", 10, "rows", "the workload batch-10"),
    Input("kept", 300, "s", "a record outlives its identity so long"),
    Input("second_month", 30 * 86400, "s", "a month of 30 days"),
    Input("link", 10, "Gbit/s", "assumed: a network card"),
    Input("million", 1e6, "/s", "the question"),
)

LOAD = (
    Step("id_us", "hit_ratio * cached_us + (1 - hit_ratio) * issuing_us", "us", "CPU of an id request at that ratio"),
    Step("total", "id_rate + batch_rate + validate_rate", "/s", "requests of the mix"),
    Step("mean_us", "(id_rate * id_us + batch_rate * batch_us + validate_rate * validate_us) / total", "us",
         "CPU of a request of the mix"),
    Step("fresh", "(1 - hit_ratio) * (id_rate + batch_rate * batch_rows) / total", "", "new identities a request"),
    Step("octets", "(id_rate * id_octets + batch_rate * batch_octets + validate_rate * validate_octets) / total", "B",
         "HTTP in and out for each request"),
)  # fmt: skip
COST = (
    *LOAD,
    Step("cores", "total * mean_us / 1e6", "cores", "CPU of the guide's mix (guide: 0.5 at the peak)"),
    Step("pods_needed", "ceil(cores / utilisation / pod_cores)", "pods", "that the CPU asks for"),
    Step("memory", "resident", "MB", "of a pod with 5,000 connections (guide: 128, at most 256)"),
    Step("clients", "total * 3600 / limit", "", "distinct addresses, if each uses its whole limit"),
    Step("redis_memory", "(fresh * total * (ttl + kept) * identity_octets + clients * cell_octets) / 2**20", "MB",
         "living identities and limiter cells (guide: 50)"),
    Step("redis_cores", "total * redis_us / 1e6", "cores", "CPU of Redis"),
    Step("megabits", "total * octets * 8 / 1e6", "Mbit/s", "while the peak lasts (guide: about 100)"),
    Step("month", "total * octets * second_month / 1e9", "GB", "if the peak lasted all month"),
    Step("duty", "guide_gigabytes / month * 100", "%", "share of the month at peak that fits into the guide's 50 GB"),
    Step("pods_cost", "guide_pods * pod_price", "$/month", "three pods, for availability and not for CPU"),
    Step("guide_cost", "pods_cost + redis_price + guide_gigabytes * gigabyte_price", "$/month", "with its 50 GB"),
    Step("least_cost", "2 * pod_price + redis_price + guide_gigabytes * gigabyte_price", "$/month",
         "with two pods, the least that survives one"),
    Step("peak_cost", "pods_cost + redis_price + month * gigabyte_price", "$/month", "at the peak rate all month"),
)  # fmt: skip
MILLION = (
    *LOAD,
    Step("cores", "million * mean_us / 1e6", "cores", "CPU of the service"),
    Step("workers", "ceil(cores / utilisation)", "workers", "a worker is one process and has one core"),
    Step("pods", "ceil(workers / pod_cores)", "pods", "replicas, each with WORKERS=2"),
    Step("memory", "workers * resident / 1024", "GB", "with 5,000 connections a worker"),
    Step("redis_cores", "million * redis_us / 1e6", "cores", "CPU of Redis"),
    Step("shards", "ceil(redis_cores / redis_utilisation)", "shards", "Redis has one thread"),
    Step("links", "pods * pod_cores * shards", "", "connections to Redis: each worker to each shard"),
    Step("issued", "million * fresh", "/s", "new identities, rows of the ledger"),
    Step("clients", "million * 3600 / limit", "", "distinct addresses at least, for nobody gets more than the limit"),
    Step("redis_memory", "(issued * (ttl + kept) * identity_octets + clients * cell_octets) / 2**30", "GB",
         "over all shards"),
    Step("shard_memory", "redis_memory / shards", "GB", "of one shard"),
    Step("gigabits", "million * octets * 8 / 1e9", "Gbit/s", "HTTP alone"),
    Step("cards", "ceil(gigabits / link / 0.5)", "cards", "half full"),
    Step("volume", "million * octets * second_month / 1e15", "PB", "in a month"),
    Step("pods_cost", "pods * pod_price", "$/month", "at the guide's price"),
    Step("shards_cost", "shards * redis_price", "$/month", "at the guide's price"),
    Step("traffic_cost", "volume * 1e6 * gigabyte_price", "$/month", "at the guide's price"),
    Step("cost", "pods_cost + shards_cost + traffic_cost", "$/month", "in all"),
    Step("each", "cost / (million * second_month) * 1e9", "$", "for a thousand million requests"),
)  # fmt: skip


def measured(results: Results) -> list[Input]:
    """What the formulas need of a result. Raises BenchError when it lacks one."""

    def cpu(name: str, workload: str, server: str = SERVICE.name) -> Input:
        summary = summarize(results.samples, workload, server)
        if summary is None:
            raise BenchError(f"The workload {workload} was not measured.")
        return Input(name, summary.cpu_per_request, "us", f"measured, {workload}")

    def figure(name: str, scenario: str, title: str, unit: str) -> Input:
        outcome = results.outcome(scenario)
        if outcome is None:
            raise BenchError(f"The scenario {scenario} was not measured.")
        return Input(name, outcome.value(title), unit, f"measured, {scenario}")

    def octets(name: str, workload: str) -> Input:
        both = [figure(name, "traffic", f"{workload}: {way}", "B").value for way in ("request", "answer")]
        return Input(name, sum(both), "B", "measured, traffic")

    issued_by = WITH_LEDGER if summarize(results.samples, "issuing", WITH_LEDGER) else SERVICE.name
    return [
        cpu("cached_us", "cached-ingress"),
        cpu("issuing_us", "issuing", issued_by),
        cpu("validate_us", "validate"),
        cpu("batch_us", "batch-10-new"),
        figure("resident", "connections", "resident memory, at most", "MB"),
        figure("redis_us", "redis", "CPU of Redis per request", "us"),
        figure("cell_octets", "redis", "octets per limiter cell", "B"),
        figure("identity_octets", "redis", "octets per identity", "B"),
        octets("id_octets", "cached-ingress"),
        octets("validate_octets", "validate"),
        octets("batch_octets", "batch-10"),
    ]


def evaluate(inputs: Iterable[Input], steps: Iterable[Step]) -> dict[str, float]:
    """Name -> value of every input and step. Raises NameError for a formula that uses what is not there yet."""
    values: dict[str, float] = {one.name: one.value for one in inputs}
    for step in steps:
        values[step.name] = eval(step.formula, {"__builtins__": {}, **FUNCTIONS}, values)
    return values


def steps_table(steps: Sequence[Step], values: Mapping[str, float]) -> str:
    rows = [
        (step.meaning, f"{number(values[step.name])} {step.unit}".strip(), f"`{step.name} = {step.formula}`")
        for step in steps
    ]
    return table(("", "computed", "how"), rows)


def render(results: Results) -> str:
    """Both sections, or a sentence that says what is missing for them."""
    try:
        inputs = [*GUIDE, *ASSUMED, *measured(results)]
    except BenchError as fault:
        return section("What it costs", f"Not computed from this result: {fault}")
    cost, million = evaluate(inputs, COST), evaluate(inputs, MILLION)
    facts = [(f"`{one.name}`", f"{number(one.value)} {one.unit}".strip(), one.source) for one in inputs]
    return "\n\n".join(
        [
            section(
                "What it costs: the guide's table, recomputed",
                f"The guide counts three pods, Redis and 50 GB: about ${number(cost['guide_cost'])} a month. "
                f"Its load takes "
                f"{number(cost['cores'])} of a core here, so that the pods are there for availability. But 50 "
                f"GB last for "
                f"{number(cost['duty'])} % of a month at the guide's peak rates; all month at the peak would be "
                f"{number(cost['month'])} GB, and ${number(cost['peak_cost'])}.",
                steps_table(COST, cost),
            ),
            section(
                "On paper: a million requests a second",
                "The guide's mix, scaled. Two cores can't show it; every figure follows from those of one "
                "worker by the "
                "formula beside it. It supposes that cost per request stays what it is for one worker, which "
                "the scenarios "
                "on scale and workers speak for, and that Redis is split by the hash of the client or "
                "identity. The keys carry a "
                "shard tag for that (`af:{0}:`); the code that would choose among several shards is not written.",
                steps_table(MILLION[len(LOAD) :], million),
                f"Traffic is {number(million['traffic_cost'] / million['cost'] * 100)} % of the money at the "
                f"guide's price of a "
                "gigabyte: who serves so much would negotiate that price, or answer with less. "
                f"{number(million['issued'])} rows a second are beyond one SQLite file or one PostgreSQL: the "
                f"ledger would be "
                "split like Redis, or turned off.",
            ),
            section("What both are computed from", table(("name", "value", "source"), facts), level=3),
        ]
    )
