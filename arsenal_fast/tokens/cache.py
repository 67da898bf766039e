"""The service tokens that this worker has verified, so that a caller's next request does not pay for it again."""

from typing import Final, Protocol

from arsenal_fast.cache import GenerationalCache
from arsenal_fast.tokens.claims import Refusal, ServiceToken

CAPACITY: Final = 1024
"""Tokens of a generation: callers with a token of their own are few. At 4 KiB each it is 8 MiB at the worst."""


class Verifier(Protocol):
    """What verifies service tokens: ``Keys``."""

    def verify_service(self, token: str, now: float) -> ServiceToken | Refusal: ...


class VerifiedTokens:
    """Service tokens by their octets until they expire: a hit is a look-up and a comparison.

    Refused ones are not remembered: anybody can make them without end, each another, and would push out the
    good ones; and what is not valid yet may be later. A look-up tells nothing by its time, for the dictionary
    compares octets only where the (keyed) hashes are the same.
    """

    __slots__ = ("_tokens", "_verifier")

    def __init__(self, verifier: Verifier, capacity: int = CAPACITY) -> None:
        self._verifier = verifier
        self._tokens: GenerationalCache[bytes, ServiceToken] = GenerationalCache(capacity)

    def verify(self, octets: bytes, now: float) -> ServiceToken | Refusal:
        """The service token that these octets are at ``now`` (seconds), or why they are none."""
        known = self._tokens.get(octets)
        if known is not None:
            if now < known.expires:
                return known
            self._tokens.discard(octets)
            return Refusal.EXPIRED
        verified = self._verifier.verify_service(octets.decode("latin-1"), now)
        if isinstance(verified, ServiceToken):
            self._tokens.put(octets, verified)
        return verified

    def rotate(self, verifier: Verifier) -> None:
        """Other keys from here on: what the old ones verified is forgotten."""
        self._verifier = verifier
        self._tokens.clear()

    def __len__(self) -> int:
        return len(self._tokens)
