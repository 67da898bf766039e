"""What every backend promises to the service: one suite, passed by the memory and by a real Redis.

Real clocks on both sides. Lives are put into the past by re-asserting them, quotas have intervals of seconds,
so that no test needs to wait and none depends on how long it takes.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from arsenal_fast.identity.life import EXPIRED_RETENTION, Issued, IssueRow, Life, Outcome
from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.gcra import allowed
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.memory import MemoryBackend
from arsenal_fast.redis.backend import RedisBackend
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
    answer: Answer[Sequence[int] | None] = Answer()
    backend.limiter.admit(clients, quantities, answer)
    backlogs = await answer.wait()
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


async def find(backend: Backend, *ids: str) -> Sequence[Life | None]:
    answer: Answer[Sequence[Life | None] | None] = Answer()
    backend.identities.find(ids, answer)
    lives = await answer.wait()
    assert lives is not None
    return lives


# The limiter


def test_a_client_has_its_quota_and_no_more(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            client = Client("203.0.113.9", QUOTA)
            passed = [await admit(store, [client], [1]) for _ in range(12)]
            assert passed == [[1]] * 10 + [[0]] * 2

    run(main())


def test_several_hits_in_a_row_pass_as_far_as_the_quota_goes(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            client = Client("203.0.113.9", QUOTA)
            assert [await admit(store, [client], [4]) for _ in range(4)] == [[4], [4], [2], [0]]

    run(main())


def test_looking_costs_nothing(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            client = Client("203.0.113.9", QUOTA)
            assert await admit(store, [client] * 20, [0] * 20) == [0] * 20
            assert await admit(store, [client], [10]) == [10]

    run(main())


def test_clients_are_told_apart_whatever_their_key(backend: Open) -> None:
    keys = ["a", "A", "", " ", "a b", "é", "e\u0301", "\ud800", "\udfff", "a\r\nDEL x\r\n", "{1}", "x" * 5000, "\0"]

    async def main() -> None:
        async with backend() as store:
            for quantity, passes in [(9, 9), (9, 1), (9, 0)]:
                clients = [Client(key, QUOTA) for key in keys]
                assert await admit(store, clients, [quantity] * len(keys)) == [passes] * len(keys)

    run(main())


def test_two_rows_of_one_client_are_charged_one_after_the_other(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            rows = [Client("203.0.113.9", QUOTA), Client("other", QUOTA), Client("203.0.113.9", QUOTA)]
            assert await admit(store, rows, [7, 1, 7]) == [7, 1, 3]

    run(main())


def test_each_client_has_its_own_quota(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            clients = [Client(f"c{limit}", Quota(limit, 6000)) for limit in (1, 5, 50)]
            assert await admit(store, clients, [20] * 3) == [1, 5, 20]

    run(main())


def test_thousands_of_rows_are_answered_in_order(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            clients = [Client(f"c{number}", Quota(1 + number % 7, 60_000)) for number in range(2500)]
            passed = await admit(store, clients, [9] * 2500)
            assert passed == [1 + number % 7 for number in range(2500)]

    run(main())


def test_an_admission_of_nobody_is_answered(backend: Open) -> None:
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
            await issue(store, IssueRow(ID, TTL, generated=old))
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
            await issue(store, IssueRow(ID, TTL, generated=old))
            assert await find(store, ID) == [(old, old + TTL)]
            after = (await issue(store, IssueRow(ID, TTL)))[0]
            assert after.outcome is Outcome.ISSUED
            assert after.life.generated > old + TTL

    run(main())


def test_a_life_is_forgotten_after_its_retention(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - TTL - EXPIRED_RETENTION - 1000
            assert await issue(store, IssueRow(ID, TTL, generated=old)) == [(Outcome.ISSUED, (old, old + TTL))]
            assert await find(store, ID) == [None]

    run(main())


def test_a_fresh_identity_is_issued_once(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            first = (await issue(store, IssueRow(ID, TTL, fresh=True)))[0]
            assert first.outcome is Outcome.ISSUED
            assert await issue(store, IssueRow(ID, 1000, fresh=True)) == [(Outcome.TAKEN, first.life)]
            assert await find(store, ID) == [first.life]

    run(main())


def test_an_identity_that_has_lived_is_not_fresh(backend: Open) -> None:
    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - TTL - 1000
            await issue(store, IssueRow(ID, TTL, generated=old))
            assert await issue(store, IssueRow(ID, TTL, fresh=True)) == [(Outcome.TAKEN, (old, old + TTL))]

    run(main())


@pytest.mark.parametrize("lived", [0.1, 0.9])
def test_a_reasserted_life_is_kept_unless_one_is_living(backend: Open, lived: float) -> None:
    """Neither does re-asserting renew: what is living is answered as it is."""

    async def main() -> None:
        async with backend() as store:
            old = wall_ms() - int(lived * TTL)
            life = (old, old + TTL)
            assert await issue(store, IssueRow(ID, TTL, generated=old)) == [(Outcome.ISSUED, life)]
            assert await issue(store, IssueRow(ID, 2 * TTL, generated=old + 5)) == [(Outcome.FOUND, life)]
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
            await admit(store, [Client("203.0.113.9", QUOTA)], [1])
            assert await find(store, *ids) == [None] * len(ids)
            assert await find(store) == []
            assert await issue(store) == []

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
        "round_trip_buckets",
    }

    async def main() -> None:
        async with backend() as store:
            assert set(store.counters.__slots__) == names
            before = store.counters.commands, store.counters.rows
            await admit(store, [Client("a", QUOTA), Client("b", QUOTA)], [1, 1])
            await find(store, ID)
            assert (store.counters.commands, store.counters.rows) == (before[0] + 2, before[1] + 3)
            assert store.counters.replies >= 2

    run(main())
