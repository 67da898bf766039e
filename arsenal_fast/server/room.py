"""The room for bytes that were received and not answered yet: of one worker, and of each client in it.

Reading of a connection stops when its worker or its client has no room left. Somebody can always go on: the connection
that has held room for the longest time, of the worker and of each client, reads whatever the sums are. What one
connection may add by that is bounded by the limits of one message. Who may read on has room kept for the next read, so
that many who read at the same moment don't find it taken. All operations but waking take constant time.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import islice
from typing import Final, Protocol

LOOKED_AT: Final = 64
"""Waiting connections that are looked at when room becomes free; the others are looked at the next time."""

READ: Final = 65_536
"""Bytes at most for which room is kept while a connection waits for them. A read may bring more; what finds no room at
all is refused then."""


class Holder(Protocol):
    """A connection."""

    def read_on(self) -> None:
        """There is room again."""


class ReadDecision(Enum):
    """What a connection may do with what it holds."""

    GO_ON = auto()
    WAIT = auto()
    """Read nothing until ``read_on``."""
    REFUSE = auto()
    """There is no room for what has been read already."""


class _Share:
    """What one client holds, oldest first."""

    __slots__ = ("client", "holders", "size_bytes")

    def __init__(self, client: bytes) -> None:
        self.client = client
        self.size_bytes = 0
        self.holders: dict[Holder, int] = {}


class Room:
    """Counts bytes by connection and client."""

    __slots__ = ("_of_client", "_shares", "_soft", "_total", "_waiting", "_where", "size_bytes")

    def __init__(self, total: int, of_client: int) -> None:
        """Bytes; reading stops at seven eighths of ``total``, so that what was read by then finds room."""
        self._total = total
        self._soft = total - total // 8
        self._of_client = of_client
        self._shares: dict[bytes, _Share] = {}
        self._where: dict[Holder, _Share] = {}
        """The share of each holder, oldest first."""
        self._waiting: dict[Holder, int] = {}
        """What they will read next, by those that wait, in the order of their coming."""
        self.size_bytes = 0

    def hold(self, holder: Holder, client: bytes, size_bytes: int, ahead: int = 0) -> ReadDecision:
        """Set what a connection holds for a client, and say whether it may read on.

        ``ahead``: bytes that it will read next; room is kept for READ of them at most.
        """
        share = self._where.get(holder)
        if share is None or share.client != client:
            if share is not None:  # a proxy's connection: each message may be of another client
                self._take_out(holder, share)
            share = self._where[holder] = self._shares.setdefault(client, _Share(client))
        grown = self._set(share, holder, size_bytes)
        ahead = min(ahead, READ)
        if self._may_go_on(holder, ahead):
            self._waiting.pop(holder, None)
            self._set(share, holder, size_bytes + ahead)
            verdict = ReadDecision.GO_ON
        elif grown > 0 and self.size_bytes > self._total:
            return ReadDecision.REFUSE
        else:
            self._waiting[holder] = ahead
            verdict = ReadDecision.WAIT
        if grown < 0:
            self._wake(share)
        return verdict

    def release(self, holder: Holder) -> None:
        """Forget a connection; nothing happens where it holds nothing."""
        share = self._where.pop(holder, None)
        if share is not None:
            self._waiting.pop(holder, None)
            self._take_out(holder, share)
            self._wake(share)

    def _set(self, share: _Share, holder: Holder, size_bytes: int) -> int:
        grown = size_bytes - share.holders.get(holder, 0)
        share.holders[holder] = size_bytes
        share.size_bytes += grown
        self.size_bytes += grown
        return grown

    def _take_out(self, holder: Holder, share: _Share) -> None:
        self._set(share, holder, 0)
        del share.holders[holder]
        if not share.holders:
            del self._shares[share.client]

    def _may_go_on(self, holder: Holder, ahead: int) -> bool:
        share = self._where[holder]
        return (self.size_bytes + ahead <= self._soft or holder is next(iter(self._where))) and (
            share.size_bytes + ahead <= self._of_client or holder is next(iter(share.holders))
        )

    def _wake(self, share: _Share) -> None:
        """Let waiting connections read on as far as there is room; ``share``: of the client that holds less now."""
        waiting = self._waiting
        if not waiting:
            return
        # The oldest ones come first: they go on whatever the sums are.
        oldest = [*islice(self._where, 1), *islice(share.holders, 1)]
        for holder in [*oldest, *islice(waiting, LOOKED_AT)]:
            ahead = waiting.get(holder)
            if ahead is not None and self._may_go_on(holder, ahead):
                del waiting[holder]
                mine = self._where[holder]
                self._set(mine, holder, mine.holders[holder] + ahead)
                holder.read_on()
