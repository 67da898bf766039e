"""The rate-limit header lines of responses.

Two families of the same numbers: the customary ``X-RateLimit-*``, and the IETF's pair as in
draft-ietf-httpapi-ratelimit-headers-11 (structured fields, RFC 9651). The draft may still change; only
this file serialises it. All times are in seconds from now, so that no clocks have to agree.
"""

import re
from typing import Final

from arsenal_fast.ratelimit.gcra import whole_seconds
from arsenal_fast.ratelimit.quota import Quota

# 100 requests an hour have 3,600 pairs of remaining and reset, one for each second that a backlog can last.
_MEMO_SIZE: Final = 4096  # lines kept per policy, about 2 MiB at most

# RFC 9651 section 3.3.3: the characters of a String.
_SF_STRING = re.compile(r"[\x20-\x7E]*")


class LimitLines:
    """Makes the lines of one policy and caches them; the cache is emptied at _MEMO_SIZE entries."""

    __slots__ = ("_head", "_interval", "_kept", "_made", "_middle", "_tolerance", "by_backlog")

    def __init__(self, quota: Quota, name: str) -> None:
        """Raises ValueError where the name is no sf-string. A quota's numbers have fewer than 15 digits."""
        item = _sf_string(name)
        policy = f"RateLimit-Policy: {item};q={quota.limit};w={quota.window}\r\n"
        self._head = f"X-RateLimit-Limit: {quota.limit}\r\nX-RateLimit-Remaining: ".encode("ascii")
        self._middle = f"\r\n{policy}RateLimit: {item};r=".encode("ascii")
        self._interval = quota.interval
        self._tolerance = quota.tolerance
        self._made: dict[int, dict[int, bytes]] = {}
        self._kept = 0
        self.by_backlog: dict[int, bytes] = {}
        """The results of ``after`` by backlog: most clients were idle, so few backlogs occur."""

    def lines(self, remaining: int, reset: int) -> bytes:
        """Return all five lines, each with its CRLF; the quota is full again in ``reset`` seconds, rounded up."""
        try:
            return self._made[remaining][reset]
        except KeyError:
            return self._make(remaining, reset)

    def after(self, backlog: int) -> bytes:
        """Return the lines for a hit that has passed and left this backlog (us)."""
        lines = self.lines((self._tolerance - backlog) // self._interval, whole_seconds(backlog))
        if len(self.by_backlog) >= _MEMO_SIZE:
            self.by_backlog.clear()
        self.by_backlog[backlog] = lines
        return lines

    def _make(self, remaining: int, reset: int) -> bytes:
        lines = b"%b%d\r\nX-RateLimit-Reset: %d%b%d;t=%d\r\n" % (
            self._head,
            remaining,
            reset,
            self._middle,
            remaining,
            reset,
        )
        if self._kept >= _MEMO_SIZE:
            self._made.clear()
            self._kept = 0
        self._made.setdefault(remaining, {})[reset] = lines
        self._kept += 1
        return lines


def retry_after_line(seconds: int) -> bytes:
    """Return Retry-After as delay-seconds (RFC 9110 section 10.2.3)."""
    return b"Retry-After: %d\r\n" % seconds


def _sf_string(value: str) -> str:
    """Serialise a String (RFC 9651 section 4.1.6)."""
    if _SF_STRING.fullmatch(value) is None:
        raise ValueError("The name of a rate-limit policy must be printable ASCII.")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
