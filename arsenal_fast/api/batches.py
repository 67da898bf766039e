"""The batch of a tick: what admission sends to the limiter, and whom it calls with the outcomes."""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final, Protocol

from arsenal_fast.errors import ProblemError
from arsenal_fast.identity.validity import Fetched, Fetching
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.headers import QuotaState

_KEY: Final = attrgetter("key_bytes")

Looked = Callable[[bytes, Sequence[QuotaState]], None]
"""Takes a client's rate-limit lines, and the state of each quota that it is charged to."""


class Admissible(Protocol):
    """A request in the limiter. Exactly one of its methods is called, once."""

    @property
    def client(self) -> Client: ...

    row: int
    """The index of the client in the batch; set here."""

    def admitted(self, limit_lines: bytes) -> None:
        """The limiter lets the request pass."""

    def denied(self, limit_lines: bytes, problem: ProblemError) -> None:
        """A quota of the client is used up; ``problem`` is to respond with (429)."""

    def refused(self, problem: ProblemError) -> None:
        """The limiter is away and no request may pass; ``problem`` is to respond with (503)."""

    def identify_again(self) -> None:
        """The client's token has expired: find the client again, and submit."""

    def cut_off(self) -> None:
        """Abort the connection; called while an exception of another method is handled."""


class Traffic:
    """The commands to the store, of all its shards, that have no answer yet."""

    __slots__ = ("under_way",)

    def __init__(self) -> None:
        self.under_way = 0


class Batch:
    """The admissions of one tick."""

    __slots__ = (
        "amendments",
        "begun",
        "fetched",
        "invalidations",
        "linked",
        "looks",
        "one_quota",
        "quantities",
        "requests",
        "rows",
        "started_s",
        "turns",
        "unlimited",
        "wanted",
        "wanted_rows",
    )

    def __init__(self) -> None:
        self.begun = False
        """Whether it has a request or a look."""
        self.turns = 0
        """Turns of the loop for which it has waited for company."""
        self.linked = False
        """Whether a client has a plan."""
        self.rows: dict[Client, int] = {}
        """The row of each client, in their order. Its cells of ``also`` have the next ones."""
        self.quantities: list[int] = []
        self.requests: list[Admissible] = []
        """Those of limited clients."""
        self.unlimited: list[Admissible] = []
        """Those of others, which wait for the revision alone."""
        self.looks: list[tuple[Admissible, Looked]] = []
        self.wanted: list[Fetching] = []
        """The identities that requests need of the store, if they pass."""
        self.wanted_rows: list[int] = []
        """The rows of these requests; -1: that of an unlimited client."""
        self.fetched: Sequence[Fetched | None] = ()
        """What the store has said of these; empty before."""
        self.invalidations = 0
        """Those of the cache when the batch began."""
        self.one_quota = True
        self.started_s = 0.0
        self.amendments = 0
        """The version of the amendments of service tokens when the batch was sent."""

    def add_cells(self, client: Client) -> None:
        """Give a row to each further cell of a client with a plan, whose own row is the last one."""
        self.linked = True
        for cell in client.also:
            self.rows[cell] = len(self.rows)
            self.quantities.append(0)

    def all_requests(self) -> list[Admissible]:
        """Return all requests, with those that only look."""
        return [*self.requests, *self.unlimited, *(request for request, _ in self.looks)]

    def callers(self) -> tuple[Iterable[bytes], Sequence[int]]:
        """Return the keys of those whose requests these are, and how many: a holder's and an end user's both count."""
        if not self.linked:
            return map(_KEY, self.rows), self.quantities
        hits: dict[bytes, int] = {}
        for client, quantity in zip(self.rows, self.quantities, strict=True):
            if quantity:
                key = client.key_bytes
                hits[key] = hits.get(key, 0) + quantity
                for cell in client.also:
                    if cell.key_bytes != key:  # an end user; the cells of policies have the caller's key
                        hits[cell.key_bytes] = hits.get(cell.key_bytes, 0) + quantity
        return hits.keys(), list(hits.values())
