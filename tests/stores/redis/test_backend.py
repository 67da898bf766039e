"""Two workers and one real Redis: exact sharing, and every kind of outage of a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from arsenal_fast.identity.revocation import Changes, Revoked
from arsenal_fast.identity.validity import Issued, IssueRow, Life, Mode, Outcome, StoreRecord
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.gcra import allowed
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.dial import Dialer
from arsenal_fast.stores.redis.url import Place
from tests.support.loops import Answer, run, until
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

QUOTA = Quota(100, 36_000)  # interval 360 s
SHARED = "203.0.113.9"
ID = "player-123456@sports.api.yourbook.com/v1:id"
TIMEOUT = 0.25  # seconds, as in production
SLACK = 0.05  # seconds beyond the timeout that a busy machine may take


@asynccontextmanager
async def backends(url: str, count: int = 1, idle: float = 1.0) -> AsyncIterator[list[RedisBackend]]:
    opened = [RedisBackend(url, timeout=TIMEOUT, jitter=lambda: 0.5, idle=idle) for _ in range(count)]
    for backend in opened:
        await backend.start()
    try:
        yield opened
    finally:
        for backend in opened:
            await backend.close()


def admit(backend: RedisBackend, key: str = SHARED, quantity: int = 1) -> Answer[Sequence[int] | None]:
    answer: Answer[Sequence[int] | None] = Answer()
    backend.limiter.admit([Client(key.encode(), QUOTA)], [quantity], lambda _, backlogs: answer(backlogs))
    return answer


async def passed(answers: Sequence[Answer[Sequence[int] | None]]) -> int:
    """How many of single hits passed; all of them must have been answered."""
    total = 0
    for answer in answers:
        backlogs = await answer.wait()
        assert backlogs is not None
        total += allowed(backlogs[0], 1, QUOTA)
    return total


async def issued(backend: RedisBackend, *rows: IssueRow) -> Sequence[Issued] | None:
    answer: Answer[Sequence[Issued] | None] = Answer()
    backend.identities.issue(rows, answer)
    return await answer.wait()


async def revoked(backend: RedisBackend, identity: str) -> Revoked | None:
    answer: Answer[Revoked | None] = Answer()
    backend.revocations.revoke(identity, None, answer)
    return await answer.wait()


async def epoch_set(backend: RedisBackend, prefix: str | None) -> int | None:
    answer: Answer[int | None] = Answer()
    backend.revocations.set_epoch(prefix, 0, answer)
    return await answer.wait()


async def changes(backend: RedisBackend, since: int) -> Changes:
    answer: Answer[Changes | None] = Answer()
    backend.revocations.changes(since, answer)
    told = await answer.wait()
    assert told is not None
    return told


async def revision_of(backend: RedisBackend) -> int:
    answer: Answer[tuple[int, Sequence[int] | None]] = Answer()
    backend.limiter.admit([], [], lambda *values: answer(values))
    revision, backlogs = await answer.wait()
    assert backlogs == []
    return revision


# Exactness


def test_of_a_thousand_concurrent_hits_over_two_workers_exactly_the_limit_passes(redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(redis.url, 2) as pair:
            assert await passed([admit(pair[number % 2]) for number in range(1000)]) == 100

    run(main())


def test_a_script_flush_in_the_middle_changes_no_count(own_redis: RedisServer) -> None:
    """The flushes come from a connection of their own while commands are in flight on both others."""

    async def main() -> None:
        async with backends(own_redis.url, 2) as pair:
            answers: list[Answer[Sequence[int] | None]] = []
            loads = 0
            for _ in range(20):
                answers += [admit(pair[number % 2]) for number in range(25)]
                flushing = asyncio.to_thread(own_redis.command, "SCRIPT", "FLUSH")
                answers += [admit(pair[number % 2]) for number in range(25)]
                await flushing
                loads = sum(backend.counters.script_loads for backend in pair)
            assert await passed(answers) == 100
            assert loads >= 20
            assert [backend.counters.disconnects for backend in pair] == [0, 0]

    run(main())


def test_of_many_concurrent_first_requests_exactly_one_issues(redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(redis.url, 2) as pair:
            rows = await asyncio.gather(*(issued(pair[number % 2], IssueRow(ID, 3_600_000)) for number in range(200)))
            outcomes = [row[0].outcome for row in rows if row]
            assert sorted(outcomes) == [Outcome.FOUND] * 199 + [Outcome.ISSUED]
            assert len({row[0].life for row in rows if row}) == 1

    run(main())


# What it costs Redis


@pytest.mark.parametrize("key", ["203.0.113.199", "2001:db8:1234:5678::/64", "sub:" + "x" * 36])
def test_a_limiter_cell_takes_at_most_120_bytes(redis: RedisServer, key: str) -> None:
    async def main() -> None:
        async with backends(redis.url) as (backend,):
            await admit(backend, key).wait()

    run(main())
    usage = redis.command("MEMORY", "USAGE", "af:{0}:c:" + key)
    assert isinstance(usage, int)
    assert 0 < usage <= 120


@pytest.mark.parametrize("provisional", [False, True])
def test_an_identity_takes_at_most_200_bytes(redis: RedisServer, provisional: bool) -> None:
    async def main() -> None:
        async with backends(redis.url) as (backend,):
            await issued(backend, IssueRow(ID, 2_592_000_000, provisional=provisional))

    run(main())
    usage = redis.command("MEMORY", "USAGE", "af:{0}:i:" + ID.removesuffix(":id"))
    assert isinstance(usage, int)
    assert 0 < usage <= 200


def test_every_key_expires(redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(redis.url) as (backend,):
            await admit(backend).wait()
            await issued(
                backend,
                IssueRow(ID, 1),
                IssueRow("p-3@a.example/v1:id", 1000),
                IssueRow("p-2@a.example/v1:id", 1000, provisional=True),
            )
            assert await revoked(backend, ID)
            assert await epoch_set(backend, "p")

    run(main())
    keys = redis.command("KEYS", "*")
    assert isinstance(keys, list)
    assert {b"af:{0}:r", b"af:{0}:e", b"af:{0}:l"} < set(keys)
    assert len(keys) >= 7
    for key in keys:
        assert key.startswith(b"af:{0}:")
        # -2: already expired, as the probe at the start, which lasts two ms.
        assert redis.command("PTTL", key) != -1


# Ways in


def test_the_database_and_the_password_of_the_url_are_used() -> None:
    with RedisServer("--requirepass", "hunter2") as server:
        url = f"redis://:hunter2@127.0.0.1:{server.port}/5"

        async def main() -> None:
            async with backends(url) as (backend,):
                assert backend.healthy
                assert await passed([admit(backend)]) == 1

        run(main())
        info = server.command("INFO", "keyspace", password="hunter2")
        assert isinstance(info, bytes)
        assert b"db5:" in info
        assert b"db0:" not in info


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:{}", "redis://:wrong@127.0.0.1:{}", "redis://x:hunter2@127.0.0.1:{}"]
)
def test_without_the_right_password_redis_is_away(url: str) -> None:
    with RedisServer("--requirepass", "hunter2") as server:

        async def main() -> None:
            async with backends(url.format(server.port)) as (backend,):
                await until(lambda: backend.fault != "")  # start() waits no longer than the time-out
                assert not backend.healthy
                assert backend.fault in {
                    "it answers NOAUTH: it wants a password",
                    "it answers WRONGPASS: it refuses the user or the password",
                }
                assert admit(backend).calls == [None]

        run(main())


def test_over_a_unix_socket(redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(f"unix://{redis.unix_path}?db=2") as (backend,):
            assert backend.healthy
            assert await passed([admit(backend)]) == 1

    run(main())


def test_a_name_is_looked_up(redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(f"redis://localhost:{redis.port}") as (backend,):
            await until(lambda: backend.healthy)

    run(main())


def test_of_several_addresses_each_is_tried(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up is a stub with two addresses; no server listens on the first one."""

    async def two_addresses(_dialer: Dialer, _place: Place) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async def main() -> None:
        monkeypatch.setattr(Dialer, "_resolve", two_addresses)
        async with backends(redis.url) as (backend,):
            assert backend.healthy
            assert backend.counters.connects == 1

    run(main())


