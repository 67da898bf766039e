"""Microseconds of each stage of the hot path, measured inside one process.

`bench/microbench.py` on core 0, CPU time for a request, medians: each stage alone, in process and without sockets,
with the octets of a client of each kind. *read* is octets in, matched or parsed and routed, up to the limiter;
*answer* is everything after the limiter's answer. *kernel and event loop* is the floor, measured under load; *the
rest* is what the whole server took more under load than floor and stages together: the limiter's round trip, the
calls between the stages, and caches that are colder than in one process.
"""

from bench.results import Figure
from bench.setting import Findings, Setting, microbench


def measure(setting: Setting) -> Findings:
    """A figure for each workload and stage."""
    found = microbench("stages", setting.length(400, 100))
    return Findings(
        [Figure(f"{workload}: {stage}", us, "us") for workload, bar in found.items() for stage, us in bar.items()]
    )
