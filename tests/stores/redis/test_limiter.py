"""An admission over Redis: one command, the revision, and chunks for many rows."""

from collections.abc import Sequence

from arsenal_fast.ratelimit.client import Cell, Client, PlannedClient
from arsenal_fast.ratelimit.headers import Plan
from arsenal_fast.ratelimit.quota import UNLIMITED, Quota
from arsenal_fast.stores.redis.limiter import packed_rows
from arsenal_fast.stores.redis.resp import bulk
from tests.support.fake_redis import Command, FakeRedis
from tests.support.loops import Answer, run, until
from tests.support.redis_backend import CLIENTS, admit, connected


def test_one_admission_is_one_command() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            assert await admit(backend).wait() == [0, 0]
            command = fake.commands[0]
            assert len(fake.commands) == 1
            assert command[0] == b"EVALSHA"
            assert command[2:6] == [b"3", b"af:{0}:r", b"af:{0}:c:203.0.113.9", b"af:{0}:c:203.0.113.10"]
            assert command[6:] == [b"1000000", b"10000000", b""]

    run(main())


def test_rows_that_are_not_one_hit_under_the_quota_of_the_first_are_packed_one_by_one() -> None:
    other = Client(b"sub:x", Quota(5, 10))

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            answer: Answer[Sequence[int] | None] = Answer()
            backend.limiter.admit([*CLIENTS, other], [1, 3, 1], lambda _, backlogs: answer(backlogs))
            assert await answer.wait() == [0, 0, 0]
            assert fake.commands[-1][7:] == [
                b"1000000",
                b"10000000",
                b"3 3 1000000 10000000 0 1 4 1 2000000 10000000 0 1",
            ]

    run(main())


def test_a_client_with_a_plan_says_how_many_rows_are_linked_and_must_have_room() -> None:
    hour, burst, shadow = Quota(100, 3600, "hour"), Quota(20, 10, "burst", cost=3), Quota(1, 10, "shadow")
    cells = [Cell(b"192.0.2.1", b"192.0.2.1<" + quota.policy.encode(), quota) for quota in (hour, burst, shadow)]
    client = PlannedClient(Client(b"192.0.2.1", UNLIMITED), cells, Plan((hour, burst), (shadow,)))
    packed = packed_rows([client, *client.also], [2, 0, 0])
    assert packed[2:5] == [bulk(b"af:{0}:c:192.0.2.1<" + name) for name in (b"hour", b"burst", b"shadow")]
    rows = [b"2 2 36000000 3600000000 2 2", b"3 0 1500000 10000000 0 1", b"4 0 10000000 10000000 0 1"]
    assert packed[-1] == bulk(b" ".join(rows))


def test_an_admission_brings_the_revision_home() -> None:
    answers: list[tuple[int, Sequence[int] | None]] = []

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"*3\r\n:9\r\n:7\r\n:8\r\n"
            backend.limiter.admit(CLIENTS, [1, 1], lambda *answer: answers.append(answer))
            await until(lambda: len(answers) == 1)
            fake.answer = lambda command: b"-ERR no\r\n"
            backend.limiter.admit(CLIENTS, [1, 1], lambda *answer: answers.append(answer))
            await until(lambda: len(answers) == 2)
            fake.answer = lambda command: b"*1\r\n:10\r\n"
            backend.limiter.admit([], [], lambda *answer: answers.append(answer))
            await until(lambda: len(answers) == 3)
            assert fake.commands[-1][2:4] == [b"1", b"af:{0}:r"]

    run(main())
    assert answers == [(9, [7, 8]), (0, None), (10, [])]


def test_of_an_admission_in_pieces_the_revision_is_that_of_the_last_one() -> None:
    answers: list[tuple[int, Sequence[int] | None]] = []

    def counting(command: Command) -> bytes | None:
        keys = int(command[2])
        return b"*%d\r\n:%d\r\n%b" % (keys, keys, b":0\r\n" * (keys - 1))

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = counting
            backend.limiter.admit(CLIENTS * 600, [1] * 1200, lambda *answer: answers.append(answer))
            await until(lambda: len(answers) == 1)

    run(main())
    assert answers == [(201, [0] * 1200)]
