"""What a check has found."""

from enum import Enum
from typing import NamedTuple


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    SKIP = "skip"
    """Was not looked at; the text says why."""
    WARN = "warn"
    """The service runs, and something will hurt: now or at the next fault."""
    FAIL = "fail"
    """The service would not start, or would run degraded from its first second."""


class Finding(NamedTuple):
    """One line. ``mend`` is what an operator does about it; empty where there is nothing to do."""

    check: str
    level: Level
    text: str
    mend: str = ""


def worst(findings: list[Finding]) -> Level:
    """The level of all of them together."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)
