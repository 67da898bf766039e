"""Reads the figures of this process from interpreter and kernel."""

import contextlib
import gc
import os
import resource
import time
from typing import Final

from arsenal_fast.observability import log_writer
from arsenal_fast.observability.metrics import ProcessFigures

_STARTED: Final = time.time()
_PAGE: Final = resource.getpagesize()


def process_figures() -> ProcessFigures:
    """Return the figures of this process as of now."""
    collections = [generation["collections"] for generation in gc.get_stats()]
    descriptors = 0
    with contextlib.suppress(OSError):  # /proc is Linux's
        descriptors = len(os.listdir("/proc/self/fd"))
    return ProcessFigures(
        cpu_seconds=time.process_time(),
        resident_bytes=resident_bytes(),
        open_descriptors=descriptors,
        started=_STARTED,
        collections=(collections[0], collections[1], collections[2]),
        log_lines_dropped=log_writer.STDERR.dropped,
    )


def resident_bytes() -> int:
    """Return the bytes of resident memory; 0 without /proc."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
