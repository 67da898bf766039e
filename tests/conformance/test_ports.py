"""The conformance suite of the stores, passed by the memory store and by a real Redis.

Real clocks on both sides. Lives are put into the past by re-asserting them, quotas have intervals of seconds,
so that no test needs to wait and none depends on how long it takes.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.revocation import LOG_LENGTH, Changes, Revoked
from arsenal_fast.identity.validity import EXPIRED_RETENTION, Issued, IssueRow, Life, Mode, Outcome, StoreRecord
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.gcra import allowed
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.memory import MemoryBackend
from arsenal_fast.stores.redis.backend import RedisBackend
from tests.support.loops import Answer, run

Backend = MemoryBackend | RedisBackend
Open = Callable[[], AbstractAsyncContextManager[Backend]]

QUOTA = Quota(10, 6000)  # interval 600 s
ID = "player-1@a.example/v1:id"
TTL = 3_600_000  # ms
NEAR = 60_000  # ms, how far two readings of a clock may lie apart in a slow test


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def backend(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":
        return lambda: started(MemoryBackend(monotonic_us, wall_ms))
    url = request.getfixturevalue("redis").url
    return lambda: started(RedisBackend(url, timeout=5, jitter=lambda: 0.5))


@asynccontextmanager
async def started(backend: Backend) -> AsyncIterator[Backend]:
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


async def admit(backend: Backend, clients: Sequence[Client], quantities: Sequence[int]) -> list[int]:
    """How many of each row's hits passed."""
    answer: Answer[tuple[int, Sequence[int] | None]] = Answer()
    backend.limiter.admit(clients, quantities, lambda *values: answer(values))
    _, backlogs = await answer.wait()
    assert backlogs is not None
    assert len(backlogs) == len(clients)
    return [
        allowed(backlog, quantity, client.quota)
        for backlog, quantity, client in zip(backlogs, quantities, clients, strict=True)
    ]


async def issue(backend: Backend, *rows: IssueRow) -> Sequence[Issued]:
    answer: Answer[Sequence[Issued] | None] = Answer()
    backend.identities.issue(rows, answer)
    issued = await answer.wait()
    assert issued is not None
    return issued


async def look(backend: Backend, *ids: str) -> Sequence[StoreRecord | None]:
    answer: Answer[Sequence[StoreRecord | None] | None] = Answer()
    backend.identities.find(ids, answer)
    records = await answer.wait()
    assert records is not None
    return records


async def find(backend: Backend, *ids: str) -> Sequence[Life | None]:
    """The lives of plain records: neither revoked nor provisional."""
    records = await look(backend, *ids)
    assert all(record is None or record == StoreRecord(record.life) for record in records)
    return [record and record.life for record in records]


async def revision_of(backend: Backend) -> int:
    answer: Answer[tuple[int, Sequence[int] | None]] = Answer()
    backend.limiter.admit([], [], lambda *values: answer(values))
    revision, backlogs = await answer.wait()
    assert backlogs == []
    return revision


async def revoke(backend: Backend, identity: str = ID, life: Life | None = None) -> Revoked:
    answer: Answer[Revoked | None] = Answer()
    backend.revocations.revoke(identity, life, answer)
    revoked = await answer.wait()
    assert revoked is not None
    return revoked


async def set_epoch(backend: Backend, prefix: str | None, before: int = 0) -> int:
    answer: Answer[int | None] = Answer()
    backend.revocations.set_epoch(prefix, before, answer)
    epoch = await answer.wait()
    assert epoch is not None
    return epoch


async def changes(backend: Backend, since: int) -> Changes:
    answer: Answer[Changes | None] = Answer()
    backend.revocations.changes(since, answer)
    told = await answer.wait()
    assert told is not None
    return told


async def restore(backend: Backend, epochs: dict[str, int], revision: int) -> int:
    answer: Answer[int | None] = Answer()
    backend.revocations.restore(epochs, {}, revision, answer)
    restored = await answer.wait()
    assert restored is not None
    return restored


# The limiter


