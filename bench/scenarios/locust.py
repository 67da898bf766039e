"""The guide's mix from 5,000 Locust users, with the ledger in SQLite and in PostgreSQL.

`python -m loadtest` twice: CPU time of the service's whole process tree, and p99 of its own histogram; the load test's
verdict on its other checks (rates, failures, hit ratio, memory) stands beside it. PostgreSQL flushes to the disk, on
the core of the users.
"""

import json
import subprocess
import sys

from bench import BenchError
from bench.processes import LOAD_CORE, SERVER_CORE
from bench.results import Figure
from bench.setting import Findings, Setting
from tests.support.postgres_server import PostgresServer

SECONDS = 300
WHOLE, QUICK = ("--seconds=30",), ("--users=500", "--scale=0.1", "--seconds=10")


def measure(setting: Setting) -> Findings:
    figures = tested(setting, "SQLite")
    with PostgresServer(fsync=True) as postgres:
        return Findings([*figures, *tested(setting, "PostgreSQL", f"--database={postgres.url}")])


def tested(setting: Setting, name: str, *options: str) -> list[Figure]:
    cores = f"{SERVER_CORE},{LOAD_CORE}"
    command = ["taskset", "-c", cores, sys.executable, "-m", "loadtest", f"--output={setting.directory}", *options]
    command += setting.length(WHOLE, QUICK)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    result = setting.directory / "result.json"
    if not result.exists():
        raise BenchError(f"The load test gave no result: {(done.stdout + done.stderr).strip()[-400:]}")
    found = json.loads(result.read_text())
    result.unlink()
    note = f"the load test: {found['verdict']}; {found['costs']}"
    return [
        Figure(f"{name}: cores", found["cores"], "", 0.25, note),
        Figure(f"{name}: p99 of the service's histogram", found["p99_ms"], "ms", 20),
    ]
