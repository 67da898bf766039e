"""A batch that was answered before: who sends the same body again is told of the same identities.

A batch holds no answer of its own, but the rows that the records have rendered, and what stands between them. So
whether it may be given is the records' word alone: the first of them that becomes due or is forgotten ends it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from arsenal_fast.api.fastpath.render import Record
from arsenal_fast.memory_budget import weigh_reference

_PIECES: Final = 100
"""Octets that the pieces of one record take on top of what stands in them."""

_FRESH_UNTIL: Final = attrgetter("fresh_until")


class Batch:
    """Stands where a record does, for a request whose answer is ``unstamped`` and a :func:`~.records.stamp`."""

    __slots__ = ("_pieces", "octets", "records")

    guarded = False
    tail = b""
    """A batch's answer is never without a stamp."""

    def __init__(self, records: Sequence[Record], pieces: Sequence[bytes]) -> None:
        """``pieces``: of the answer from its own lines on, up to the stamp."""
        self.records = records
        self._pieces = pieces
        self.octets = sum(map(len, pieces)) + sum([weigh_reference(record.id, _PIECES) for record in records])
        """What it takes, about: the records may have been forgotten but for it."""

    @property
    def fresh_until(self) -> float:
        """Wall clock, seconds: from here on one of the identities has to be asked for."""
        moment: float = min(map(_FRESH_UNTIL, self.records))
        return moment

    expires = fresh_until

    @property
    def unstamped(self) -> bytes:
        """The answer from its own lines on, up to the stamp."""
        return b"".join(self._pieces)
