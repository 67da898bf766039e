"""The ports: protocols that stores and ledger implement.

Adapters match these by structure; they don't import them. A callback ``done`` is called exactly once, perhaps before
the call returns; None means that the store is away, slow or failing (that raises no exception).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.revocation import Changes, Revoked
from arsenal_fast.identity.validity import Fetched, Issued, IssueRow, Life, StoreRecord, Wanted
from arsenal_fast.ledger.counters import Counters as LedgerCounters
from arsenal_fast.ledger.model import (
    AuditPage,
    AuditQuery,
    LedgerRecord,
    LedgerRow,
    RevocationRow,
    TokenChange,
    TokenQuery,
    TokenRecord,
)
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.stores.counters import Counters


class Limiter(Protocol):
    """Charges clients' rate-limit cells, by the clock of the store."""

    def admit(
        self,
        clients: Sequence[Client],
        quantities: Sequence[int],
        done: Callable[[int, Sequence[int] | None], None],
    ) -> None:
        """Charge all rows in order, atomically; ``done`` gets the revision and each backlog (us) *before* the hits.

        A client's cells of ``also`` are the next rows, with the quantity 0: a hit is charged to all enforced cells of
        its plan or to none, and to each shadow one that has room for it.
        A missing cell has backlog 0. Quantity 0 only reads; without any rows only the revision is read. It is the
        revision of the revocations at that moment, 0 where nothing was ever revoked or the store has lost its memory.
        ``done(0, None)`` when the store is away.
        """


@runtime_checkable
class FetchingLimiter(Limiter, Protocol):
    """The limiter of a store that has the identities beside the cells: one command charges and issues."""

    def admit_and_fetch(
        self,
        clients: Sequence[Client],
        quantities: Sequence[int],
        rows: Sequence[int],
        wanted: Sequence[Wanted],
        done: Callable[[int, Sequence[int] | None, Sequence[Fetched | None]], None],
    ) -> None:
        """Charge as :meth:`Limiter.admit`; issue or look up the wanted identities of the rows that pass, atomically.

        Args:
            rows: of each identity the row whose hits it belongs to; -1: its client is not limited.
            wanted: the identities, which may repeat.
            done: gets in addition what the store has for each; None where it was not asked: a hit of that row is
                refused, or there are too many. Such an identity is to be issued or looked up by itself.
        """


class IdentityStore(Protocol):
    """The shared records of the living identities."""

    def issue(self, rows: Sequence[IssueRow], done: Callable[[Sequence[Issued] | None], None]) -> None:
        """Find, renew, issue, re-assert or confirm each row, atomically per row; by the store's clock."""

    def confirm(self, rows: Sequence[IssueRow]) -> None:
        """Confirm lives that the ledger has; one that the store does not hear of stays provisional."""

    def find(self, ids: Sequence[str], done: Callable[[Sequence[StoreRecord | None] | None], None]) -> None:
        """Look each id up; a life may be over or revoked already, a missing one is None."""


class Revoking(Protocol):
    """Revokes; all moments by the store's clock, in ms."""

    def revoke(self, identity: str, life: Life | None, done: Callable[[Revoked | None], None]) -> None:
        """End every life of an identity up to now, atomically; ``life``: the newest one that the caller knows."""

    def set_epoch(self, prefix: str | None, before: int, done: Callable[[int | None], None]) -> None:
        """Raise the epoch of a prefix, or of everything; ``before`` 0: everything issued up to now ends.

        ``done`` gets the epoch that is in force: it never falls.
        """

    def amend(self, key: str, amendment: Amendment, done: Callable[[bool | None], None]) -> None:
        """Write an amendment of service tokens; ``done`` gets whether it is in force: a withdrawal is final."""


class Revocations(Revoking, Protocol):
    """The shared revocations of a store, or of one shard of it."""

    def changes(self, since: int, done: Callable[[Changes | None], None]) -> None:
        """Read the changes since a revision."""

    def restore(
        self,
        epochs: Mapping[str, int],
        amendments: Mapping[str, Amendment],
        revision: int,
        done: Callable[[int | None], None],
    ) -> None:
        """Write all back to a store that lost its memory; ``revision``: the last one seen of it.

        ``done`` gets the revision in force, which is greater.
        """


class Ledger(Protocol):
    """The durable record of issues and revocations."""

    @property
    def counters(self) -> LedgerCounters: ...

    @property
    def healthy(self) -> bool: ...

    @property
    def fault(self) -> str:
        """Why it is not, in words that may be shown; empty while it is."""

    @property
    def status(self) -> str:
        """One word for the health answer."""

    def record(self, rows: Sequence[LedgerRow], done: Callable[[Sequence[Life] | None], None]) -> None:
        """Write lives; ``done`` gets for each the life that holds: its own, or an older one that still stands."""

    def revoke(self, entry: RevocationRow, done: Callable[[int | None], None]) -> None:
        """Write a revocation; ``done`` gets the ``issued_before`` in force."""

    def find(self, ids: Sequence[str], done: Callable[[Sequence[LedgerRecord | None] | None], None]) -> None:
        """Look each id up; None in the place of an unknown one."""

    def epochs(self, done: Callable[[Mapping[str, int] | None], None]) -> None:
        """Read the epochs in force."""

    def change_token(self, change: TokenChange, done: Callable[[int | None], None]) -> None:
        """Write a minted service token or an amendment; ``done`` gets None where it is not written in time."""

    def tokens(self, query: TokenQuery, done: Callable[[Sequence[TokenRecord] | None], None]) -> None:
        """Read the minted service tokens, newest first."""

    def amendments(self, done: Callable[[Mapping[str, Amendment] | None], None]) -> None:
        """Read the amendments of service tokens."""

    def note_use(self, last_used_ms: Mapping[str, int]) -> None:
        """Write when service tokens were last used, by their ids."""

    def audit(self, query: AuditQuery, done: Callable[[AuditPage | None], None]) -> None:
        """Read one page of the history, newest first."""


class Shard(Protocol):
    """What charges clients and tells what was revoked: a store, or one shard of it."""

    @property
    def limiter(self) -> Limiter: ...
    @property
    def revocations(self) -> Revocations: ...


class Store(Protocol):
    """A store with its state."""

    on_return: Callable[[], None] | None

    @property
    def counters(self) -> Counters: ...

    @property
    def identities(self) -> IdentityStore: ...
    @property
    def revocations(self) -> Revoking: ...
    @property
    def healthy(self) -> bool:
        """Whether the shared state can be used now."""

    @property
    def fault(self) -> str:
        """Why it is not, in words that may be shown; empty while it is."""

    @property
    def status(self) -> str:
        """One word for the health answer."""


class Backend(Shard, Store, Protocol):
    """A store that is away or there as a whole."""

    @property
    def revocations(self) -> Revocations: ...


@runtime_checkable
class ShardedBackend(Store, Protocol):
    """A store of several shards, each away or there by itself. A revocation is in force when all of them have it."""

    @property
    def shards(self) -> Sequence[Shard]: ...

    def shard_of(self, key: bytes) -> int:
        """Return the shard of a client by its key."""

    def shard_of_identity(self, identity: str) -> int:
        """Return the shard of an id."""
