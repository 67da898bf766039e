"""Identities in Redis: the commands, and the parsing of records and replies."""

import pytest

from arsenal_fast.identity.validity import LAST_GENERATED, MAX_TTL, Issued, IssueRow, Life, Mode, Outcome, StoreRecord
from arsenal_fast.stores.redis.identities import packed_keys, read_issued, read_record
from arsenal_fast.stores.redis.keys import ONE
from arsenal_fast.stores.redis.resp import bulk
from tests.support.fake_redis import FakeRedis, ordinary
from tests.support.loops import Answer, run
from tests.support.redis_backend import connected, find, issue


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


LAST = LAST_GENERATED
LONGEST = MAX_TTL * 1000

RECORDS = [
    (b"1000 60000", StoreRecord(Life(1000, 61_000))),
    (b"1000 60000 7", StoreRecord(Life(1000, 61_000), 7)),
    (b"1000 60000 7 p", StoreRecord(Life(1000, 61_000), 7, True)),
    (b"%d %d" % (LAST, LONGEST), StoreRecord(Life(LAST, LAST + LONGEST))),
    (b"%d 1" % (LAST + 1), None),
    (b"1000 0", None),
    (b"1000 %d" % (LONGEST + 1), None),
    (b"1000 60000 %d" % (LAST + 1), None),
    (b"1000 60000 p", None),
    (b"1000 60000 7 q", None),
    (b"1000 60000 7 p ", None),
    (b"1000  60000", None),
    (b"-1 60000", None),
    (b"1000", None),
    (b"", None),
    (b"0" * 61 + b"1 60000", None),
    (None, None),
    (1000, None),
]


@pytest.mark.parametrize(("record", "found"), RECORDS)
def test_only_a_record_that_a_script_writes_is_one(record: object, found: StoreRecord | None) -> None:
    assert read_record(record) == found


ISSUED, FOUND = int(Outcome.ISSUED), int(Outcome.FOUND)


def test_an_issue_reply_is_read_in_threes() -> None:
    assert read_issued([], 0) == []
    assert read_issued([ISSUED, 1, 2, ISSUED, 1, 2, FOUND, 3, 4], 3) == [
        Issued(Outcome.ISSUED, Life(1, 2)),
        Issued(Outcome.ISSUED, Life(1, 2)),
        Issued(Outcome.FOUND, Life(3, 4)),
    ]


def test_an_outcome_that_no_script_replies_makes_the_whole_reply_none() -> None:
    assert read_issued([ISSUED, 1, 2, 99, 1, 2], 2) is None


def test_a_reply_of_one_three_is_that_of_all_rows() -> None:
    assert read_issued([ISSUED, 1, 2], 3) == [Issued(Outcome.ISSUED, Life(1, 2))] * 3
    assert read_issued([99, 1, 2], 3) is None


@pytest.mark.parametrize(("other", "arguments"), [(1000, 5), (1001, 10)])
def test_arguments_that_all_rows_share_are_sent_once(other: int, arguments: int) -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            answer: Answer[object] = Answer()
            rows = [IssueRow("p-1@a/v1:id", 1000, generated=7), IssueRow("p-2@a/v1:id", other, generated=7)]
            backend.identities.issue(rows, answer)
            await answer.wait()
            (command,) = fake.commands
            assert len(command) == 3 + 2 + arguments
            assert command[5:10] == [b"1000", b"0", b"7", b"0", b"0"]

    run(main())


@pytest.mark.parametrize(
    ("identity", "key"),
    [
        ("player-1@a.example/v1:id", b"af:{0}:i:player-1@a.example/v1"),
        ("player-1@a.example/v1", b"af:{0}:i:player-1@a.example/v1"),
        ("{1}\r\n:id:id", b"af:{0}:i:{1}\r\n:id"),
        ("\ud800", b"af:{0}:i:\xed\xa0\x80"),
    ],
)
def test_every_key_is_below_the_prefix_whatever_is_looked_up(identity: str, key: bytes) -> None:
    assert ONE.of_identity(identity) == key


def test_keys_are_packed_one_by_one_whatever_the_identities_are() -> None:
    ids = ["player-1@a.example/v1:id", "p-2@b/v12:id"]
    for each in (ids, [*ids, "\u00e9:id:id", "\ud800"], []):
        assert packed_keys(ONE, each) == b"".join(bulk(ONE.of_identity(identity)) for identity in each)


def test_a_confirmation_asks_for_no_answer_but_the_number_of_rows() -> None:
    async def main() -> None:
        async with FakeRedis() as fake, connected(fake) as backend:
            fake.commands.clear()
            backend.identities.confirm([IssueRow("p-1@a/v1:id", 9, Mode.CONFIRM, number) for number in (5, 6)])
            assert await issue(backend).wait() == [(0, (0, 0))]
            confirmation = fake.commands[0]
            assert confirmation[2:5] == [b"2", b"af:{0}:i:p-1@a/v1", b"af:{0}:i:p-1@a/v1"]
            assert confirmation[5:] == [b"9", b"3", b"5", b"0", b"0", b"9", b"3", b"6", b"0", b"0", b""]
            backend.healthy = False
            backend.identities.confirm([IssueRow("p-1@a/v1:id", 9, Mode.CONFIRM, 5)])
            assert len(fake.commands) == 2

    run(main())
