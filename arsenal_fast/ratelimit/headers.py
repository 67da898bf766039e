"""The rate-limit header lines of responses.

Two families of the same numbers: the customary ``X-RateLimit-*``, and the IETF's pair as in
draft-ietf-httpapi-ratelimit-headers-11 (structured fields, RFC 9651). The draft may still change; only
this file serialises it. All times are in seconds from now, so that no clocks have to agree.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from arsenal_fast.ratelimit import gcra
from arsenal_fast.ratelimit.gcra import whole_seconds
from arsenal_fast.ratelimit.quota import Quota

_SECOND: Final = 1_000_000  # us
_ABOVE_ALL: Final = 1 << 60  # more requests than any quota has

# A client that was idle before has a backlog of whole intervals. Those of all others hardly come twice, and what would
# be kept of them displaces more useful memory from the processor's cache than it saves.
_FIRST_HITS: Final = 32

_PLAN_MEMO_SIZE: Final = 128  # lines kept per plan, some 50 KiB

MAX_QUOTAS: Final = 256
"""Quotas whose lines are cached: the operator mints few, and each takes some 10 KiB."""

# RFC 9651 section 3.3.3: the characters of a String.
_SF_STRING = re.compile(r"[\x20-\x7E]*")


class QuotaState(NamedTuple):
    """What is left of a quota: ``remaining`` requests, and all of it in ``reset`` seconds, rounded up."""

    quota: Quota
    remaining: int
    reset: int


def state_at(backlog: int, quota: Quota) -> QuotaState:
    """Return the state of a quota whose cell has this backlog (us)."""
    return QuotaState(quota, gcra.remaining(backlog, quota), whole_seconds(backlog))


def tightest(states: Sequence[QuotaState]) -> QuotaState:
    """Return the quota that stops its client first; the customary lines have room for one."""
    return min(states, key=lambda state: (state.remaining, -state.reset))


class LimitLines:
    """Makes the lines of one policy."""

    __slots__ = ("_format", "_interval", "_tolerance", "by_backlog")

    def __init__(self, quota: Quota) -> None:
        """Raises ValueError where the policy's name is no sf-string. A quota's numbers have fewer than 15 digits."""
        name = _escaped(_sf_string(quota.policy))
        self._format = (
            f"X-RateLimit-Limit: {quota.limit}\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: %d\r\n"
            f"RateLimit-Policy: {_escaped(_member(quota))}\r\nRateLimit: {name};r=%d;t=%d\r\n"
        ).encode("ascii")
        self._interval = quota.interval
        self._tolerance = quota.tolerance
        self.by_backlog: dict[int, bytes] = {}
        """The results of ``after`` by backlog, for the first hits of a client that was idle, as most were."""

    def lines(self, remaining: int, reset: int) -> bytes:
        """Return all five lines, each with its CRLF; the quota is full again in ``reset`` seconds, rounded up."""
        return self._format % (remaining, reset, remaining, reset)

    def after(self, backlog: int) -> bytes:
        """Return the lines for a hit that has passed and left this backlog (us)."""
        # lines() and whole_seconds(), inlined: it runs for each request of a client that sends more than its rate.
        interval = self._interval
        remaining, reset = (self._tolerance - backlog) // interval, -(-backlog // _SECOND)
        lines = self._format % (remaining, reset, remaining, reset)
        if backlog <= _FIRST_HITS * interval and not backlog % interval:
            self.by_backlog[backlog] = lines
        return lines


class Plan:
    """The quotas that each hit of a client is charged to, and their lines.

    All enforced ones or none; and shadow ones, which refuse nothing and are not told. Of several quotas the IETF's
    fields are lists, the customary ones are of the tightest.
    """

    __slots__ = ("_format", "_numbers", "by_backlogs", "enforced", "quotas", "shadows", "steps", "tolerances")

    def __init__(self, enforced: tuple[Quota, ...], shadows: tuple[Quota, ...] = ()) -> None:
        """The cells of the enforced quotas come first."""
        policies = ", ".join(map(_member, enforced))
        states = ", ".join(f"{_escaped(_sf_string(quota.policy))};r=%d;t=%d" for quota in enforced)
        self.enforced = enforced
        self.shadows = shadows
        self.quotas = (*enforced, *shadows)
        self.steps = tuple(quota.step for quota in enforced)
        self.tolerances = tuple(quota.tolerance for quota in enforced)
        self.by_backlogs: dict[tuple[int, ...], bytes] = {}
        """The results of ``after`` by backlogs: most clients were idle, so few occur."""
        self._numbers = [(quota.limit, quota.interval, quota.tolerance) for quota in enforced]
        self._format = (
            "X-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: %d\r\n"
            f"RateLimit-Policy: {_escaped(policies)}\r\nRateLimit: {states}\r\n"
        ).encode("ascii")

    def after(self, backlogs: tuple[int, ...]) -> bytes:
        """Return the lines for a hit that has passed and left these backlogs (us)."""
        if len(self.by_backlogs) >= _PLAN_MEMO_SIZE:
            self.by_backlogs.clear()
        lines = self.by_backlogs[backlogs] = self.lines(backlogs)
        return lines

    def lines(self, backlogs: Sequence[int]) -> bytes:
        """Return all five lines, none without an enforced quota. ``backlogs``: of each enforced quota's cell (us)."""
        if not backlogs:
            return b""
        # state_at() and tightest(), inlined: it runs for each request.
        limit, least, longest = 0, _ABOVE_ALL, 0
        numbers: list[int] = []
        for (each, interval, tolerance), backlog in zip(self._numbers, backlogs, strict=True):
            remaining = (tolerance - backlog) // interval
            reset = -(-backlog // _SECOND)
            if remaining < least or (remaining == least and reset > longest):
                limit, least, longest = each, remaining, reset
            numbers += (remaining, reset)
        return self._format % (limit, least, longest, *numbers)


class PolicyLines:
    """The cached makers of lines, by quota."""

    __slots__ = ("_by_quota", "_default", "_default_quota")

    def __init__(self, default: Quota) -> None:
        """``default``: the quota of addresses, which most lines are of."""
        self._default_quota = default
        self._default = LimitLines(default)
        self._by_quota: dict[Quota, LimitLines] = {}

    def of(self, quota: Quota) -> LimitLines:
        """Return the maker of a quota's lines."""
        if quota is self._default_quota:
            return self._default
        lines = self._by_quota.get(quota)
        if lines is None:
            if len(self._by_quota) >= MAX_QUOTAS:
                self._by_quota.clear()
            lines = self._by_quota[quota] = LimitLines(quota)
        return lines


def retry_after_line(seconds: int) -> bytes:
    """Return Retry-After as delay-seconds (RFC 9110 section 10.2.3)."""
    return b"Retry-After: %d\r\n" % seconds


def _member(quota: Quota) -> str:
    """Return the member of RateLimit-Policy."""
    return f"{_sf_string(quota.policy)};q={quota.limit};w={quota.window}"


def _escaped(text: str) -> str:
    """Return a text as a part of a format."""
    return text.replace("%", "%%")


def _sf_string(value: str) -> str:
    """Serialise a String (RFC 9651 section 4.1.6)."""
    if _SF_STRING.fullmatch(value) is None:
        raise ValueError("The name of a rate-limit policy must be printable ASCII.")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
