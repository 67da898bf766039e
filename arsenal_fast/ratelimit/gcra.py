"""The generic cell rate algorithm: one integer a client, the theoretical arrival time (tat).

Rules of this file: whole microseconds, no clock (``now`` is an argument), and the same figures as gcra.lua,
which a test runs over the same table of moments.

The *backlog* is how far a client's tat lies ahead of now: 0 when it is idle, the quota's tolerance when it
has spent everything. A hit adds one emission interval to it and passes while the sum is within the tolerance.
A refused hit adds nothing: it does not prolong the wait. (ITU-T I.371; Brandur Leach, "Rate
limiting, cells, and GCRA".)
"""

from collections.abc import Iterable
from typing import Final

from arsenal_fast.ratelimit.quota import Quota

_SECOND: Final = 1_000_000  # us


def backlog_at(tat: int, now: int, quota: Quota) -> int:
    """Return the backlog of a cell, in us; a missing cell has the tat 0.

    Clamped to the tolerance, so that no client waits longer after the clock stepped back or the quota shrank.
    """
    return min(max(tat - now, 0), quota.tolerance)


def allowed(backlog: int, quantity: int, quota: Quota) -> int:
    """Return how many of ``quantity`` hits pass; the first ones to arrive do."""
    return min(quantity, (quota.tolerance - backlog) // quota.step)


def allowed_in_all(cells: Iterable[tuple[int, Quota]], quantity: int) -> int:
    """Return how many of ``quantity`` hits pass in each of these cells, as (backlog, quota); all without a cell."""
    return min((allowed(backlog, quantity, quota) for backlog, quota in cells), default=quantity)


def charge(tat: int, now: int, quantity: int, quota: Quota) -> tuple[int, int]:
    """Charge one row: returns (the backlog before the hits, the tat to store). A quantity of 0 only reads.

    The clamped tat is returned even when nothing passed: otherwise a tat far ahead would be clamped at each reading and
    never drain.
    """
    backlog = backlog_at(tat, now, quota)
    hits = allowed(backlog, quantity, quota)
    if hits == 0 and tat - now <= quota.tolerance:
        return backlog, tat
    return backlog, now + backlog + hits * quota.step


def remaining(backlog: int, quota: Quota) -> int:
    """Return how many requests would pass now."""
    return (quota.tolerance - backlog) // quota.interval


def reset_after(backlog: int) -> int:
    """Return the seconds, rounded up, until the quota is full again."""
    return whole_seconds(backlog)


def whole_seconds(microseconds: int) -> int:
    """Return us as whole seconds, rounded up."""
    return -(-microseconds // _SECOND)
