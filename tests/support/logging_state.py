"""Restores Python's logging and its hooks after a test that has set up the service's log in this process."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from arsenal_fast.observability import log_writer

_HOOKS = ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook"))


@contextmanager
def logging_kept() -> Iterator[None]:
    """Put root logger, hooks and the way of warnings back at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = [(owner, name, getattr(owner, name)) for owner, name in _HOOKS]
    try:
        yield
    finally:
        log_writer.STDERR.flush()  # while pytest still captures it
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        for owner, name, hook in hooks:
            setattr(owner, name, hook)
