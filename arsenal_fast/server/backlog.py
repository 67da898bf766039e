"""The answers of one worker that clients do not read, in sum."""

from operator import attrgetter
from typing import Protocol


class Unread(Protocol):
    """A connection whose client does not read."""

    since_s: float
    """Monotonic seconds: when the client last read enough."""

    def cut_off(self) -> None:
        """End at once, for the sake of the others."""


class Backlog:
    """Bytes by connection; those that have not read for the longest time are cut off beyond the bound."""

    __slots__ = ("_bound", "_connections", "size_bytes")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._connections: dict[Unread, int] = {}
        self.size_bytes = 0

    def update(self, connection: Unread, size_bytes: int) -> None:
        """Set what waits for a connection's client; 0 forgets the connection."""
        connections = self._connections
        self.size_bytes += size_bytes - connections.get(connection, 0)
        if size_bytes:
            connections[connection] = size_bytes
        else:
            connections.pop(connection, None)
        while self.size_bytes > self._bound:
            # Each has 64 KiB at least, so there are few.
            stuck = min(connections, key=attrgetter("since_s"))
            self.size_bytes -= connections.pop(stuck)
            stuck.cut_off()
