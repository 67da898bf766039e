"""Returns memory that a burst has left free to the system.

glibc keeps what is freed below the highest allocation that is still in use, so that one long-lived object on top of a
burst keeps all of it resident. ``malloc_trim`` gives the free pages below it back, too (since glibc 2.8): after 1,500
TLS connections 77 MiB became 50. It takes milliseconds in which nothing else runs, so it is called only while the
worker is idle and only after the resident memory has grown. Other C libraries don't have it; then nothing is done.
docs/operations.md has what else was measured.
"""

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Final

INTERVAL_S: Final = 5.0
"""Between two looks."""

IDLE: Final = 0.1
"""Of a CPU that the worker has used since the last look, at most: then a few milliseconds delay nobody."""

GROWTH: Final = 16 * 1_048_576
"""Octets of resident memory above what the last call has left: less is not worth one."""


class HeapTrim:
    """Decides when to trim; the clocks and the call come in through the constructor."""

    def __init__(self, trim: Callable[[], object], resident: Callable[[], int], cpu_s: Callable[[], float]) -> None:
        """``resident``: octets; ``cpu_s``: CPU time of the process in seconds."""
        self._trim, self._resident, self._cpu_s = trim, resident, cpu_s
        self._last_cpu_s = cpu_s()
        self._floor = resident()

    def look(self) -> None:
        """Trim if the worker was idle since the last look and holds much more than after the last call."""
        cpu_s = self._cpu_s()
        idle = cpu_s - self._last_cpu_s <= IDLE * INTERVAL_S
        self._last_cpu_s = cpu_s
        resident = self._resident()
        if idle and resident > self._floor + GROWTH:
            self._trim()
            resident = self._floor = self._resident()
        self._floor = min(self._floor, resident)


def trimmer(resident: Callable[[], int], cpu_s: Callable[[], float]) -> Callable[[], None] | None:
    """Return what is to be called every ``INTERVAL_S``; None of another C library."""
    trim = malloc_trim()
    return None if trim is None else HeapTrim(trim, resident, cpu_s).look


def malloc_trim() -> Callable[[], object] | None:
    """glibc's function with nothing kept at the top; None of another C library."""
    try:
        return partial(ctypes.CDLL(None).malloc_trim, ctypes.c_size_t(0))
    except (OSError, AttributeError):
        return None
