"""How Redis itself is: what it has evicted, and how near its memory is to its bound.

Looked at every few seconds by one worker of a service alone, so that the sum over workers is what Redis says.
Evictions count from the first look at a connection: behind the next one there may be another Redis. A look also
counts as use of what all revocations share, so that a full Redis evicts it last.
"""

from collections.abc import Sequence
from typing import Final

from arsenal_fast.stores.redis.connection import Connection
from arsenal_fast.stores.redis.revocations import ALL_KEYS
from arsenal_fast.stores.redis.script import Count, Script, integers, script_text

SCRIPT: Final = Script(
    script_text("info.lua"), keys=Count(3, 0), arguments=Count(0, 0), replies=Count(3, 0), read=integers
)


class InfoPoller:
    """Writes ``evictions``, ``memory_used`` and ``memory_limit`` of the connection's counters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._evicted = 0
        """What Redis had evicted at the last look at this connection."""
        self._looked_at = 0
        """The connection (by the number of those before it) of that look."""

    def poll(self) -> None:
        """Ask; the answer changes the counters when it comes, and none, or one that is refused, empties the gauges."""
        SCRIPT.run(self._connection, 0, [b"", ALL_KEYS], self._take)

    def _take(self, figures: Sequence[int] | None) -> None:
        counters = self._connection.counters
        if figures is None:
            counters.memory_used = counters.memory_limit = 0
            return
        evicted, counters.memory_used, counters.memory_limit = figures
        if self._looked_at == counters.connects:
            # Less than before: somebody has reset the statistics.
            counters.evictions += evicted - self._evicted if evicted >= self._evicted else evicted
        self._looked_at, self._evicted = counters.connects, evicted
