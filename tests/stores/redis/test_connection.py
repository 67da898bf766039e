"""The connection's promises, against a fake Redis that misbehaves as a real one can't be made to."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from arsenal_fast.identity.revocation import UNKNOWN, Changes, Revoked
from arsenal_fast.identity.validity import Issued, IssueRow, Life, StoreRecord
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.connection import MAX_DELAY
from tests.support.fake_redis import HANG_UP, Command, FakeRedis, ordinary
from tests.support.loops import Answer, run, until

TIMEOUT = 0.05  # seconds
QUOTA = Quota(10, 10)
CLIENTS = [Client(b"203.0.113.9", QUOTA), Client(b"203.0.113.10", QUOTA)]
ID = "player-1@a.example/v1:id"


@asynccontextmanager
async def connected(fake: FakeRedis, url: str = "", seconds: float = TIMEOUT) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(url or fake.url, timeout=seconds, jitter=lambda: 0.0, idle=60)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


def admit(backend: RedisBackend) -> Answer[Sequence[int] | None]:
    answer: Answer[Sequence[int] | None] = Answer()
    backend.limiter.admit(CLIENTS, [1, 1], lambda _, backlogs: answer(backlogs))
    return answer


def issue(backend: RedisBackend) -> Answer[Sequence[Issued] | None]:
    answer: Answer[Sequence[Issued] | None] = Answer()
    backend.identities.issue([IssueRow(ID, 1000)], answer)
    return answer


def find(backend: RedisBackend, *ids: str) -> Answer[Sequence[StoreRecord | None] | None]:
    answer: Answer[Sequence[StoreRecord | None] | None] = Answer()
    backend.identities.find(ids, answer)
    return answer


def silent(command: Command) -> None:
    """Hears, and says nothing."""


def test_the_opening_ends_with_a_write_and_then_redis_is_healthy() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            url = fake.url.replace("redis://", "redis://me:hunter2@") + "/3"
            async with connected(fake, url) as backend:
                assert (backend.healthy, backend.status) == (True, "healthy")
                assert fake.names() == [b"AUTH", b"SELECT", *[b"SCRIPT"] * 6, b"EVALSHA"]
                assert fake.commands[0] == [b"AUTH", b"me", b"hunter2"]
                assert fake.commands[1] == [b"SELECT", b"3"]
                assert fake.commands[-1][3:] == [b"af:{0}:r", b"af:{0}:probe", b"1", b"1000000", b""]

    run(main())


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


def test_rows_that_are_not_one_hit_under_the_quota_of_the_first_are_told_one_by_one() -> None:
    other = Client(b"sub:x", Quota(5, 10))

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            answer: Answer[Sequence[int] | None] = Answer()
            backend.limiter.admit([*CLIENTS, other], [1, 3, 1], lambda _, backlogs: answer(backlogs))
            assert await answer.wait() == [0, 0, 0]
            assert fake.commands[-1][7:] == [b"1000000", b"10000000", b"3 3 1000000 10000000 4 1 2000000 10000000"]

    run(main())


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


def test_what_is_asked_in_one_call_and_what_is_looked_up_in_one_tick_leave_as_one_command() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            issues = [issue(backend)]
            finds = [find(backend, "p-1@a/v1:id"), find(backend, "p-2@a/v1:id", "p-3@a/v1:id")]
            assert [await answer.wait() for answer in issues] == [[(0, (0, 0))]]
            assert [await answer.wait() for answer in finds] == [[None], [None, None]]
            assert fake.names() == [b"EVALSHA", b"MGET"]
            assert fake.commands[1][1:] == [b"af:{0}:i:p-%d@a/v1" % number for number in (1, 2, 3)]

    run(main())


def test_without_a_connection_callers_are_told_at_once() -> None:
    async def main() -> None:
        async with FakeRedis(lambda command: HANG_UP) as fake, connected(fake) as backend:
            assert (backend.healthy, backend.status) == (False, "unavailable")
            assert admit(backend).calls == [None]
            assert issue(backend).calls == [None]
            assert find(backend, ID).calls == [None]
            assert backend.counters.commands == 0

    run(main())


def test_start_does_not_wait_for_a_redis_that_is_silent() -> None:
    async def main() -> None:
        async with FakeRedis(silent) as fake:
            before = time.monotonic()
            async with connected(fake) as backend:
                assert time.monotonic() - before < TIMEOUT + 0.2
                assert not backend.healthy

    run(main())


def test_a_redis_that_is_loading_is_not_declared_back_until_it_takes_a_write() -> None:
    returns = []

    def loading(command: Command) -> bytes | None:
        return b"-LOADING Redis is loading\r\n" if command[0] == b"EVALSHA" else ordinary(command)

    async def main() -> None:
        async with FakeRedis(loading) as fake, connected(fake) as backend:
            backend.on_return = lambda: returns.append(backend.healthy)
            await until(lambda: fake.accepted >= 3)
            assert not backend.healthy
            assert "LOADING" in backend.fault
            fake.answer = ordinary
            await until(lambda: backend.healthy)
            assert returns == [True]
            assert backend.fault == ""
            assert await admit(backend).wait() == [0, 0]

    run(main())


def test_the_first_connect_is_no_return() -> None:
    returns: list[None] = []

    async def main() -> None:
        async with FakeRedis() as fake:
            backend = RedisBackend(fake.url, timeout=TIMEOUT, jitter=lambda: 0.0)
            backend.on_return = lambda: returns.append(None)
            await backend.start()
            assert backend.healthy
            assert returns == []
            fake.hang_up()
            await until(lambda: len(returns) == 1)
            assert backend.healthy
            await backend.close()

    run(main())


@pytest.mark.parametrize("code", ["LOADING", "READONLY", "MASTERDOWN", "OOM", "CLUSTERDOWN", "NOAUTH", "BUSY"])
def test_an_outage_is_told_as_none_and_ends_the_connection(code: str) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"-%b sorry\r\n" % code.encode()
            answers = [admit(backend), admit(backend)]
            assert [await answer.wait() for answer in answers] == [None, None]
            assert not backend.healthy
            assert backend.fault.startswith(f"it answers {code}")
            fake.answer = ordinary
            await until(lambda: backend.healthy)
            assert fake.accepted >= 2

    run(main())


def test_a_command_without_reply_ends_the_connection_for_all_within_the_timeout() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = silent
            before = time.monotonic()
            answers = [admit(backend), admit(backend)]
            one, other = issue(backend), find(backend, ID)
            assert [await answer.wait() for answer in answers] == [None, None]
            assert (await one.wait(), await other.wait()) == (None, None)
            assert TIMEOUT * 0.9 < time.monotonic() - before < TIMEOUT + 0.2
            assert backend.counters.timeouts == 1
            assert admit(backend).calls == [None]

    run(main())


def test_a_reply_that_nothing_asked_for_is_given_to_nobody() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"*3\r\n:0\r\n:1\r\n:2\r\n*3\r\n:0\r\n:3\r\n:4\r\n"
            assert await admit(backend).wait() == [1, 2]
            fake.answer = ordinary
            await until(lambda: fake.accepted == 2 and backend.healthy)
            assert await admit(backend).wait() == [0, 0]

    run(main())


@pytest.mark.parametrize(
    "reply",
    [
        b"*2\r\n:0\r\n:0\r\n",
        b"*4\r\n:0\r\n:0\r\n:0\r\n:0\r\n",
        b":0\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*3\r\n:0\r\n:0\r\n$1\r\n0\r\n",
        b"*3\r\n$1\r\n0\r\n:0\r\n:0\r\n",
        b"*3\r\n:0\r\n:0\r\n-ERR no\r\n",
        b"*3\r\n:0\r\n:0\r\n$-1\r\n",
        b"*3\r\n:0\r\n:0\r\n*1\r\n:0\r\n",
        b"+OK\r\n",
        b"-ERR something else\r\n",
        b"-WRONGTYPE Operation against a key\r\n",
        b"-nonsense\r\n",
    ],
)
def test_a_reply_of_the_wrong_shape_is_none_and_the_connection_lives(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: reply
            assert await admit(backend).wait() is None
            assert await find(backend, *"abcdefg").wait() is None
            fake.answer = ordinary
            assert await admit(backend).wait() == [0, 0]
            assert fake.accepted == 1

    run(main())


@pytest.mark.parametrize(
    "reply",
    [
        b"*3\r\n:-1\r\n:1\r\n:2\r\n",  # no such outcome
        b"*3\r\n:6\r\n:1\r\n:2\r\n",
        b"*1\r\n:1\r\n",
        b"*6\r\n" + b":1\r\n" * 6,
        b"*3\r\n:1\r\n:1\r\n$1\r\n2\r\n",
    ],
)
def test_an_issue_with_a_reply_of_the_wrong_shape_is_none(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: reply
            assert await issue(backend).wait() is None
            fake.answer = ordinary
            assert await issue(backend).wait() == [(0, (0, 0))]
            assert fake.accepted == 1

    run(main())


def revocations(backend: RedisBackend) -> list[Answer[Any]]:
    """One call of each kind."""
    answers: list[Answer[Any]] = [Answer() for _ in range(4)]
    store = backend.revocations
    store.revoke(ID, Life(5, 9), answers[0])
    store.set_epoch("p", 7, answers[1])
    store.changes(3, answers[2])
    store.restore_epochs({"p": 7, "q": 0, "": 8}, 3, answers[3])
    return answers


def test_a_revocation_is_one_command_over_the_shared_keys() -> None:
    keys = [b"af:{0}:r", b"af:{0}:l", b"af:{0}:e"]

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            answers = [await answer.wait() for answer in revocations(backend)]
            assert answers == [UNKNOWN, 0, Changes(0, [], {}), 0]
            assert [command[2:] for command in fake.commands] == [
                [b"3", b"af:{0}:i:player-1@a.example/v1", *keys[:2], ID.encode(), b"5", b"4"],
                [b"3", *keys, b"0", b"p", b"7"],
                [b"3", *keys, b"3"],
                [b"3", *keys, b"4", b"p", b"7", b"", b"8"],
            ]

    run(main())


def test_without_a_connection_nothing_is_revoked_and_callers_are_told_at_once() -> None:
    async def main() -> None:
        async with FakeRedis(lambda command: HANG_UP) as fake, connected(fake) as backend:
            assert [answer.calls for answer in revocations(backend)] == [[None]] * 4

    run(main())


def test_scripts_of_revocations_that_are_lost_are_sent_again_as_text() -> None:
    def forgetful(command: Command) -> bytes | None:
        return b"-NOSCRIPT No matching script.\r\n" if command[0] == b"EVALSHA" else ordinary(command)

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = forgetful
            assert [await answer.wait() for answer in revocations(backend)] == [UNKNOWN, 0, Changes(0, [], {}), 0]
            assert backend.counters.script_loads == 4

    run(main())


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b"$-1\r\n",
        b"-ERR something else\r\n",
        b"*1\r\n:0\r\n",
        b"*5\r\n" + b":1\r\n" * 5,
        b"*3\r\n:1\r\n*1\r\n:1\r\n*0\r\n",
        b"*3\r\n:1\r\n*0\r\n$-1\r\n",
        b"*3\r\n:1\r\n*0\r\n*1\r\n$1\r\na\r\n",
        b"*3\r\n:1\r\n*0\r\n*2\r\n$1\r\na\r\n$-1\r\n",
        b"*3\r\n:1\r\n*0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"*3\r\n:1\r\n*1\r\n$1\r\n\xff\r\n*0\r\n",
        b"*3\r\n:1\r\n*1\r\n-ERR no\r\n*0\r\n",
    ],
)
def test_a_revocation_with_a_reply_of_the_wrong_shape_is_none(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: reply
            assert [await answer.wait() for answer in revocations(backend)] == [None] * 4
            fake.answer = ordinary
            assert await admit(backend).wait() == [0, 0]
            assert fake.accepted == 1

    run(main())


def test_a_revocation_is_told_as_the_script_replies_it() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            answer: Answer[Revoked | None] = Answer()
            fake.answer = lambda command: b"*6\r\n:1\r\n:5\r\n:9\r\n:7\r\n:1\r\n:3\r\n"
            backend.revocations.revoke(ID, None, answer)
            assert await answer.wait() == (True, Life(5, 9), 7, True)
            changes: Answer[Changes | None] = Answer()
            fake.answer = lambda command: b"*3\r\n:3\r\n$-1\r\n*2\r\n$0\r\n\r\n:8\r\n"
            backend.revocations.changes(1, changes)
            assert await changes.wait() == (3, None, {"": 8})

    run(main())


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0", HANG_UP, b"*2\r\n:0\r\n" + HANG_UP])
def test_garbage_or_a_cut_connection_is_none_and_soon_over(reply: bytes) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake, seconds=5) as backend:
            fake.answer = lambda command: reply
            assert await admit(backend).wait() is None
            fake.answer = ordinary
            await until(lambda: backend.healthy)
            assert await admit(backend).wait() == [0, 0]

    run(main())


def test_replies_in_single_octets_are_understood() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            fake.bytewise = True
            async with connected(fake, seconds=5) as backend:
                assert await admit(backend).wait() == [0, 0]
                assert await find(backend, "a", "b").wait() == [None, None]

    run(main())


def test_a_lost_script_is_sent_again_once_as_text() -> None:
    def forgetful(command: Command) -> bytes | None:
        return b"-NOSCRIPT No matching script.\r\n" if command[0] == b"EVALSHA" else ordinary(command)

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            fake.answer = forgetful
            assert await admit(backend).wait() == [0, 0]
            by_digest, by_text = fake.commands
            assert (by_digest[0], by_text[0]) == (b"EVALSHA", b"EVAL")
            assert by_digest[2:] == by_text[2:]
            assert backend.counters.script_loads == 1
            assert backend.counters.failures == 0
            assert backend.counters.rows == 2

    run(main())


def test_a_script_that_stays_lost_is_none() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"-NOSCRIPT No matching script.\r\n"
            fake.commands.clear()
            assert await admit(backend).wait() is None
            assert len(fake.commands) == 2

    run(main())


def test_a_repeated_command_keeps_its_deadline() -> None:
    """Whatever stands before it: the repeat waits behind commands that were sent later."""

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake, seconds=0.2) as backend:
            fake.answer = silent
            before = time.monotonic()
            first = admit(backend)
            await until(lambda: time.monotonic() - before > 0.15)
            second = admit(backend)
            fake.say(b"-NOSCRIPT No matching script.\r\n")
            assert await first.wait() is None
            assert time.monotonic() - before < 0.28
            assert second.calls == [None]

    run(main())


def test_a_reply_that_waited_while_we_stood_still_is_taken() -> None:
    """Blocks the loop on purpose, while it reads sockets: it then runs overdue timers before it reads again."""

    def slow(command: Command) -> bytes | None:
        time.sleep(2 * TIMEOUT)
        return b"*3\r\n:0\r\n:7\r\n:8\r\n"

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = slow
            assert await admit(backend).wait() == [7, 8]
            assert backend.healthy

    run(main())


def test_a_silent_redis_is_noticed_without_traffic() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            backend = RedisBackend(fake.url, timeout=TIMEOUT, jitter=lambda: 0.0, idle=0.02)
            await backend.start()
            await until(lambda: fake.names().count(b"PING") >= 2)
            assert backend.healthy
            fake.answer = silent
            await until(lambda: not backend.healthy)
            assert backend.counters.timeouts == 1
            await backend.close()

    run(main())


def test_while_redis_is_heard_there_is_no_ping() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            backend = RedisBackend(fake.url, timeout=5, jitter=lambda: 0.0, idle=0.2)
            await backend.start()
            begin = time.monotonic()
            while time.monotonic() - begin < 0.5:
                await admit(backend).wait()
            assert b"PING" not in fake.names()
            await backend.close()

    run(main())


def test_attempts_go_on_at_most_half_a_second_apart() -> None:
    """The first at once, the next ones later and later; with the greatest jitter there is."""
    moments: list[float] = []

    def refusing(command: Command) -> bytes | None:
        if command[0] == b"EVALSHA":
            moments.append(time.monotonic())
            return b"-LOADING\r\n"
        return ordinary(command)

    async def main() -> None:
        async with FakeRedis(refusing) as fake:
            backend = RedisBackend(fake.url, timeout=TIMEOUT, jitter=lambda: 0.999, idle=60)
            await backend.start()
            await until(lambda: len(moments) == 7)
            await backend.close()

    run(main())
    gaps = [after - before for before, after in pairwise(moments)]
    assert gaps[0] < 0.04
    assert gaps[1] >= 0.04
    assert max(gaps) < MAX_DELAY + 0.1
    assert gaps[-1] > gaps[1]


def test_a_connection_that_fails_over_and_over_is_not_renewed_without_pause() -> None:
    """Each opening succeeds, each command is an outage: that must not become a busy loop."""

    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.answer = lambda command: b"-OOM\r\n" if b"af:{0}:c:203.0.113.9" in command else ordinary(command)
            begin = time.monotonic()
            while time.monotonic() - begin < 0.3:
                await admit(backend).wait()
                await asyncio.sleep(0)
            assert 2 <= fake.accepted <= 8

    run(main())


def test_a_callback_that_fails_harms_no_other() -> None:
    failures: list[object] = []

    def failing(*answers: object) -> None:
        raise RuntimeError("a caller's fault")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with FakeRedis() as fake, connected(fake) as backend:
            loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
            backend.limiter.admit(CLIENTS, [1, 1], failing)
            backend.identities.find([ID], failing)
            assert await find(backend, ID, "b").wait() == [None, None]
            assert await admit(backend).wait() == [0, 0]
            assert backend.healthy

    run(main())
    assert [str(error) for error in failures] == ["a caller's fault"] * 2


def test_closing_tells_none_to_who_waits_and_to_who_comes_later() -> None:
    async def main() -> None:
        async with FakeRedis() as fake:
            backend = RedisBackend(fake.url, timeout=5, jitter=lambda: 0.0)
            await backend.start()
            fake.answer = silent
            waiting, batched = admit(backend), find(backend, ID)
            await backend.close()
            assert await waiting.wait() is None
            assert await batched.wait() is None
            assert admit(backend).calls == [None]
            assert not backend.healthy

    run(main())


def test_a_backend_that_was_never_started_says_none_and_closes() -> None:
    async def main() -> None:
        backend = RedisBackend("redis://127.0.0.1:1", jitter=lambda: 0.0)
        assert admit(backend).calls == [None]
        await backend.close()

    run(main())


@pytest.mark.parametrize("url", ["redis://no-such-host.invalid:1", "redis://127.0.0.1:1", "unix:///no/such/socket"])
def test_an_address_where_nobody_is_means_away_and_not_an_error(url: str) -> None:
    async def main() -> None:
        backend = RedisBackend(url, timeout=TIMEOUT, jitter=lambda: 0.0)
        await backend.start()
        assert not backend.healthy
        await until(lambda: backend.fault != "")
        await backend.close()

    run(main())


def test_a_password_is_shown_nowhere_even_if_the_server_quotes_it(caplog: pytest.LogCaptureFixture) -> None:
    def unkind(command: Command) -> bytes | None:
        return b"-ERR unknown command 'AUTH', with args beginning with: '%b'\r\n" % command[-1]

    async def main() -> str:
        async with FakeRedis(unkind) as fake:
            url = fake.url.replace("redis://", "redis://somebody:hunter2@")
            async with connected(fake, url) as backend:
                assert not backend.healthy
                return repr(backend) + backend.fault

    with caplog.at_level(logging.DEBUG):
        shown = run(main()) + caplog.text
    assert "it answers ERR" in shown
    assert "hunter2" not in shown
    assert "somebody" not in shown


def test_an_outage_is_one_line_in_the_log_and_its_end_another(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            for _ in range(2):
                accepted = fake.accepted
                fake.answer = lambda command: HANG_UP
                fake.hang_up()
                await until(lambda accepted=accepted: fake.accepted >= accepted + 3)  # type: ignore[misc]
                fake.answer = ordinary
                await until(lambda: backend.healthy)

    with caplog.at_level(logging.INFO, logger="arsenal_fast.stores.redis.connection"):
        run(main())
    assert [record.message for record in caplog.records] == [
        "Redis is unavailable: the connection is lost",
        "Redis is back",
    ] * 2
