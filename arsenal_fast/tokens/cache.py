"""A cache of verified service tokens, so that each token is verified once per worker."""

from collections.abc import Callable
from typing import Final

from arsenal_fast.cache import GenerationalCache
from arsenal_fast.tokens.claims import Refusal, ServiceToken

CAPACITY: Final = 1024
"""Tokens of a generation: callers with a token of their own are few. At 4 KiB each it is 8 MiB at the worst."""


class VerifiedTokens:
    """Verified service tokens by their text until they expire: a hit is one look-up and one comparison.

    Refused ones are not cached: a client could send endless different ones, which would push out the valid ones; and a
    token that is not valid yet may be later. The time of a look-up leaks nothing, since the dictionary compares texts
    only where the (keyed) hashes are the same.
    """

    __slots__ = ("_tokens", "_verify")

    def __init__(self, verify: Callable[[str, float], ServiceToken | Refusal], capacity: int = CAPACITY) -> None:
        self._verify = verify
        self._tokens: GenerationalCache[bytes, ServiceToken] = GenerationalCache(capacity)

    def verify(self, token: bytes, now: float) -> ServiceToken | Refusal:
        """Return the verified token at ``now`` (seconds), or why it is refused."""
        known = self._tokens.get(token)
        if known is not None:
            if now < known.expires:
                return known
            self._tokens.discard(token)
            return Refusal.EXPIRED
        verified = self._verify(token.decode("latin-1"), now)
        if isinstance(verified, ServiceToken):
            self._tokens.put(token, verified)
        return verified

    def __len__(self) -> int:
        return len(self._tokens)
