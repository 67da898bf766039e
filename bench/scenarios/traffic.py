"""Bytes of requests and responses, from which the bandwidth of a deployment is computed.

HTTP alone, one request and one answer of each workload; TCP, IP and TLS come on top.
"""

from bench.load import exchange
from bench.results import Figure
from bench.rounds import seeded
from bench.setting import Findings, Setting
from bench.workloads import WORKLOADS


def measure(setting: Setting) -> Findings:
    figures = []
    with seeded([setting.server], setting.directory) as ((running,), _):
        for workload in WORKLOADS:
            request = workload.sample(running.suffix, next(setting.serials))
            answer = exchange(running.port, request)
            figures.append(Figure(f"{workload.name}: request", len(request), "B"))
            figures.append(Figure(f"{workload.name}: answer", len(answer), "B"))
    return Findings(figures)
