"""Microseconds of each stage of the hot path, from the micro-benchmarks in ``bench/test_stages.py``.

`bench/test_stages.py` by pytest-benchmark on core 0, medians, per request: each stage alone, in process and
without sockets, with the octets of a client of each kind. *kernel and event loop* is the floor, measured under
load; *the rest* is what the whole server took more under load than floor and stages together: the calls between
the stages, and caches that are colder than in a micro-benchmark.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import BenchError
from bench.processes import SERVER_CORE
from bench.results import Figure, Series
from bench.setting import Findings, Setting

BENCHMARKS = Path(__file__).parent.parent / "test_stages.py"
TIMEOUT_SECONDS = 120


def measure(setting: Setting) -> Findings:
    path = setting.directory / "benchmark.json"
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "pytest", str(BENCHMARKS), "-q"]
    command += ["--benchmark-enable", "--benchmark-only", f"--benchmark-json={path}"]
    command += ["--benchmark-max-time=0.2", "--benchmark-min-rounds=5"] if setting.quick else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if done.returncode:
        raise BenchError(f"The micro-benchmarks failed: {(done.stdout + done.stderr).strip()[-800:]}")
    return findings(json.loads(path.read_text()))


def findings(document: Mapping[str, Any]) -> Findings:
    """From pytest-benchmark's JSON, those whose ``extra_info`` names ``client``, ``stage`` and how many ``requests``.

    A series for each stage; x is the place of the client in the order of the benchmarks.
    """
    stages: dict[str, dict[str, float]] = {}
    clients: list[str] = []
    for row in document["benchmarks"]:
        told = row["extra_info"]
        if "stage" in told:
            if told["client"] not in clients:
                clients.append(told["client"])
            per_request = row["stats"]["median"] * 1e6 / told["requests"]
            stages.setdefault(told["stage"], {})[told["client"]] = per_request
    figures = [
        Figure(f"{client}: {stage}", found[client], "us")
        for client in clients
        for stage, found in stages.items()
        if client in found
    ]
    lines = [
        Series(stage, [(float(place), found.get(client, 0.0)) for place, client in enumerate(clients)])
        for stage, found in stages.items()
    ]
    return Findings(figures, lines)
