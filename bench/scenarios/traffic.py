"""Octets on the wire, which the bandwidth of a deployment is computed from.

HTTP alone, one request and one answer of each workload; TCP, IP and TLS come on top.
"""

from dataclasses import replace

from bench.load import exchange, seed
from bench.results import Figure
from bench.rounds import running_redis, running_server
from bench.setting import Findings, Setting
from bench.workloads import WORKLOADS


def measure(setting: Setting) -> Findings:
    figures = []
    with (
        running_redis(setting.directory) as redis_port,
        running_server(setting.server, setting.directory, redis_port=redis_port, redis_db=0) as started,
    ):
        running = replace(started, suffix=seed(started.port))
        for workload in WORKLOADS:
            request = workload.sample(running.suffix, next(setting.serials))
            answer = exchange(running.port, request)
            figures.append(Figure(f"{workload.name}: request", len(request), "B"))
            figures.append(Figure(f"{workload.name}: answer", len(answer), "B"))
    return Findings(figures)
