"""The admissions of one tick: a row for each client, the exchanges that hit it, and those that only look at it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from arsenal_fast.api.context import Exchange
    from arsenal_fast.ratelimit.client import Client
    from arsenal_fast.ratelimit.quota import Quota

_QUOTA: Final = attrgetter("quota")
_CLIENT: Final = attrgetter("client")
_EXPIRES: Final = attrgetter("expires")

Looked = Callable[[bytes, int, int], None]
"""Takes the lines of a client's limit, what remains, and the seconds until it is whole again."""


class AdmissionBatch:
    """What goes to the limiter as one command, and who waits for its answer."""

    __slots__ = ("exchanges", "looks", "quantities", "quotas", "rows", "started")

    def __init__(self) -> None:
        self.rows: dict[Client, int] = {}
        """The row of each client, in their order."""
        self.quantities: list[int] = []
        self.exchanges: list[Exchange] = []
        self.looks: list[tuple[Client, Looked]] = []
        """Clients whose limit is to be told as it stands behind the hits of the batch."""
        self.quotas: set[int]
        """Ids of the quota objects, once the batch leaves. (A token's may equal that of addresses: two policies.)"""
        self.started = 0.0

    def row_of(self, client: Client) -> int:
        """Return the client's row; without a hit where it is a new one."""
        row = self.rows.setdefault(client, len(self.rows))
        if row == len(self.quantities):
            self.quantities.append(0)
        return row

    def holds_tokens(self, quota: Quota | None) -> bool:
        """Whether a client of the batch may be a token's subject; ``quota``: the one object of all addresses."""
        self.quotas = quotas = set(map(id, map(_QUOTA, self.rows)))
        return len(quotas) > 1 or id(quota) not in quotas

    def holds_expired(self, now: float) -> bool:
        """Whether a recognised request came with a token that has expired since it was verified.

        The token of a request that was parsed was verified in this very tick.
        """
        clients = self.rows or map(_CLIENT, self.exchanges)
        return min(map(_EXPIRES, clients), default=inf) <= now and any(
            exchange.record is not None and exchange.client.expires <= now for exchange in self.exchanges
        )
