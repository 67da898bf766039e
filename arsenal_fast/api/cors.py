"""Cross-origin rules (Fetch standard, CORS protocol), decided once at configuration.

With one origin, or ``*``, the line is the same on every response. With several, or all subdomains of a domain
(``https://*.example.com``), the origin is reflected if it is one of them, and ``Vary: Origin`` tells caches.
"""

import re
from collections.abc import Sequence
from typing import Final

EXPOSED: Final = (
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit-Policy, RateLimit, "
    "Retry-After, X-Request-Id"
)
_METHODS: Final = "GET, HEAD, POST, OPTIONS"
_HEADERS: Final = (
    "Authorization, Content-Type, X-Request-Id, Arsenal-Subject, traceparent, tracestate, baggage, sentry-trace"
)
"""Header names of the guide, and those that OpenTelemetry and Sentry add in browsers."""
_MAX_AGE: Final = 86_400
"""Seconds a browser may cache a preflight; browsers cap it themselves (Chromium: two hours)."""


class Cors:
    """The CORS header lines of one configuration; none without origins."""

    __slots__ = ("_allowed", "_is_subdomain", "constant", "preflight")

    def __init__(self, origins: Sequence[str]) -> None:
        self._allowed: dict[bytes, bytes] = {}
        subdomains = [origin for origin in origins if "://*." in origin]
        self._is_subdomain = re.compile("|".join(map(_pattern, subdomains)).encode("ascii")).fullmatch
        self.constant = b""
        """Lines of every response."""
        self.preflight = b""
        """Further lines of the response to a preflight."""
        if not origins:
            return
        allowed = {
            origin: f"Access-Control-Allow-Origin: {origin}\r\n" for origin in origins if origin not in subdomains
        }
        constant = "" if origins[0] == "*" else "Vary: Origin\r\n"
        if len(origins) == 1 and not subdomains:
            constant = allowed.pop(origins[0]) + constant
        self.constant = f"{constant}Access-Control-Expose-Headers: {EXPOSED}\r\n".encode("ascii")
        self._allowed = {origin.encode("ascii"): line.encode("ascii") for origin, line in allowed.items()}
        self.preflight = (
            f"Access-Control-Allow-Methods: {_METHODS}\r\n"
            f"Access-Control-Allow-Headers: {_HEADERS}\r\n"
            f"Access-Control-Max-Age: {_MAX_AGE}\r\n"
        ).encode("ascii")

    def reflected(self, origin: bytes | None) -> bytes:
        """Return the line for this request's origin; empty where it is constant or not allowed."""
        if origin is None:
            return b""
        line = self._allowed.get(origin)
        if line is None and origin and self._is_subdomain(origin):
            return b"Access-Control-Allow-Origin: %b\r\n" % origin
        return line or b""


def _pattern(origin: str) -> str:
    """Return a pattern for the origins of all subdomains: labels in lower case, as many as a name may have."""
    scheme, _, rest = origin.partition("://*.")
    return rf"{scheme}://(?:[a-z0-9_](?:[a-z0-9_-]{{0,61}}[a-z0-9])?\.){{1,125}}{re.escape(rest)}"
