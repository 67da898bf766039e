"""A worker's registry over a store and a ledger with switches for faults."""

from collections.abc import Callable, Sequence

from arsenal_fast.api.write_batch import WriteBatch
from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.validity import Fetched, Issued, IssueRow, Life, Outcome, StoreRecord, Terms
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.registry.cache import CachedIdentity, IdentityCache
from arsenal_fast.registry.fetched import FetchedLives
from arsenal_fast.registry.issuer import AuditContext, BatchRequest, Issuer
from arsenal_fast.registry.lookup import IdentityState, Lookup
from arsenal_fast.registry.revoke import Revoker
from arsenal_fast.replies import run
from tests.support.ledgers import Book, SwitchedLedger
from tests.support.rig import Rig
from tests.support.stores import SwitchedStore

DOMAIN = "x.example"


def identity(run: int) -> Identity:
    return Identity("player", str(run), DOMAIN, "v1")


AUDIT = AuditContext("203.0.113.9")


def raise_again(error: Exception) -> None:
    raise error


def half(identity: str) -> int:
    """The shard of an identity: 0 for even runs, 1 for odd ones."""
    return int(identity.partition("@")[0].rpartition("-")[2]) % 2


class HalfAway(SwitchedStore):
    """A store whose shard 0 is away: what needs it has no answer."""

    def issue(self, rows: Sequence[IssueRow], done: Callable[[Sequence[Issued] | None], None]) -> None:
        self.away = any(half(row.id) == 0 for row in rows)
        super().issue(rows, done)

    def find(self, ids: Sequence[str], done: Callable[[Sequence[StoreRecord | None] | None], None]) -> None:
        self.away = any(half(each) == 0 for each in ids)
        super().find(ids, done)


class Bench:
    """A registry over a store that can be switched, and the worker's clock."""

    def __init__(
        self,
        capacity: int = 1000,
        store: SwitchedStore | None = None,
        ledger: SwitchedLedger | None = None,
        shard_of: Callable[[str], int] | None = None,
    ) -> None:
        self.rig = Rig()
        self.store = store or SwitchedStore(self.rig.memory())
        self.ledger = ledger
        self.metrics = Metrics()
        self.cache = IdentityCache(
            store=self.store,
            revocations=self.store,
            ledger=ledger,
            capacity=capacity,
            room=1 << 30,
            now=lambda: self.rig.wall,
            shard_of=shard_of,
        )
        self.issuer = Issuer(
            store=self.store,
            local_store=self.rig.memory().identities,
            ledger=ledger,
            cache=self.cache,
            call_soon=lambda flush: flush(),
            now=lambda: self.rig.wall,
            metrics=self.metrics,
            write_batch=WriteBatch(lambda flush: flush()),
        )
        self.fetched = FetchedLives(
            cache=self.cache, has_ledger=ledger is not None, now=lambda: self.rig.wall, metrics=self.metrics
        )
        self.lookup = Lookup(
            store=self.store,
            ledger=ledger,
            cache=self.cache,
            now=lambda: self.rig.wall,
            metrics=self.metrics,
            gather_responses=lambda: None,
            call_soon=lambda flush: flush(),
        )
        self.revoker = Revoker(
            revocations=self.store,
            ledger=ledger,
            cache=self.cache,
            lookup=self.lookup,
            now=lambda: self.rig.wall,
            metrics=self.metrics,
        )

    def ask(self, *runs: int, ttl: int = 60, audit: AuditContext = AUDIT) -> list[Sequence[CachedIdentity]]:
        """Issue, and return where the answer will be."""
        answers: list[Sequence[CachedIdentity]] = []
        ids = [identity(run).id for run in runs]
        self.issuer.issue(BatchRequest(ids, ttl * 1000, lambda: audit, answers.append, self.cache))
        return answers

    def issue(self, *runs: int, ttl: int = 60) -> list[CachedIdentity]:
        (records,) = self.ask(*runs, ttl=ttl)
        return list(records)

    def looking_up(self, *runs: int) -> list[tuple[list[IdentityState | None], bool]]:
        """Look identities up, and return where the answer will be."""
        answers: list[tuple[list[IdentityState | None], bool]] = []

        async def look_up() -> None:
            answers.append(await self.lookup.find([identity(each).id for each in runs]))

        run(look_up(), raise_again)
        return answers

    def known(self, *runs: int) -> tuple[list[IdentityState | None], bool]:
        (answer,) = self.looking_up(*runs)
        return answer

    def revoke(self, number: int) -> None:
        async def end() -> None:
            await self.revoker.revoke(identity(number), None, AUDIT)

        run(end(), raise_again)

    def find(self, *runs: int) -> tuple[list[Life | None], bool]:
        known, readable = self.known(*runs)
        return [None if each is None else each.life for each in known], readable

    def hits(self) -> tuple[int, int]:
        """Look-ups and hits since the last time."""
        found = self.metrics.identity_lookups, self.metrics.identity_lookup_hits
        self.metrics.identity_lookups = self.metrics.identity_lookup_hits = 0
        return found


# The ledger


def kept(bench: Bench) -> SwitchedLedger:
    """The ledger of a bench that has one."""
    assert bench.ledger is not None
    return bench.ledger


def with_ledger(book: Book | None = None, store: SwitchedStore | None = None) -> Bench:
    return Bench(store=store, ledger=SwitchedLedger(book))


def flushed(bench: Bench) -> None:
    bench.store.memory = bench.rig.memory()


def held_in_store(bench: Bench, run: int) -> StoreRecord | None:
    """The store's record."""
    answers: list[Sequence[StoreRecord | None] | None] = []
    bench.store.memory.identities.find([identity(run).id], answers.append)
    assert answers[0] is not None
    return answers[0][0]


# What the store has given together with the admissions


class One(BatchRequest):
    """A request for one identity, which the admission fetches."""

    fetched: Life | Fetched | None = None
    invalidations = 0

    def __init__(self, bench: Bench, run: int) -> None:
        self.got: list[Sequence[CachedIdentity]] = []
        super().__init__([identity(run).id], 60_000, lambda: AUDIT, self.got.append, bench.cache)
        self.found, self.missing = [None], 1

    @property
    def id(self) -> str:
        return self.ids[0]

    @property
    def terms(self) -> Terms:
        return self.cache.usual_terms


def fetched(bench: Bench, outcome: Outcome, age_s: int = 0) -> Issued:
    begin = round(bench.rig.wall * 1000) - 1000 * age_s
    return Issued(outcome, Life(begin, begin + 60_000))
