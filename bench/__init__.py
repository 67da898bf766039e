"""What the service costs: CPU time per request, always as a ratio to the floor of the same run.

The way of a run, forward only: ``workloads`` (what is asked, as data) and ``servers`` (who is asked, as data)
-> ``rounds`` (start, warm, measure, stop) -> ``results`` (samples, medians, JSON) -> ``report`` (PERF.md).
``processes`` and ``load`` are the only places that start programs. Nothing here is part of the service.
"""


class BenchError(Exception):
    """The run can't go on or its figures would be wrong; the message is one plain sentence."""
