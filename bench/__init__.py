"""Benchmark of the service: CPU time per request, as a ratio to the floor of the same run.

A run goes forward only: ``workloads`` (the requests, as data) and ``servers`` (the programs, as data) -> ``rounds``
(start, warm, measure, stop) -> ``results`` (samples, medians, JSON) -> ``report`` (PERF.md).
``processes`` and ``load`` are the only places that start programs. Nothing here is part of the service.
"""

import signal
import sys
from collections.abc import Callable
from types import FrameType

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class BenchError(Exception):
    """The run can't continue, or its figures would be wrong; the message is one sentence."""


def command(name: str, run: Callable[[], int], exit_fault: int) -> int:
    """Run a command line to its exit status; SIGTERM and Ctrl-C unwind it, so that every process is stopped."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    try:
        return run()
    except BenchError as fault:
        print(f"{name}: {fault}", file=sys.stderr)
        return exit_fault
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
