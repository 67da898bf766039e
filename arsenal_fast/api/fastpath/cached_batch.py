"""A cached batch response: the same body gets the same identities while all of them are fresh.

It shares the rendered rows of its identities and holds only the text between them.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.memory_budget import weigh_reference
from arsenal_fast.registry.cache import CachedIdentity

_FRESH_UNTIL: Final = attrgetter("fresh_until_s")

_PIECES: Final = 100
"""Bytes of overhead for the pieces of one identity."""


class CachedBatch:
    """A cached response to ``POST /api/v1/identities``."""

    __slots__ = ("_identities", "_pieces", "endpoint")

    required_scope: Final = None
    terms: Final = None

    def __init__(self, identities: Sequence[CachedIdentity], pieces: Sequence[bytes], endpoint: Endpoint) -> None:
        """``pieces``: the response from its own header lines up to the time stamp."""
        self._identities = identities
        self._pieces = pieces
        self.endpoint = endpoint

    @property
    def size_bytes(self) -> int:
        """An estimate, with the identities: perhaps only this batch still refers to them."""
        of_identities = sum([weigh_reference(each.id, _PIECES) for each in self._identities])
        return sum(map(len, self._pieces)) + of_identities

    @property
    def ids(self) -> Sequence[str]:
        """The identities that it issues."""
        return [identity.id for identity in self._identities]

    def render(self, clock: ResponseClock) -> bytes | None:
        """Return the response with its time stamp; None where an identity is no longer fresh."""
        if min(map(_FRESH_UNTIL, self._identities)) <= clock.now_s:
            return None
        self.endpoint.further_lookups += len(self._identities) - 1
        return b"".join((*self._pieces, clock.stamp()))