# Ways out


async def hits_until_back(backend: RedisBackend) -> tuple[float, float]:
    """Hit on and on; (the longest wait for an answer, seconds until one was shared again)."""
    begin = time.monotonic()
    longest = 0.0
    while True:
        before = time.monotonic()
        backlogs = await admit(backend).wait()
        longest = max(longest, time.monotonic() - before)
        if backlogs is not None:
            return longest, time.monotonic() - begin
        await asyncio.sleep(0)


def test_a_killed_redis_is_noticed_at_once_and_used_again_within_a_second(own_redis: RedisServer) -> None:
    returns: list[float] = []

    async def main() -> None:
        async with backends(own_redis.url) as (backend,):
            backend.on_return = lambda: returns.append(time.monotonic())
            assert await passed([admit(backend) for _ in range(100)]) == 100
            own_redis.kill()
            answer = admit(backend)
            before = time.monotonic()
            assert await answer.wait() is None
            assert time.monotonic() - before < SLACK
            assert backend.status == "unavailable"
            assert admit(backend).calls == [None]
            own_redis.start()
            longest, seconds = await hits_until_back(backend)
            assert longest < TIMEOUT + SLACK
            assert seconds < 1
            assert len(returns) == 1
            # It came back empty, and without our scripts.
            assert await passed([admit(backend) for _ in range(200)]) == 99

    run(main())


