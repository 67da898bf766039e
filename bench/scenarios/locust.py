"""The guide's mix from 5,000 Locust users, with the ledger in SQLite and in PostgreSQL.

`make loadtest` twice: CPU time of the service's whole process tree, and p99 of its own histogram; the load test's other
checks (rates, failures, hit ratio, memory) must hold too. PostgreSQL flushes to the disk and runs on the users' core.
"""

from contextlib import nullcontext
from dataclasses import replace

from bench.results import Figure
from bench.servers import varied
from bench.setting import Findings, Setting
from loadtest.plan import RATES, ROUTES, Plan
from loadtest.run import SERVER
from loadtest.run import measure as run_load
from loadtest.verdict import costs, overall, rows
from tests.support.postgres_server import PostgresServer

TENTH = {kind: rate / 10 for kind, rate in RATES.items()}


def measure(setting: Setting) -> Findings:
    plan = Plan(seconds=30.0, output=setting.directory)
    plan = setting.length(plan, replace(plan, users=500, rates=TENTH, seconds=10.0))
    figures = []
    for name, database in (("SQLite", None), ("PostgreSQL", PostgresServer(fsync=True))):
        with database or nullcontext():
            server = SERVER if database is None else varied(SERVER, DATABASE_URL=database.url)
            run, _ = run_load(plan, server)
        verdict = overall(rows(plan, run)).word
        p99 = run.interval.latencies(ROUTES.values()).quantile(0.99)
        figures += [
            Figure(f"{name}: cores", run.cores["service"], "", 0.25, f"the load test: {verdict}; {costs(run)}"),
            Figure(f"{name}: p99 of the service's histogram", p99 * 1000, "ms", 20),
        ]
    return Findings(figures)
