"""The findings of checks."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Level(Enum):
    """The severity of a finding."""

    OK = "ok"
    SKIP = "skip"
    """Not checked; the text says why."""
    WARN = "warn"
    """The service runs, with trouble now or at the next fault."""
    FAIL = "fail"
    """The service would not start, or would run degraded from its first second."""


class Finding(NamedTuple):
    """One line of the report. ``mend``: what the operator should do; empty for nothing."""

    check: str
    level: Level
    text: str
    mend: str = ""


class Check(str):
    """The name of a check; makes its findings."""

    __slots__ = ()

    def ok(self, text: str) -> Finding:
        return Finding(self, Level.OK, text)

    def skip(self, text: str, mend: str = "") -> Finding:
        return Finding(self, Level.SKIP, text, mend)

    def warn(self, text: str, mend: str) -> Finding:
        return Finding(self, Level.WARN, text, mend)

    def fail(self, text: str, mend: str) -> Finding:
        return Finding(self, Level.FAIL, text, mend)


def worst(findings: Sequence[Finding]) -> Level:
    """Return the worst level of the findings."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)
