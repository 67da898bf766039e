"""Repeats scenarios that a stalled machine can spoil.

Some guarantees end if a dependency does not answer within its time-out, which the service reports. On a busy machine
a time-out may pass without a failure. Then the scenario says nothing about the service, and is run again; the last
run decides. A stall must be recognisable by something else than the scenario's result.
"""

from collections.abc import Callable
from typing import Final

RUNS: Final = 3


class StalledError(Exception):
    """The machine stood still."""


def on_a_machine_that_moves(scenario: Callable[[], None]) -> None:
    """Run it, and again where it was spoilt, RUNS times at most."""
    for left in reversed(range(RUNS)):
        try:
            scenario()
        except StalledError as error:
            print(f"\nspoilt: {error}")
            if not left:
                raise
        else:
            return
