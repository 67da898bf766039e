"""Runs for requests that bring none: decimal, time-ordered, unique over all workers.

::

    0 | 41 bits: ms since 2020-01-01 | 12 bits: node | 10 bits: sequence

63 bits, so a run fits a signed 64-bit column, until 2089-09-06T15:47:35.551Z; later ones are longer, and
still unique. No node ever repeats a run: a sequence never goes back, even where the clock does. What one
process can't know is what another with the same node did; whoever gives out the nodes keeps living ones
apart, and an identity with such a run is issued ``fresh``, so that a collision would be seen.
"""

from typing import Final

NODES: Final = 1 << 12

EPOCH: Final = 1_577_836_800_000  # ms, 2020-01-01T00:00:00Z
LAST_MOMENT: Final = EPOCH + (1 << 41) - 1  # ms, the last one whose runs have 63 bits

_SEQUENCE_BITS: Final = 10
_NODE_BITS: Final = 12
_SEQUENCE_MASK: Final = (1 << _SEQUENCE_BITS) - 1


class RunSequence:
    """The runs of one node (0 .. 4095, else ValueError), strictly increasing."""

    __slots__ = ("_last", "_node")

    def __init__(self, node: int) -> None:
        if not 0 <= node < NODES:
            raise ValueError(f"node must be from 0 to {NODES - 1}.")
        self._node = node << _SEQUENCE_BITS
        self._last = -1  # ms and sequence of the last run, as one counter

    def next(self, now_ms: int) -> str:
        """The next run.

        Where the clock stepped back, or over 1,024 are asked for in one ms, the sequence carries into the
        ms and runs ahead of the clock, until that has caught up.
        """
        count = (now_ms - EPOCH) << _SEQUENCE_BITS
        if count <= self._last:
            count = self._last + 1
        self._last = count
        moment = count >> _SEQUENCE_BITS
        return str(moment << (_NODE_BITS + _SEQUENCE_BITS) | self._node | count & _SEQUENCE_MASK)
