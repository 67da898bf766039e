"""The cached keys of one issuer: fetched when they are needed, rotated, kept for a day while the issuer is away.

A key that is not known may be a new one, so it causes a fetch; but there is at most one fetch in ``INTERVAL_S``,
whatever key ids clients make up.
"""

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from typing import Any, Final

from arsenal_fast.oidc.key_set import Key, read_keys

log = logging.getLogger(__name__)

LIFE_S: Final = 3600.0
"""Seconds for which keys are used without another fetch: so long a withdrawn key is good."""

SURVIVES_S: Final = 86_400.0
"""Seconds for which keys are used while the issuer is away."""

INTERVAL_S: Final = 30.0
"""Seconds between two fetches, at least."""

MAX_WAITING: Final = 256
"""Requests that wait for one fetch."""


class Missing(Enum):
    """Why there is no key."""

    UNKNOWN = "the issuer has no such key"
    AWAY = "the issuer's keys can't be fetched"


Found = Callable[[Key | Missing], None]
Fetch = Callable[[str, Callable[[Mapping[str, Any] | None], None]], None]
"""Fetches the JWK Set of an issuer's URL, and calls back once, later; None: it can't be had."""


class IssuerKeys:
    """The keys of one issuer in one worker."""

    def __init__(self, url: str, fetch: Fetch, monotonic: Callable[[], float]) -> None:
        self._url = url
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: dict[str, Key] = {}
        self._fetched_s = -inf
        self._next_fetch_s = -inf
        self._waiting: list[tuple[str, Found]] = []

    def find(self, kid: str, done: Found) -> None:
        """Call ``done`` with the key of an id, now or after a fetch."""
        now_s = self._monotonic()
        is_fresh = now_s - self._fetched_s < LIFE_S and kid in self._keys
        if is_fresh or (now_s < self._next_fetch_s and not self._waiting):
            done(self._known(kid))
        elif len(self._waiting) >= MAX_WAITING:
            done(Missing.AWAY)
        else:
            self._waiting.append((kid, done))
            if len(self._waiting) == 1:
                self._next_fetch_s = now_s + INTERVAL_S
                self._fetch(self._url, self._fetched)

    def _fetched(self, document: Mapping[str, Any] | None) -> None:
        try:
            if document is not None:
                self._keys = read_keys(document)
                self._fetched_s = self._monotonic()
        except ValueError as error:
            log.warning("the keys of %s can't be used: %s", self._url, error)
        waiting, self._waiting = self._waiting, []
        for kid, done in waiting:
            done(self._known(kid))

    def _known(self, kid: str) -> Key | Missing:
        if self._monotonic() - self._fetched_s >= SURVIVES_S:
            return Missing.AWAY
        return self._keys.get(kid, Missing.UNKNOWN)
