"""The batch of a tick: what admission sends to the limiter, and whom it calls with the outcomes."""

from collections.abc import Callable, Sequence
from typing import Protocol

from arsenal_fast.errors import ProblemError
from arsenal_fast.ratelimit.client import Client, hits_of_rows
from arsenal_fast.ratelimit.headers import QuotaState

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


class Batch:
    """The admissions of one tick."""

    __slots__ = ("amendments", "linked", "looks", "one_quota", "quantities", "requests", "rows", "started_s")

    def __init__(self) -> None:
        self.linked = False
        """Whether a client has further cells."""
        self.rows: dict[Client, int] = {}
        """The row of each client, in their order. Its cells of ``also`` have the next ones."""
        self.quantities: list[int] = []
        self.requests: list[Admissible] = []
        self.looks: list[tuple[Admissible, Looked]] = []
        self.one_quota = True
        self.started_s = 0.0
        self.amendments = 0
        """The version of the amendments of service tokens when the batch was sent."""

    def add_cells(self, client: Client) -> None:
        """Give a row to each further cell of a client, whose own row is the last one."""
        for cell in client.also:
            self.rows[cell] = len(self.rows)
            self.quantities.append(0)
            self.linked = True

    def hits(self) -> list[int]:
        """Return the hits of each row; ``quantities`` has them only for the first of linked ones."""
        return hits_of_rows(list(self.rows), self.quantities) if self.linked else self.quantities