def test_a_redis_that_comes_later_is_used_within_a_second(own_redis: RedisServer) -> None:
    returns: list[None] = []

    async def main() -> None:
        own_redis.kill()
        async with backends(own_redis.url) as (backend,):
            backend.on_return = lambda: returns.append(None)
            assert not backend.healthy
            own_redis.start()
            _, seconds = await hits_until_back(backend)
            assert seconds < 1
            assert returns == [None]

    run(main())


def test_a_redis_that_hangs_keeps_nobody_longer_than_the_timeout(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(own_redis.url) as (backend,):
            own_redis.pause()
            waits: list[float] = []

            async def hit() -> None:
                before = time.monotonic()
                assert await admit(backend).wait() is None
                waits.append(time.monotonic() - before)

            async with asyncio.TaskGroup() as group:
                for _ in range(300):
                    group.create_task(hit())
                    await asyncio.sleep(0.001)
            assert max(waits) < TIMEOUT + SLACK
            assert backend.counters.timeouts == 1
            assert not backend.healthy
            own_redis.resume()
            _, seconds = await hits_until_back(backend)
            assert seconds < 1

    run(main())


def test_a_redis_that_hangs_while_nobody_asks_is_noticed(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(own_redis.url, idle=0.05) as (backend,):
            own_redis.pause()
            await until(lambda: not backend.healthy)
            own_redis.resume()
            await until(lambda: backend.healthy)

    run(main())


def test_no_answer_ever_belongs_to_another_question(own_redis: RedisServer) -> None:
    """Each identity has a life of its own; through hangs and returns every answer is right or None."""
    ids = [f"p-{number}@a.example/v1:id" for number in range(500)]

    async def main() -> None:
        async with backends(own_redis.url) as (backend,):
            now = time.time_ns() // 1_000_000
            rows = [
                IssueRow(identity, 3_600_000 + number, Mode.ASSERT, now - number) for number, identity in enumerate(ids)
            ]
            assert await issued(backend, *rows)
            answered = missed = 0

            def check(number: int) -> Callable[[Sequence[StoreRecord | None] | None], None]:
                def done(lives: Sequence[StoreRecord | None] | None) -> None:
                    nonlocal answered, missed
                    if lives is None:
                        missed += 1
                    else:
                        assert lives == [StoreRecord(Life(now - number, now + 3_600_000))]
                        answered += 1

                return done

            for turn in range(3):
                asked = 0
                own_redis.pause()
                while backend.healthy or asked < 100:
                    backend.identities.find([ids[asked % 500]], check(asked % 500))
                    asked += 1
                    await asyncio.sleep(0.001)
                own_redis.resume()
                await until(lambda: backend.healthy)
                for number in range(500):
                    backend.identities.find([ids[number]], check(number))
                    if number % 50 == 0:
                        await asyncio.sleep(0)
                await until(lambda turn=turn: answered == 500 * (turn + 1))  # type: ignore[misc]
            assert missed >= 300

    run(main())


@pytest.mark.parametrize(
    ("code", "sicken", "heal"),
    [
        ("READONLY", ["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
        ("OOM", ["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
        (
            "NOREPLICAS",
            ["CONFIG", "SET", "min-replicas-to-write", "1"],
            ["CONFIG", "SET", "min-replicas-to-write", "0"],
        ),
    ],
)
def test_a_redis_that_takes_no_writes_is_away_until_it_does(
    own_redis: RedisServer, code: str, sicken: list[str], heal: list[str]
) -> None:
    async def main() -> None:
        async with backends(own_redis.url) as (backend,):
            assert await passed([admit(backend)]) == 1
            own_redis.command(*sicken)
            assert await admit(backend).wait() is None
            assert backend.fault.startswith(f"it answers {code}")
            # It accepts connections all the time, and must not be declared back for that.
            begin = time.monotonic()
            while time.monotonic() - begin < 0.3:
                assert not backend.healthy
                await asyncio.sleep(0)
            own_redis.command(*heal)
            _, seconds = await hits_until_back(backend)
            assert seconds < 1

    run(main())


def test_cells_and_records_of_another_type_are_repaired(redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(redis.url) as (backend,):
            redis.command("LPUSH", "af:{0}:c:" + SHARED, "a list")
            redis.command("HSET", "af:{0}:i:" + ID.removesuffix(":id"), "a", "hash")
            assert await passed([admit(backend) for _ in range(150)]) == 100
            answer: Answer[Sequence[StoreRecord | None] | None] = Answer()
            backend.identities.find([ID], answer)
            assert await answer.wait() == [None]
            rows = await issued(backend, IssueRow(ID, 1000))
            assert rows is not None
            assert rows[0].outcome is Outcome.ISSUED

    run(main())


def test_a_redis_that_lost_its_memory_begins_no_revision_that_anybody_has_seen(redis: RedisServer) -> None:
    """Two workers: what one of them restores to Redis makes the other drop its cache, and no revoked life returns."""

    async def main() -> None:
        async with backends(redis.url, 2) as (one, other):
            await issued(one, IssueRow(ID, 1000))
            await epoch_set(one, "p")
            assert await revoked(one, ID)
            seen = await revision_of(one)
            redis.flush()
            assert await revision_of(other) == 0
            assert await changes(other, seen) == (0, None, {})
            answer: Answer[int | None] = Answer()
            one.revocations.restore_epochs({"p": 7, "": 8}, seen, answer)
            restored = await answer.wait()
            assert restored is not None
            assert restored > seen
            assert await revision_of(other) == restored
            for known in (0, seen - 1, seen, restored - 1):
                assert await changes(other, known) == (restored, None, {"p": 7, "": 8})
            # A second worker with the same epochs adds nothing.
            again: Answer[int | None] = Answer()
            other.revocations.restore_epochs({"p": 6, "": 8}, seen, again)
            assert await again.wait() == restored
            # Without epochs: the revision still rises above all.
            redis.flush()
            await issued(one, IssueRow(ID, 1000))
            assert await revoked(one, ID)
            assert await revision_of(one) > seen
            assert (await changes(other, seen)).ids is None

    run(main())


def test_too_many_connections_are_an_outage_and_pass(own_redis: RedisServer) -> None:
    async def main() -> None:
        async with backends(own_redis.url) as (first,):
            own_redis.command("CONFIG", "SET", "maxclients", "1")
            async with backends(own_redis.url) as (second,):
                assert not second.healthy
                # Redis closes with our bytes unread, so a reset may overtake its error.
                assert second.fault in {"it answers max number of clients", "the connection is lost"}
                await first.close()  # leaves its place to the other
                await until(lambda: second.healthy)

    run(main())


def test_waiting_for_redis_costs_next_to_nothing(redis: RedisServer) -> None:
    """A second of silence on a usable connection, with twenty times the usual pings: under 2 % of a core."""

    async def main() -> None:
        async with backends(redis.url, idle=0.05):
            before = time.process_time()
            await asyncio.sleep(1)  # idleness is what is measured
            assert time.process_time() - before <= 0.02

    run(main())