def test_a_client_has_its_quota_and_no_more(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            client = Client(b"203.0.113.9", QUOTA)
            passed = [await admit(store, [client], [1]) for _ in range(12)]
            assert passed == [[1]] * 10 + [[0]] * 2

    run(main())


def test_several_hits_in_a_row_pass_as_far_as_the_quota_goes(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            client = Client(b"203.0.113.9", QUOTA)
            assert [await admit(store, [client], [4]) for _ in range(4)] == [[4], [4], [2], [0]]

    run(main())


def test_looking_costs_nothing(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            client = Client(b"203.0.113.9", QUOTA)
            assert await admit(store, [client] * 20, [0] * 20) == [0] * 20
            assert await admit(store, [client], [10]) == [10]

    run(main())


def test_clients_are_distinguished_by_any_key(backend: Open) -> None:
    keys = ["a", "A", "", " ", "a b", "é", "e\u0301", "\ud800", "\udfff", "a\r\nDEL x\r\n", "{1}", "x" * 5000, "\0"]

    async def main() -> None:
        async with backend() as store:
            for quantity, passes in [(9, 9), (9, 1), (9, 0)]:
                clients = [Client(key.encode("utf-8", "surrogatepass"), QUOTA) for key in keys]
                assert await admit(store, clients, [quantity] * len(keys)) == [passes] * len(keys)

    run(main())


def test_two_rows_of_one_client_are_charged_one_after_the_other(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            rows = [Client(b"203.0.113.9", QUOTA), Client(b"other", QUOTA), Client(b"203.0.113.9", QUOTA)]
            assert await admit(store, rows, [7, 1, 7]) == [7, 1, 3]

    run(main())


def test_each_client_has_its_own_quota(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            clients = [Client(f"c{limit}".encode(), Quota(limit, 6000)) for limit in (1, 5, 50)]
            assert await admit(store, clients, [20] * 3) == [1, 5, 20]

    run(main())


def test_thousands_of_rows_are_answered_in_order(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            clients = [Client(f"c{number}".encode(), Quota(1 + number % 7, 60_000)) for number in range(2500)]
            passed = await admit(store, clients, [9] * 2500)
            assert passed == [1 + number % 7 for number in range(2500)]

    run(main())


def test_an_admission_without_clients_is_answered(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            assert await admit(store, [], []) == []

    run(main())


# Identities


def test_a_new_identity_is_issued_now_and_then_found(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            before = wall_ms()
            first = (await issue(store, IssueRow(ID, TTL)))[0]
            assert first.outcome is Outcome.ISSUED
            assert before <= first.life.generated <= wall_ms()
            assert first.life.ttl == TTL
            # Another TTL in a later request changes nothing while the life lasts.
            assert await issue(store, IssueRow(ID, 1000)) == [(Outcome.FOUND, first.life)]
            assert await find(store, ID) == [first.life]

    run(main())


@pytest.mark.parametrize(("lived", "outcome"), [(0.70, Outcome.FOUND), (0.80, Outcome.RENEWED)])
def test_a_life_is_renewed_in_its_last_quarter(backend: Open, lived: float, outcome: Outcome) -> None:
    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - int(lived * TTL)
            await issue(store, IssueRow(ID, TTL, Mode.ASSERT, old))
            after = (await issue(store, IssueRow(ID, 2 * TTL)))[0]
            assert after.outcome is outcome
            if outcome is Outcome.FOUND:
                assert after.life == (old, old + TTL)
            else:
                assert after.life.ttl == 2 * TTL
                assert abs(after.life.generated - wall_ms()) < NEAR
            assert await find(store, ID) == [after.life]

    run(main())


def test_an_expired_life_stays_readable_and_is_followed_by_a_new_one(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - TTL - EXPIRED_RETENTION // 2
            await issue(store, IssueRow(ID, TTL, Mode.ASSERT, old))
            assert await find(store, ID) == [(old, old + TTL)]
            after = (await issue(store, IssueRow(ID, TTL)))[0]
            assert after.outcome is Outcome.ISSUED
            assert after.life.generated > old + TTL

    run(main())


def test_a_life_is_forgotten_after_its_retention(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - TTL - EXPIRED_RETENTION - 1000
            assert await issue(store, IssueRow(ID, TTL, Mode.ASSERT, old)) == [(Outcome.ISSUED, (old, old + TTL))]
            assert await find(store, ID) == [None]

    run(main())


@pytest.mark.parametrize("lived", [0.1, 0.9])
def test_a_reasserted_life_is_kept_unless_one_is_living(backend: Open, lived: float) -> None:
    """Neither does re-asserting renew: what is living is answered as it is."""

    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - int(lived * TTL)
            life = (old, old + TTL)
            assert await issue(store, IssueRow(ID, TTL, Mode.ASSERT, old)) == [(Outcome.ISSUED, life)]
            assert await issue(store, IssueRow(ID, 2 * TTL, Mode.ASSERT, old + 5)) == [(Outcome.FOUND, life)]
            assert await find(store, ID) == [life]

    run(main())


def test_callers_of_one_tick_see_each_others_rows_in_order(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            answers: list[Answer[Sequence[Issued] | None]] = [Answer() for _ in range(4)]
            for answer in answers:
                store.identities.issue([IssueRow(ID, TTL)], answer)
            issued = [await answer.wait() for answer in answers]
            lives = {rows[0].life for rows in issued if rows}
            assert [rows[0].outcome for rows in issued if rows] == [Outcome.ISSUED] + [Outcome.FOUND] * 3
            assert len(lives) == 1

    run(main())


def test_thousands_of_identities_are_answered_in_order(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            rows = [IssueRow(f"p-{number}@a.example/v1:id", 1000 * (1 + number)) for number in range(1200)]
            issued = await issue(store, *rows)
            assert [each.life.ttl for each in issued] == [row.ttl for row in rows]
            assert await find(store, *(row.id for row in rows)) == [each.life for each in issued]

    run(main())


def test_what_was_never_issued_is_none_whatever_it_is(backend: Open) -> None:
    ids = ["p-2@a.example/v1:id", "", ":id", "*", "../c:203.0.113.9", "\r\n", "\ud800", "é", "x" * 100_000]

    async def main() -> None:
        async with backend() as store:
            await issue(store, IssueRow(ID, TTL))
            await admit(store, [Client(b"203.0.113.9", QUOTA)], [1])
            assert await find(store, *ids) == [None] * len(ids)
            assert await find(store) == []
            assert await issue(store) == []

    run(main())


# Provisional lives


def test_a_provisional_life_is_found_as_provisional_until_it_is_confirmed(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            (first,) = await issue(store, IssueRow(ID, TTL, provisional=True))
            life = first.life
            assert first.outcome is Outcome.ISSUED
            assert await look(store, ID) == [StoreRecord(life, provisional=True)]
            for row in (IssueRow(ID, TTL), IssueRow(ID, TTL, provisional=True), IssueRow(ID, 5, Mode.ASSERT, 9)):
                assert await issue(store, row) == [(Outcome.PROVISIONAL, life)]
            confirm = IssueRow(ID, TTL, Mode.CONFIRM, life.generated)
            store.identities.confirm([])
            store.identities.confirm([confirm, confirm])
            assert await look(store, ID) == [StoreRecord(life)]
            for _ in range(2):
                assert await issue(store, confirm) == [(Outcome.FOUND, life)]
                assert await look(store, ID) == [StoreRecord(life)]
            assert await issue(store, IssueRow(ID, TTL, provisional=True)) == [(Outcome.FOUND, life)]
            assert await look(store, ID) == [StoreRecord(life)]

    run(main())


@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.ASSERT])
def test_what_a_provisional_row_writes_is_provisional(backend: Open, mode: Mode) -> None:
    async def main() -> None:
        async with backend() as store:
            now = wall_ms()
            (first,) = await issue(store, IssueRow(ID, TTL, mode, now, provisional=True))
            assert first.outcome is Outcome.ISSUED
            assert await look(store, ID) == [StoreRecord(first.life, provisional=True)]

    run(main())


@pytest.mark.parametrize("provisional", [False, True])
def test_a_renewed_life_is_as_provisional_as_its_row(backend: Open, provisional: bool) -> None:
    async def main() -> None:
        async with backend() as store:
            await issue(store, IssueRow(ID, TTL, Mode.ASSERT, wall_ms() - int(0.9 * TTL), provisional=not provisional))
            (renewed,) = await issue(store, IssueRow(ID, TTL, provisional=provisional))
            assert renewed.outcome is Outcome.RENEWED
            assert await look(store, ID) == [StoreRecord(renewed.life, provisional=provisional)]

    run(main())


# What the store holds, relative to the life that the ledger confirms: (how much later it began in ms, its TTL,
# provisional), and whether the ledger's life takes its place. Everything began half a TTL ago.
CONFIRMATIONS = {
    "nothing": (None, True),
    "the same life, provisional": ((0, TTL, True), True),
    "an older life": ((-1000, TTL, False), True),
    "an older life, provisional": ((-1000, TTL, True), True),
    "a newer life, provisional": ((1000, TTL, True), True),
    "a newer life that is over": ((1000, 1000, False), True),
    "a life of another length": ((0, TTL + 1, False), True),
    "the same life": ((0, TTL, False), False),
    "a newer life": ((1000, TTL, False), False),
}


@pytest.mark.parametrize(("held", "written"), CONFIRMATIONS.values(), ids=list(CONFIRMATIONS))
def test_what_the_ledger_says_holds_unless_a_newer_and_confirmed_life_is_living(
    backend: Open, held: tuple[int, int, bool] | None, written: bool
) -> None:
    async def main() -> None:
        async with backend() as store:
            begin = wall_ms() - TTL // 2
            ledgers = stays = Life(begin, begin + TTL)
            if held is not None:
                later, ttl, provisional = held
                (row,) = await issue(store, IssueRow(ID, ttl, Mode.ASSERT, begin + later, provisional=provisional))
                stays = row.life
            (confirmed,) = await issue(store, IssueRow(ID, TTL, Mode.CONFIRM, begin))
            assert confirmed.life == (ledgers if written else stays)
            known = held is not None and (not written or stays == ledgers)
            assert confirmed.outcome is (Outcome.FOUND if known else Outcome.ISSUED)
            assert await look(store, ID) == [StoreRecord(confirmed.life)]

    run(main())


# Floors


def test_a_revoked_identity_is_dead_and_issuing_it_again_begins_a_life_after_the_floor(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            (first,) = await issue(store, IssueRow(ID, TTL))
            before = wall_ms()
            revoked = await revoke(store)
            assert revoked == (True, first.life, revoked.floor, False)
            assert max(before, first.life.generated) <= revoked.floor <= wall_ms()
            assert await look(store, ID) == [StoreRecord(first.life, revoked.floor)]
            (second,) = await issue(store, IssueRow(ID, TTL))
            assert second.outcome is Outcome.ISSUED
            assert second.life.generated > revoked.floor
            assert await look(store, ID) == [StoreRecord(second.life, revoked.floor)]
            assert await issue(store, IssueRow(ID, TTL)) == [(Outcome.FOUND, second.life)]
            again = await revoke(store)
            assert again.floor >= second.life.generated
            assert not again.already

    run(main())


def test_a_second_revocation_changes_nothing(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            (first,) = await issue(store, IssueRow(ID, TTL))
            revoked = await revoke(store)
            revision = await revision_of(store)
            assert await revoke(store) == (True, first.life, revoked.floor, True)
            assert await revoke(store, life=first.life) == (True, first.life, revoked.floor, True)
            assert await revision_of(store) == revision
            assert await changes(store, revision) == Changes(revision, [], {})

    run(main())


def test_an_identity_of_which_nothing_is_known_is_not_revoked(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            assert not (await revoke(store)).known
            assert await look(store, ID) == [None]
            assert await revision_of(store) == 0

    run(main())


def test_a_life_that_only_the_caller_knows_is_revoked_and_kept_with_its_floor(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            life = Life(wall_ms() - 1000, wall_ms() + TTL)
            revoked = await revoke(store, life=life)
            assert revoked == (True, life, revoked.floor, False)
            assert await look(store, ID) == [StoreRecord(life, revoked.floor)]
            (after,) = await issue(store, IssueRow(ID, TTL))
            assert (after.outcome, after.life.generated > revoked.floor) == (Outcome.ISSUED, True)

    run(main())


def test_of_two_lives_both_die_and_the_newer_is_kept(backend: Open) -> None:
    """A life that began in the future (the store's clock has stepped back) dies as well."""

    async def main() -> None:
        async with backend() as store:
            now = wall_ms()
            older, newer = Life(now - 1000, now + TTL), Life(now + NEAR, now + NEAR + TTL)
            await issue(store, IssueRow(ID, older.ttl, Mode.ASSERT, older.generated))
            assert await revoke(store, life=newer) == (True, newer, newer.generated, False)
            assert await revoke(store, life=older) == (True, newer, newer.generated, True)
            (after,) = await issue(store, IssueRow(ID, TTL))
            assert after.life.generated == newer.generated + 1
            assert await revoke(store) == (True, after.life, after.life.generated, False)

    run(main())


def test_an_expired_life_can_be_revoked(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - TTL - 1000
            await issue(store, IssueRow(ID, TTL, Mode.ASSERT, old))
            revoked = await revoke(store)
            assert (revoked.known, revoked.life) == (True, (old, old + TTL))
            assert await look(store, ID) == [StoreRecord(revoked.life, revoked.floor)]

    run(main())


@pytest.mark.parametrize("mode", [Mode.ASSERT, Mode.CONFIRM])
def test_no_life_from_before_a_floor_comes_back(backend: Open, mode: Mode) -> None:
    """Neither from a worker that was cut off nor from the ledger; if there is a living one, that is returned."""

    async def main() -> None:
        async with backend() as store:
            (first,) = await issue(store, IssueRow(ID, TTL))
            floor = (await revoke(store)).floor
            row = IssueRow(ID, TTL, mode, first.life.generated)
            assert await issue(store, row) == [(Outcome.REVOKED, first.life)]
            assert await issue(store, IssueRow(ID, TTL, mode, floor)) == [(Outcome.REVOKED, (floor, floor + TTL))]
            assert await look(store, ID) == [StoreRecord(first.life, floor)]
            (second,) = await issue(store, IssueRow(ID, TTL, provisional=True))
            assert await issue(store, row) == [(Outcome.PROVISIONAL, second.life)]
            assert await look(store, ID) == [StoreRecord(second.life, floor, provisional=True)]

    run(main())


@pytest.mark.parametrize("mode", [Mode.ASSERT, Mode.CONFIRM])
def test_a_life_from_after_the_floor_is_kept_with_it(backend: Open, mode: Mode) -> None:
    async def main() -> None:
        async with backend() as store:
            (first,) = await issue(store, IssueRow(ID, TTL))
            floor = (await revoke(store)).floor
            life = Life(floor + 1, floor + 1 + TTL)
            assert await issue(store, IssueRow(ID, TTL, mode, life.generated)) == [(Outcome.ISSUED, life)]
            assert await look(store, ID) == [StoreRecord(life, floor)]
            assert first.life != life

    run(main())


def test_a_provisional_life_stays_dead_when_it_is_confirmed_too_late(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            (first,) = await issue(store, IssueRow(ID, TTL, provisional=True))
            await revoke(store)
            confirm = IssueRow(ID, TTL, Mode.CONFIRM, first.life.generated)
            assert await issue(store, confirm) == [(Outcome.REVOKED, first.life)]

    run(main())


# Epochs


def test_a_life_from_before_the_epoch_is_revoked_for_workers_that_know_the_epoch(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - TTL // 2
            await issue(store, IssueRow(ID, TTL, Mode.ASSERT, old))
            assert await issue(store, IssueRow(ID, TTL, epoch=old)) == [(Outcome.FOUND, (old, old + TTL))]
            epoch = old + 1
            dead = Life(old, old + TTL)
            for mode in (Mode.ASSERT, Mode.CONFIRM):
                assert await issue(store, IssueRow(ID, TTL, mode, old, epoch)) == [(Outcome.REVOKED, dead)]
            (after,) = await issue(store, IssueRow(ID, TTL, epoch=epoch))
            assert after.outcome is Outcome.ISSUED
            assert after.life.generated >= epoch
            assert await issue(store, IssueRow(ID, TTL, epoch=epoch)) == [(Outcome.FOUND, after.life)]

    run(main())


def test_a_new_life_begins_no_earlier_than_its_epoch(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            epoch = wall_ms() + NEAR
            assert await issue(store, IssueRow(ID, TTL, epoch=epoch)) == [(Outcome.ISSUED, (epoch, epoch + TTL))]

    run(main())


def test_an_epoch_of_now_kills_what_was_issued_in_this_very_millisecond(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            for number in range(20):
                identity = f"p-{number}@a.example/v1:id"
                (issued,) = await issue(store, IssueRow(identity, TTL))
                epoch = await set_epoch(store, None)
                assert issued.life.generated < epoch
                (after,) = await issue(store, IssueRow(identity, TTL, epoch=epoch))
                assert (after.outcome, after.life.generated >= epoch) == (Outcome.ISSUED, True)

    run(main())


def test_an_epoch_rises_and_never_falls(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            assert await set_epoch(store, "p", 1000) == 1000
            revision = await revision_of(store)
            assert await set_epoch(store, "p", 999) == 1000
            assert await set_epoch(store, "p", 1000) == 1000
            assert await revision_of(store) == revision
            assert await set_epoch(store, None, 7) == 7
            assert await set_epoch(store, "p\r\n\ud800", 8) == 8
            assert await set_epoch(store, "p", 1001) == 1001
            assert await revision_of(store) == revision + 3
            assert (await changes(store, 0)).epochs == {"p": 1001, "": 7, "p\r\n\ud800": 8}
            before = wall_ms()
            assert before < await set_epoch(store, "p") <= wall_ms() + 1

    run(main())


# What has changed


def test_where_nothing_was_revoked_there_is_no_revision(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            await issue(store, IssueRow(ID, TTL))
            assert await revision_of(store) == 0
            assert await changes(store, 0) == Changes(0, [], {})
            assert await changes(store, 5) == Changes(0, None, {})

    run(main())


def test_a_first_revision_is_none_that_a_store_before_could_have_had(backend: Open) -> None:
    """A worker that has seen any other revision, or none, drops everything."""

    async def main() -> None:
        async with backend() as store:
            before = wall_ms()
            await revoke(store, life=Life(5, 9))
            revision = await revision_of(store)
            assert before <= revision // 1000 <= wall_ms()  # us
            for since in (0, 1, revision - 1, revision + 1):
                assert await changes(store, since) == Changes(revision, None, {})

    run(main())


def test_every_change_counts_one_and_is_returned_from_any_revision(backend: Open) -> None:
    ids = [f"p-{number}@a.example/v1:id" for number in range(5)]
    ids += ["", " ", "p 1 2", "p\r\n\0", "\ud800", "é", "x" * 5000]

    async def main() -> None:
        async with backend() as store:
            await set_epoch(store, None, 7)
            first = await revision_of(store)
            for number, identity in enumerate(ids):
                await revoke(store, identity, Life(5, 9))
                assert await revision_of(store) == first + number + 1
            await set_epoch(store, "q", 8)
            last = first + len(ids) + 1
            for since in range(first, last):
                told = await changes(store, since)
                assert (told.revision, told.epochs) == (last, {"": 7, "q": 8})
                assert told.ids is not None
                assert sorted(told.ids) == sorted(ids[since - first :])
            assert await changes(store, last) == Changes(last, [], {"": 7, "q": 8})

    run(main())


def test_the_log_forgets_the_oldest_and_says_so(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            await revoke(store, ID, Life(5, 9))
            first = await revision_of(store)
            answers: list[Answer[Revoked | None]] = [Answer() for _ in range(LOG_LENGTH + 1)]
            for number, answer in enumerate(answers):
                store.revocations.revoke(f"p-{number}@a.example/v1:id", Life(5, 9), answer)
            for answer in answers:
                assert await answer.wait()
            last = first + LOG_LENGTH + 1
            for since in (0, first - 1, first):
                assert await changes(store, since) == Changes(last, None, {})
            ids = (await changes(store, first + 1)).ids
            assert ids is not None
            assert sorted(ids) == sorted(f"p-{number}@a.example/v1:id" for number in range(1, LOG_LENGTH + 1))

    run(main())


def test_the_revision_travels_with_every_admission_whatever_its_size(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            await set_epoch(store, "p", 7)
            revision = await revision_of(store)
            for count in (1, 1000, 2500):
                answer: Answer[tuple[int, Sequence[int] | None]] = Answer()
                clients = [Client(f"{count} {number}".encode(), QUOTA) for number in range(count)]
                store.limiter.admit(clients, [1] * count, lambda *values, answer=answer: answer(values))
                assert await answer.wait() == (revision, [0] * count)

    run(main())


def test_epochs_are_restored_above_the_revision_that_was_seen(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            seen = (wall_ms() + NEAR) * 1000  # us
            restored = await restore(store, {"p": 7, "": 8, "q": 0}, seen)
            assert restored > seen
            assert await revision_of(store) == restored
            for since in (0, seen, restored - 1):
                assert await changes(store, since) == Changes(restored, None, {"p": 7, "": 8})
            # The same again, and less, is nothing new.
            assert await restore(store, {"p": 6}, seen) == restored
            assert await changes(store, restored) == Changes(restored, [], {"p": 7, "": 8})
            # More is one change, and the log goes on.
            assert await restore(store, {"p": 9}, seen) == restored + 1
            await revoke(store, ID, Life(5, 9))
            assert await changes(store, restored) == Changes(restored + 2, [ID], {"p": 9, "": 8})

    run(main())


# The backend


def test_a_started_backend_is_usable_and_says_so(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            assert store.healthy is True
            assert store.status in {"embedded", "healthy"}
            assert store.on_return is None

    run(main())


def test_all_backends_count_the_same_things(backend: Open) -> None:
    names = {
        *("commands", "rows", "replies", "batches", "timeouts", "connects", "disconnects", "outages"),
        *("failures", "script_loads", "evictions", "round_trips", "round_trip_seconds_sum"),
        *("round_trip_buckets", "memory_used", "memory_limit"),
    }

    async def main() -> None:
        async with backend() as store:
            assert set(store.counters.__slots__) == names
            before = store.counters.commands, store.counters.rows
            await admit(store, [Client(b"a", QUOTA), Client(b"b", QUOTA)], [1, 1])
            await find(store, ID)
            assert (store.counters.commands, store.counters.rows) == (before[0] + 2, before[1] + 3)
            await revoke(store)
            await set_epoch(store, "p")
            await changes(store, 0)
            await restore(store, {}, 0)
            assert (store.counters.commands, store.counters.rows) == (before[0] + 6, before[1] + 4)
            assert store.counters.replies >= 2

    run(main())


# Amendments of service tokens

FOREVER = 10**14
WITHDRAWAL = Amendment(5, 0, FOREVER)


async def amend(backend: Backend, key: str, amendment: Amendment) -> bool:
    answer: Answer[bool | None] = Answer()
    backend.revocations.amend(key, amendment, answer)
    in_force = await answer.wait()
    assert in_force is not None
    return in_force


def test_an_amendment_raises_the_revision_and_only_what_is_new_is_told(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            assert await amend(store, "token:1", Amendment(5, 9, FOREVER))
            first = await revision_of(store)
            assert (await changes(store, 0)).amendments == {"token:1": (5, 9, FOREVER)}
            assert await amend(store, "sub:a", WITHDRAWAL)
            assert await amend(store, "token:1", Amendment(6, 0, FOREVER))
            await revoke(store, life=Life(wall_ms(), wall_ms() + TTL))
            told = await changes(store, first)
            assert told == (first + 3, [ID], {}, {"sub:a": WITHDRAWAL, "token:1": (6, 0, FOREVER)})
            assert await changes(store, first + 2) == (first + 3, [ID], {}, {})

    run(main())


def test_an_amendment_that_does_not_prevail_changes_nothing(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            assert await amend(store, "token:1", WITHDRAWAL)
            revision = await revision_of(store)
            assert await amend(store, "token:1", WITHDRAWAL), "it is in force"
            assert not await amend(store, "token:1", Amendment(6, 9, FOREVER)), "a withdrawal is final"
            assert not await amend(store, "token:2", Amendment(6, 9, 7)), "its token has expired"
            assert await changes(store, revision) == (revision, [], {}, {})

    run(main())


def test_a_store_that_lost_its_memory_gets_amendments_and_epochs_at_once(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            answer: Answer[int | None] = Answer()
            amendments = {f"token:{number}": Amendment(number, 0, FOREVER) for number in range(3000)}
            store.revocations.restore({"p": 7}, amendments, 9, answer)
            revision = await answer.wait()
            assert revision is not None
            for since in (0, 9, revision - 1):
                assert await changes(store, since) == (revision, None, {"p": 7}, amendments)
            again: Answer[int | None] = Answer()
            store.revocations.restore({}, amendments | {"sub:a": WITHDRAWAL}, 0, again)
            assert await again.wait() == revision + 1
            assert await changes(store, revision) == (revision + 1, [], {"p": 7}, {"sub:a": WITHDRAWAL})

    run(main())


def test_a_worker_that_is_further_behind_than_the_log_is_told_all_amendments(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            await amend(store, "token:first", WITHDRAWAL)
            first = await revision_of(store)
            for number in range(LOG_LENGTH + 1):
                await amend(store, f"token:{number}", WITHDRAWAL)
            told = await changes(store, first)
            assert told.ids is None
            assert len(told.amendments) == LOG_LENGTH + 2
            assert len((await changes(store, first + 1)).amendments) == LOG_LENGTH

    run(main(), deadline=60)
