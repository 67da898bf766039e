"""Microseconds of each stage of the hot path, measured in one process.

`bench/test_stages.py` by pytest-benchmark on core 0, CPU time for a request, medians: each stage alone, in process and
without sockets, with the bytes of a client of each kind. *read* is bytes in, matched or parsed and routed, up to the
limiter; *ask* packs the command for Redis; *reply* reads its answer; *answer* is everything after that. *kernel and
event loop* is the floor, measured under load; *the rest* is what the whole server took more under load than floor and
stages together: the calls between the stages, and caches that are colder than in one process.
"""

from bench.results import Figure
from bench.setting import Findings, Setting, timings


def measure(setting: Setting) -> Findings:
    """A figure for each workload and stage."""
    found = timings(setting, "test_stages.py")
    return Findings([Figure(f"{workload}: {stage}", us, "us") for (stage, workload), us in found.items()])
