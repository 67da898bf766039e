"""Runs a Python module altered: ``python altered.py [--no-gc] [--burn SHARE] MODULE [ARGUMENT...]``.

So that the harness can measure what garbage collection costs, and prove that the gate sees a regression,
without a switch in the service.

``--no-gc`` turns the collector off. ``--burn 0.15`` makes everything cost 15 % more CPU time: a timer of the
CPU time that the process takes (ITIMER_PROF, setitimer(2)) fires after each PERIOD of it, and its handler
burns the share that belongs to the rest of the period.
"""

import argparse
import gc
import runpy
import signal
import sys
import time
from types import FrameType

PERIOD = 0.02  # seconds of CPU time, several ticks of the kernel's clock, which is as fine as ITIMER_PROF gets


def burn(share: float) -> None:
    """From now on the process takes ``1 + share`` times the CPU time, in its main thread."""
    dose = PERIOD * share / (1 + share)

    def handle(_number: int, _frame: FrameType | None) -> None:
        end = time.thread_time() + dose
        while time.thread_time() < end:
            pass

    signal.signal(signal.SIGPROF, handle)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, PERIOD, PERIOD)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a Python module altered.")
    parser.add_argument("--no-gc", action="store_true", help="turn garbage collection off")
    parser.add_argument("--burn", type=float, metavar="SHARE", help="take this share more CPU time")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    if chosen.no_gc:
        gc.disable()
    if chosen.burn:
        burn(chosen.burn)
    sys.argv = [chosen.module, *chosen.arguments]
    sys.path[0] = ""  # as with python -m
    try:
        runpy.run_module(chosen.module, run_name="__main__", alter_sys=True)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)  # the interpreter drops its handlers before it ends


if __name__ == "__main__":
    main()
