"""The room for octets that were received and not answered yet: of one worker, and of each client in it.

Reading of a connection stops when its worker or its client has no room left. Somebody can always go on: the connection
that has held room for the longest time, of the worker and of each client, reads whatever the sums are. What one
connection may add by that is bounded by the limits of one message. All operations but waking take constant time.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import islice
from typing import Final, Protocol

LOOKED_AT: Final = 64
"""Waiting connections that are looked at when room becomes free; the others are looked at the next time."""

READ: Final = 65_536
"""Octets that a connection which reads on is expected to bring at first."""


class Holder(Protocol):
    """A connection."""

    def read_on(self) -> None:
        """There is room again."""


class Verdict(Enum):
    """What a connection may do with what it holds."""

    GO_ON = auto()
    WAIT = auto()
    """Read nothing until ``read_on``."""
    REFUSE = auto()
    """There is no room for what has been read already."""


class _Share:
    """What one client holds, oldest first."""

    __slots__ = ("holders", "octets")

    def __init__(self) -> None:
        self.octets = 0
        self.holders: dict[Holder, int] = {}


class Room:
    """Counts octets by connection and client."""

    __slots__ = ("_of_client", "_shares", "_soft", "_total", "_waiting", "_where", "octets")

    def __init__(self, total: int, of_client: int) -> None:
        """Octets; reading stops at seven eighths of ``total``, so that what was read by then finds room."""
        self._total = total
        self._soft = total - total // 8
        self._of_client = of_client
        self._shares: dict[bytes, _Share] = {}
        self._where: dict[Holder, bytes] = {}
        """The client of each holder, oldest first."""
        self._waiting: dict[Holder, None] = {}
        self.octets = 0

    def hold(self, holder: Holder, client: bytes, octets: int) -> Verdict:
        """Set what a connection holds for a client, and say whether it may read on. ``octets`` is not 0."""
        before = self._where.get(holder)
        if before is not None and before != client:  # a proxy's connection: each message may be of another client
            self._take_out(holder, before)
        share = self._shares.get(client)
        if share is None:
            share = self._shares[client] = _Share()
        grown = octets - share.holders.get(holder, 0)
        share.holders[holder] = octets
        share.octets += grown
        self.octets += grown
        self._where[holder] = client
        if self._may_go_on(holder):
            self._waiting.pop(holder, None)
            verdict = Verdict.GO_ON
        elif grown > 0 and self.octets > self._total:
            return Verdict.REFUSE
        else:
            self._waiting[holder] = None
            verdict = Verdict.WAIT
        if grown < 0:
            self._wake(share)
        return verdict

    def release(self, holder: Holder) -> None:
        """Forget a connection; nothing happens where it holds nothing."""
        client = self._where.pop(holder, None)
        if client is not None:
            self._waiting.pop(holder, None)
            self._wake(self._take_out(holder, client))

    def _take_out(self, holder: Holder, client: bytes) -> _Share:
        share = self._shares[client]
        octets = share.holders.pop(holder)
        share.octets -= octets
        self.octets -= octets
        if not share.holders:
            del self._shares[client]
        return share

    def _may_go_on(self, holder: Holder, promised: int = 0) -> bool:
        """``promised``: octets that others, which were told to read on just now, may bring."""
        share = self._shares[self._where[holder]]
        return (self.octets + promised <= self._soft or holder is next(iter(self._where))) and (
            share.octets + promised <= self._of_client or holder is next(iter(share.holders))
        )

    def _wake(self, share: _Share) -> None:
        """Let waiting connections read on as far as there is room; ``share``: of the client that holds less now."""
        if not self._waiting:
            return
        # The oldest ones come first: they go on whatever the sums are.
        oldest = [*islice(self._where, 1), *islice(share.holders, 1)]
        promised = 0
        for holder in [*oldest, *islice(self._waiting, LOOKED_AT)]:
            if holder in self._waiting and self._may_go_on(holder, promised):
                del self._waiting[holder]
                promised += READ
                holder.read_on()
