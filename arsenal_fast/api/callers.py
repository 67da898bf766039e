"""Finds the client that a request is charged to: an address, or the subject of a service token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arsenal_fast.api import auth
from arsenal_fast.cache import GenerationalCache
from arsenal_fast.errors import ProblemError
from arsenal_fast.ratelimit.client import Client, ClientAddresses, TokenHolder
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.tokens.cache import VerifiedTokens
from arsenal_fast.tokens.claims import ServiceToken
from arsenal_fast.tokens.keys import Keys

MAX_HOPS_OCTETS: Final = 128
"""Octets of an X-Forwarded-For that is cached: two or three hops; longer ones are parsed each time."""

TOKENS: Final = 1024
"""Service tokens whose client is cached."""

_UNLIMITED: Final = Quota(1, 1)
"""The quota of a Client while the limiter is off; nothing reads it."""


class Callers:
    """The cached clients of one worker.

    One object for each key while it is cached; two objects of one key share its cell.
    """

    def __init__(
        self,
        *,
        quota: Quota | None,
        trusted_proxies: tuple[str, ...],
        clients: int,
        forwarded: int,
        keys: Keys,
        now: Callable[[], float],
    ) -> None:
        """
        Args:
            quota: of an address; None turns the limiter off.
            clients: cached addresses of a generation.
            forwarded: cached values of X-Forwarded-For of a generation.
            now: wall clock, seconds since the epoch.
        """
        self._quota = quota or _UNLIMITED
        self._addresses = ClientAddresses(trusted_proxies)
        self._tokens = VerifiedTokens(keys.verify_service)
        self._now = now
        self._holders: GenerationalCache[ServiceToken, Client] = GenerationalCache(TOKENS)
        self._clients: GenerationalCache[bytes, Client] = GenerationalCache(clients)
        self.by_forwarded_for: GenerationalCache[bytes, Client] = GenerationalCache(forwarded)
        """Clients by the X-Forwarded-For of a trusted peer; without an entry :meth:`forwarded` finds the client."""

    def trusts(self, peer: str) -> bool:
        """Whether the peer's X-Forwarded-For is trusted."""
        return self._addresses.trusts(peer)

    def of_address(self, peer: str, forwarded_for: bytes | None) -> Client:
        """Return the client of the address that a request is charged to."""
        if forwarded_for is not None and self._addresses.trusts(peer):
            return self.forwarded(peer, forwarded_for)
        return self._client(self._addresses.key(peer, None))

    def forwarded(self, peer: str, forwarded_for: bytes) -> Client:
        """Return the client in a trusted peer's X-Forwarded-For."""
        client = self.by_forwarded_for.get(forwarded_for)
        if client is not None:
            return client
        key = self._addresses.forwarded_key(forwarded_for)
        # Where the peer itself is charged, the field names no client; for another peer it would be that one.
        if key is None:
            return self._client(self._addresses.key(peer, None))
        if len(forwarded_for) > MAX_HOPS_OCTETS:
            return self._client(key)
        client = Client(key, self._quota)
        self.by_forwarded_for.offer(forwarded_for, client)
        return client

    def of_token(self, authorization: bytes) -> Client | ProblemError:
        """Return the client of a service token, or the error that refuses it (not raised)."""
        token_text = auth.bearer(authorization)
        if token_text is None:
            return auth.unread(authorization)
        verified = self._tokens.verify(token_text, self._now())
        if not isinstance(verified, ServiceToken):
            return auth.refused(verified)
        client = self._holders.get(verified)
        if client is None:
            window_s = self._quota.window
            # At most one request a microsecond, the limiter's resolution.
            quota = Quota(min(verified.rate_limit, window_s * 1_000_000), window_s)
            client = TokenHolder(auth.holder(verified), quota, verified.scopes, verified.expires)
            self._holders.put(verified, client)
        return client

    def _client(self, key: bytes) -> Client:
        client = self._clients.get(key)
        if client is None:
            client = Client(key, self._quota)
            self._clients.put(key, client)
        return client
