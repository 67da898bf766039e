"""Polls INFO for memory use and evictions.

One worker of a service polls every few seconds, so that the sum over workers is Redis's own figure. Evictions count
from the first poll of a connection: the next one may lead to another Redis. A poll also reads the shared keys of the
revocations, so that a full Redis evicts them last.
"""

from collections.abc import Sequence
from typing import Final

from arsenal_fast.stores.redis.connection import Connection
from arsenal_fast.stores.redis.keys import ONE
from arsenal_fast.stores.redis.script import Count, Script, integers, script_text

SCRIPT: Final = Script(
    script_text("info.lua"), keys=Count(4, 0), arguments=Count(0, 0), replies=Count(3, 0), read=integers
)


class InfoPoller:
    """Polls Redis and sets ``evictions``, ``memory_used`` and ``memory_limit`` of the connection's counters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._evicted = 0
        """Redis's count of evictions at the last poll of this connection."""
        self._looked_at = 0
        """The connection (by the number of those before it) of that poll."""

    def poll(self) -> None:
        """Send the poll; its reply sets the counters, and without a reply the gauges become 0."""
        SCRIPT.run(self._connection, 0, [b"", ONE.packed_all], self._take)

    def _take(self, figures: Sequence[int] | None) -> None:
        counters = self._connection.counters
        if figures is None:
            counters.memory_used = counters.memory_limit = 0
            return
        evicted, counters.memory_used, counters.memory_limit = figures
        if self._looked_at == counters.connects:
            # Less than before: the statistics were reset.
            counters.evictions += evicted - self._evicted if evicted >= self._evicted else evicted
        self._looked_at, self._evicted = counters.connects, evicted
