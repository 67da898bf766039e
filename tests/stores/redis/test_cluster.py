"""All shards together, over a real cluster: the ports, and what of a revocation each shard gets."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arsenal_fast.identity.amendments import WITHDRAWN, Amendment
from arsenal_fast.identity.revocation import Changes, Revoked
from arsenal_fast.identity.validity import IssueRow, Life, Mode, Outcome, StoreRecord
from arsenal_fast.stores.redis.cluster import ClusterBackend
from arsenal_fast.stores.redis.url import SHARDS
from tests.support.loops import Answer, run, until
from tests.support.redis_cluster import RedisCluster

pytestmark = pytest.mark.integration

TTL = 3_600_000
IDS = [f"player-{number}@a.example/v1:id" for number in range(60)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(replicas=False) as started:
        yield started


@pytest.fixture
def empty(cluster: RedisCluster) -> RedisCluster:
    for server in cluster.masters:
        server.flush()
    return cluster


@asynccontextmanager
async def started(cluster: RedisCluster, query: str = "") -> AsyncIterator[ClusterBackend]:
    backend = ClusterBackend(cluster.url + query, timeout=5, jitter=lambda: 0.5)
    await backend.start()
    assert backend.healthy, backend.fault
    try:
        yield backend
    finally:
        await backend.close()


async def ask(call: Callable[..., None], *arguments: object) -> Any:
    answer: Answer[Any] = Answer()
    call(*arguments, answer)
    return await answer.wait()


async def revisions(backend: ClusterBackend) -> list[int]:
    """Of each shard, as an admission has it."""
    found = []
    for shard in backend.shards:
        answer: Answer[tuple[int, Sequence[int] | None]] = Answer()
        shard.limiter.admit([], [], lambda *values, answer=answer: answer(values))
        found.append((await answer.wait())[0])
    return found


async def changes(backend: ClusterBackend, since: Sequence[int]) -> list[Changes]:
    return [
        await ask(shard.revocations.changes, revision) for shard, revision in zip(backend.shards, since, strict=True)
    ]


def test_rows_of_all_shards_are_answered_in_their_order(empty: RedisCluster) -> None:
    async def main() -> None:
        async with started(empty) as backend:
            assert await ask(backend.identities.issue, []) == []
            assert await ask(backend.identities.find, []) == []
            issued = await ask(backend.identities.issue, [IssueRow(each, TTL, provisional=True) for each in IDS])
            assert {each.outcome for each in issued} == {Outcome.ISSUED}
            begun = [(each, answer.life.generated) for each, answer in zip(IDS, issued, strict=True)]
            backend.identities.confirm([IssueRow(each, TTL, Mode.CONFIRM, generated) for each, generated in begun])
            found = await ask(backend.identities.find, [*IDS, "nobody-1@a.example/v1:id"])
            assert found == [*(StoreRecord(each.life) for each in issued), None]
            for server in empty.masters:
                size = server.command("DBSIZE")
                assert isinstance(size, int)
                assert size > 5

    run(main())


def test_a_revocation_is_counted_by_every_shard_and_listed_from_the_second_on(empty: RedisCluster) -> None:
    async def main() -> None:
        async with started(empty) as backend:
            await ask(backend.identities.issue, [IssueRow(each, TTL) for each in IDS])
            before = await revisions(backend)
            first: Revoked = await ask(backend.revocations.revoke, IDS[0], None)
            assert (first.known, first.already) == (True, False)
            between = await revisions(backend)
            assert all(was < now for was, now in zip(before, between, strict=True))
            await ask(backend.revocations.revoke, IDS[1], None)
            assert [each.ids for each in await changes(backend, between)] == [[IDS[1]]] * SHARDS
            (record,) = await ask(backend.identities.find, [IDS[0]])
            assert record.floor == first.floor
            after = await revisions(backend)
            again: Revoked = await ask(backend.revocations.revoke, IDS[0], None)
            assert again.already
            assert [each.ids for each in await changes(backend, after)] == [[IDS[0]]] * SHARDS, "the first may be lost"
            assert await ask(backend.revocations.revoke, "nobody-2@a.example/v1:id", None) == Revoked(
                False, Life(0, 0), 0, False
            )

    run(main())


def test_an_epoch_is_the_same_in_every_shard_whatever_their_clocks(empty: RedisCluster) -> None:
    async def main() -> None:
        async with started(empty) as backend:
            ahead = await ask(backend.shards[2].revocations.set_epoch, "player", 4_000_000_000_000)
            epoch = await ask(backend.revocations.set_epoch, "player", 0)
            assert epoch == ahead
            assert {each.epochs["player"] for each in await changes(backend, [0] * SHARDS)} == {epoch}

    run(main())


def test_an_amendment_is_in_every_shard_and_a_withdrawal_is_final(empty: RedisCluster) -> None:
    withdrawal = Amendment(5, WITHDRAWN, 4_000_000_000_000)

    async def main() -> None:
        async with started(empty) as backend:
            assert await ask(backend.revocations.amend, "sub:shop", withdrawal) is True
            between = await revisions(backend)
            assert await ask(backend.revocations.amend, "token:a", withdrawal) is True
            told = await changes(backend, between)
            assert [each.amendments for each in told] == [{"token:a": withdrawal}] * SHARDS
            assert [each.ids for each in told] == [[]] * SHARDS
            limit = Amendment(6, 10, 4_000_000_000_000)
            assert await ask(backend.revocations.amend, "token:a", limit) is False
            (first, *_) = await changes(backend, [0] * SHARDS)
            assert first.amendments == {"sub:shop": withdrawal, "token:a": withdrawal}

    run(main())


def test_an_amendment_that_a_shard_did_not_hear_of_has_no_answer_and_is_looked_for_when_it_is_back(
    empty: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdrawal = Amendment(5, WITHDRAWN, 4_000_000_000_000)

    async def main() -> None:
        async with started(empty) as backend:
            assert await ask(backend.revocations.amend, "sub:shop", withdrawal) is True
            before = await revisions(backend)
            deaf = backend.shards[2]
            send = deaf.send
            monkeypatch.setattr(deaf, "send", lambda command, on_reply, deadline=None: on_reply(None))
            assert await ask(backend.revocations.amend, "token:a", withdrawal) is None
            monkeypatch.setattr(deaf, "send", send)
            backend.revocations.returned([2])
            while (await revisions(backend))[2] == before[2]:
                pass
            (*_, last) = await changes(backend, before)
            assert (last.ids, last.amendments) == (None, {"sub:shop": withdrawal}), "workers write what it lacks"

    run(main())


def test_nothing_is_revoked_while_a_shard_is_away(empty: RedisCluster) -> None:
    async def main() -> None:
        async with started(empty) as backend:
            await ask(backend.identities.issue, [IssueRow(IDS[0], TTL)])
            away = backend.shards[(backend.shard_of_identity(IDS[0]) + 1) % SHARDS]
            away.healthy = False
            assert await ask(backend.revocations.revoke, IDS[0], None) is None
            assert await ask(backend.revocations.set_epoch, None, 0) is None
            assert await ask(backend.revocations.amend, "token:a", Amendment(5, 0, 4_000_000_000_000)) is None
            (record,) = await ask(backend.identities.find, [IDS[0]])
            assert record.floor == 0

    run(main())


def test_a_shard_that_did_not_hear_of_a_revocation_makes_all_workers_drop_their_caches_when_it_is_back(
    empty: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with started(empty) as backend, started(empty) as another:
            await ask(backend.identities.issue, [IssueRow(IDS[0], TTL)])
            await ask(backend.revocations.revoke, IDS[0], None)
            before = await revisions(another)
            deaf = backend.shards[2]
            send = deaf.send
            monkeypatch.setattr(deaf, "send", lambda command, on_reply, deadline=None: on_reply(None))
            assert await ask(backend.revocations.revoke, IDS[0], None) is None
            monkeypatch.setattr(deaf, "send", send)
            assert (await revisions(another))[2] == before[2]
            backend.revocations.returned([1, 2])
            while (await revisions(another))[2] == before[2]:
                pass
            assert (await changes(another, before))[2].ids is None, "not known: everything may be revoked"

    run(main())


def test_memory_is_counted_once_for_each_node(empty: RedisCluster) -> None:
    async def main() -> None:
        async with started(empty) as backend:
            for server in empty.masters:
                server.command("CONFIG", "SET", "maxmemory", str(100 * 2**20))
            backend.info.poll()
            await until(lambda: backend.counters.memory_limit > 0)
            assert backend.counters.memory_limit == 3 * 100 * 2**20
            assert backend.counters.memory_used > 3 * 2**20
            assert backend.counters.evictions == 0

    run(main())


def test_what_is_no_cluster_says_so() -> None:
    async def main() -> None:
        backend = ClusterBackend("redis+cluster://127.0.0.1:1", jitter=lambda: 0.5)
        await backend.start()
        assert backend.status == "unavailable"
        assert backend.fault == "shards 0, 1, 2 of 3: it refuses connections: nothing listens there"
        await backend.close()

    run(main())


def test_the_url_says_how_many_shards_there_are(empty: RedisCluster) -> None:
    async def main() -> None:
        async with started(empty, "?shards=6") as backend:
            assert len(backend.shards) == 6
            assert {backend.shard_of_identity(each) for each in IDS} == set(range(6))
            issued = await ask(backend.identities.issue, [IssueRow(each, TTL) for each in IDS])
            assert {each.outcome for each in issued} == {Outcome.ISSUED}
            assert [len(empty.shards_of(server, 6)) for server in empty.masters] == [2, 2, 2]
            assert [shard.node and shard.node.shards for shard in backend.shards] == [2] * 6
            revoked = await ask(backend.revocations.revoke, IDS[0], None)
            assert revoked.known
            assert len(await revisions(backend)) == 6
            assert 0 not in await revisions(backend)

    run(main())
