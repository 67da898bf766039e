"""The scripts of identities and revocations in a real Redis give the results of the memory backend, at any time."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import arsenal_fast
from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.revocation import LOG_LENGTH, UNKNOWN, Changes, Revoked
from arsenal_fast.identity.validity import (
    EXPIRED_RETENTION,
    LAST_GENERATED,
    LAST_MOMENT,
    MAX_TTL,
    Issued,
    IssueRow,
    Life,
    Mode,
    Outcome,
    StoreRecord,
)
from arsenal_fast.stores.memory import MemoryBackend
from arsenal_fast.stores.redis.identities import read_issued, read_record
from arsenal_fast.stores.redis.keys import ONE
from arsenal_fast.stores.redis.revocations import read_changes
from tests.support.lua import ScriptAt
from tests.support.redis_server import RedisServer

T0 = 1_795_000_000_000  # ms
R0 = T0 * 1000  # where a revision begins at that moment
KEY = "af:{0}:i:player-1@a.example/v1"
ROW = IssueRow("player-1@a.example/v1:id", 100_000)
REVISION, LOG, EPOCHS, AMENDMENTS = "af:{0}:r", "af:{0}:l", "af:{0}:e", "af:{0}:k"
ALL_KEYS = [REVISION, LOG, EPOCHS, AMENDMENTS]
NAMES = [f"p-{name}@a.example/v1:id" for name in range(3)]


class Scripts:
    """The Redis backend with the moment as an argument: its scripts, and its way to read what they reply."""

    def __init__(self, server: RedisServer) -> None:
        self.now = T0
        self.server = server
        self._issue = ScriptAt(
            server, "stores/redis/record.lua", "stores/redis/issue_row.lua", "stores/redis/issue.lua"
        )
        self._revoke = ScriptAt(
            server, "stores/redis/record.lua", "stores/redis/revision.lua", "stores/redis/revoke.lua"
        )
        self._epoch = ScriptAt(server, "stores/redis/revision.lua", "stores/redis/epoch.lua")

    def issue(self, rows: Sequence[IssueRow]) -> list[Issued]:
        alike = len({row[1:] for row in rows}) == 1
        arguments = [int(value) for row in (rows[:1] if alike else rows) for value in row[1:]]
        reply = self._issue(self.now * 1000, [ONE.of_identity(row.id).decode() for row in rows], arguments)
        issued = read_issued(reply, len(rows))
        assert issued is not None
        return issued

    def find(self, ids: Sequence[str]) -> list[StoreRecord | None]:
        return [read_record(self.server.command("GET", ONE.of_identity(identity))) for identity in ids]

    def revoke(self, identity: str, life: Life | None) -> Revoked:
        generated, ttl = (life.generated, life.ttl) if life else (0, 0)
        keys = [ONE.of_identity(identity).decode(), REVISION, LOG]
        known, begin, end, floor, already, _ = self._revoke(self.now * 1000, keys, [identity, generated, ttl])
        return Revoked(True, Life(begin, end), floor, already == 1) if known else UNKNOWN

    def set_epoch(self, prefix: str | None, before: int) -> int:
        return self._epoch(self.now * 1000, ALL_KEYS, [0, prefix or "", before])[1]

    def amend(self, key: str, amendment: Amendment) -> bool:
        text = " ".join(map(str, amendment))
        return bool(self._epoch(self.now * 1000, ALL_KEYS, [0, key, text])[1] == 1)

    def restore(self, epochs: dict[str, int], amendments: dict[str, Amendment], revision: int) -> int:
        rows = [value for pair in epochs.items() for value in pair]
        rows += [text for key, each in amendments.items() for text in (key, " ".join(map(str, each)))]
        return self._epoch(self.now * 1000, ALL_KEYS, [revision + 1, *rows])[0]

    def changes(self, since: int) -> Changes:
        package = Path(arsenal_fast.__file__).parent / "stores/redis"
        text = (package / "revision.lua").read_text() + (package / "changes.lua").read_text()
        changes = read_changes(self.server.command("EVAL", text, 4, *ALL_KEYS, since), 4)
        assert changes is not None
        return changes


@pytest.fixture
def scripts(redis: RedisServer) -> Scripts:
    return Scripts(redis)


def told(ask: Callable[..., None], *arguments: Any) -> Any:
    answers: list[Any] = []
    ask(*arguments, answers.append)
    (answer,) = answers
    return answer


# A record stays for 340 s and more, and a sequence of ten steps spans at most 330 s: what the real Redis keeps
# by the real clock, the memory keeps by the given one.
ttls = st.sampled_from([40_000, 40_001, 60_000, 99_999])
names = st.sampled_from(NAMES)
agos = st.integers(0, 30_000)
rows = st.tuples(names, ttls, st.sampled_from(Mode), st.none() | agos, st.none() | agos, st.booleans())
keys = st.sampled_from(["token:1", "token:2", "sub:a"])
# Of tokens that expired long ago, or live on, by the real clock as by the given one.
amendments = st.builds(Amendment, st.integers(0, 3), st.integers(0, 3), st.sampled_from([5, 10**13, 10**13 + 1]))
actions = st.one_of(
    st.tuples(st.just("issue"), st.lists(rows, min_size=1, max_size=4)),
    st.tuples(st.just("issue"), st.lists(rows, min_size=1, max_size=4)),
    st.tuples(st.just("revoke"), names, st.none() | agos),
    st.tuples(st.just("epoch"), st.sampled_from([None, "p", "q"]), st.none() | agos),
    st.tuples(st.just("amend"), keys, amendments),
    st.tuples(
        st.just("restore"),
        st.dictionaries(st.sampled_from(["", "p", "q"]), agos),
        st.dictionaries(keys, amendments),
        st.integers(-3, 3),
    ),
)


@pytest.mark.integration
@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30_000), actions), max_size=10))
def test_lua_is_the_memory_backend_whatever_the_sequence(
    redis_server: RedisServer, steps: list[tuple[int, tuple[Any, ...]]]
) -> None:
    redis_server.flush()
    lua = Scripts(redis_server)
    memory = MemoryBackend(lambda: 0, lambda: lua.now)
    identities, revocations = memory.identities, memory.revocations
    revisions = [0]
    for step, (action, *asked) in steps:
        lua.now += step
        now = lua.now
        held = dict(zip(NAMES, told(identities.find, NAMES), strict=True))
        if action == "issue":
            batch = [_row(now, held[row[0]], *row) for row in asked[0]]
            assert lua.issue(batch) == told(identities.issue, batch)
        elif action == "revoke":
            identity, ago = asked
            life = None if ago is None else Life(now - ago, now - ago + 40_000)
            assert lua.revoke(identity, life) == told(revocations.revoke, identity, life)
        elif action == "epoch":
            prefix, ago = asked
            before = 0 if ago is None else now - ago
            assert lua.set_epoch(prefix, before) == told(revocations.set_epoch, prefix, before)
        elif action == "amend":
            assert lua.amend(*asked) == told(revocations.amend, *asked)
        else:
            epochs, ahead = {prefix: now - ago for prefix, ago in asked[0].items()}, asked[2]
            revision = max(revisions[-1] + ahead, 0)
            assert lua.restore(epochs, asked[1], revision) == told(revocations.restore, epochs, asked[1], revision)
        assert lua.find(NAMES) == told(identities.find, NAMES)
        for since in {*revisions, revisions[-1] + 1}:
            assert lua.changes(since) == told(revocations.changes, since)
        revisions.append(lua.changes(0).revision)
    assert revisions == sorted(revisions)


def _row(
    now: int,
    held: StoreRecord | None,
    name: str,
    ttl: int,
    mode: Mode,
    ago: int | None,
    epoch: int | None,
    provisional: bool,
) -> IssueRow:
    """``ago`` None: the row brings the life that the store holds, if any."""
    generated = 0
    if mode >= Mode.ASSERT:
        generated = now - (ago or 0)
        if ago is None and held is not None:
            generated, ttl = held.life.generated, held.life.ttl
    return IssueRow(name, ttl, mode, generated, 0 if epoch is None else now - epoch, provisional)


GARBAGE = [
    "",
    "x",
    "1",
    "1 2 x",
    "1 2 3 ",
    "1 2 3 q",
    "1 2 3 p ",
    "1 2 3  p",
    "1 2 p",
    "1 2 3 4",
    "1 2 -3",
    f"1 2 {LAST_GENERATED + 1}",
    f"1 2 {LAST_GENERATED + 1} p",
    f"{LAST_GENERATED + 1} 2",
    "0" * 60 + "1 2 3",
    "1  2",
    " 1 2",
    "1 2 ",
    "1 2\n",
    "-1 1000",
    "1 -1",
    "1 0",
    "1.5 2",
    "1e3 5",
    "0x1 2",
    "nan nan",
    "inf inf",
    "\u0661 2",
    f"1 {MAX_TTL * 1000 + 1}",
    f"{LAST_MOMENT} 1",
    "9" * 30 + " 5",
    "1 " + "9" * 30,
    "9" * 400 + " 9",
]


@pytest.mark.integration
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_record_of_garbage_is_missing_to_everyone_and_overwritten(scripts: Scripts, garbage: str) -> None:
    scripts.server.command("SET", KEY, garbage)
    assert scripts.find([ROW.id]) == [None]
    assert scripts.revoke(ROW.id, None) is UNKNOWN
    assert scripts.issue([ROW]) == [(1, (T0, T0 + 100_000))]
    assert scripts.server.command("GET", KEY) == b"%d 100000" % T0


@pytest.mark.integration
def test_a_record_of_another_type_is_overwritten(scripts: Scripts) -> None:
    scripts.server.command("HSET", KEY, "a", "b")
    assert scripts.issue([ROW]) == [(1, (T0, T0 + 100_000))]
    scripts.server.command("DEL", KEY)
    scripts.server.command("HSET", KEY, "a", "b")
    assert scripts.revoke(ROW.id, None) is UNKNOWN
    assert scripts.revoke(ROW.id, Life(5, 9)) == (True, Life(5, 9), T0, False)


RECORDS = [
    (b"5 4", StoreRecord(Life(5, 9))),
    (b"5 4 0", StoreRecord(Life(5, 9))),
    (b"5 4 7", StoreRecord(Life(5, 9), 7)),
    (b"5 4 0 p", StoreRecord(Life(5, 9), 0, True)),
    (b"5 4 7 p", StoreRecord(Life(5, 9), 7, True)),
    (
        b"%d 1 %d p" % (LAST_GENERATED, LAST_GENERATED),
        StoreRecord(Life(LAST_GENERATED, LAST_GENERATED + 1), LAST_GENERATED, True),
    ),
]


@pytest.mark.parametrize(("record", "found"), RECORDS)
def test_a_record_is_read_as_it_was_written(record: bytes, found: StoreRecord) -> None:
    assert read_record(record) == found


@pytest.mark.integration
def test_a_plain_record_is_two_numbers_and_the_others_have_what_they_need(scripts: Scripts) -> None:
    def record() -> object:
        return scripts.server.command("GET", KEY)

    scripts.issue([ROW])
    assert record() == b"%d 100000" % T0
    scripts.revoke(ROW.id, None)
    assert record() == b"%d 100000 %d" % (T0, T0)
    scripts.issue([ROW._replace(provisional=True)])
    assert record() == b"%d 100000 %d p" % (T0 + 1, T0)
    scripts.issue([ROW._replace(mode=Mode.CONFIRM, generated=T0 + 1)])
    assert record() == b"%d 100000 %d" % (T0 + 1, T0)
    scripts.server.flush()
    scripts.issue([ROW._replace(provisional=True)])
    assert record() == b"%d 100000 0 p" % T0


@pytest.mark.integration
@pytest.mark.parametrize("mode", Mode)
def test_whatever_stands_in_a_record_of_the_last_moments_no_life_ends_after_9999(scripts: Scripts, mode: Mode) -> None:
    scripts.server.command("SET", KEY, f"{LAST_GENERATED} {MAX_TTL * 1000} {LAST_GENERATED}")
    for _ in range(2):
        (issued,) = scripts.issue([IssueRow(ROW.id, 1, mode, T0)])
        assert issued.life.expires <= LAST_MOMENT + 1


@pytest.mark.integration
def test_a_record_goes_after_its_retention(scripts: Scripts) -> None:
    """Counted from the beginning of the life, also for one that is re-asserted."""
    scripts.issue([IssueRow(ROW.id, 100_000, Mode.ASSERT, T0 - 30_000)])
    remaining = scripts.server.command("PTTL", KEY)
    assert isinstance(remaining, int)
    assert 360_000 < remaining <= 370_000


@pytest.mark.integration
def test_a_floor_outlives_every_life_that_it_has_killed(scripts: Scripts) -> None:
    """Also one of the longest TTL that began just before, and through the lives that follow."""
    scripts.issue([ROW])
    scripts.revoke(ROW.id, None)
    longest = MAX_TTL * 1000 + EXPIRED_RETENTION
    for _ in range(2):
        remaining = scripts.server.command("PTTL", KEY)
        assert isinstance(remaining, int)
        assert longest - 10_000 < remaining <= longest
        scripts.issue([ROW])


@pytest.mark.integration
def test_a_life_whose_retention_is_over_is_not_written(scripts: Scripts) -> None:
    row = IssueRow(ROW.id, 1000, Mode.ASSERT, T0 - 301_000)
    assert scripts.issue([row]) == [(1, (T0 - 301_000, T0 - 300_000))]
    assert scripts.server.command("EXISTS", KEY) == 0


# The shared keys of revocations: whatever is there, it is repaired

NUMBERS = [
    "",
    "x",
    "-5",
    "1 2",
    "1.5",
    "1e3",
    "0x1",
    "nan",
    "inf",
    "1\n",
    "9007199254740992",
    "9" * 16,
    "9" * 400,
    "\0",
]


def spoil(server: RedisServer, key: str, kind: str) -> None:
    """Put another type in a key's place."""
    commands = {"string": ["SET", key, "x"], "list": ["LPUSH", key, "x"], "hash": ["HSET", key, "x", "y"]}
    server.command("DEL", key)
    assert isinstance(server.command(*commands[kind]), (int, bytes))


@pytest.mark.integration
@pytest.mark.parametrize("garbage", NUMBERS)
def test_a_revision_of_garbage_starts_again(scripts: Scripts, garbage: str) -> None:
    scripts.revoke(NAMES[0], Life(5, 9))
    scripts.server.command("SET", REVISION, garbage)
    scripts.now += 5
    assert scripts.changes(R0) == Changes(0, None, {})
    scripts.revoke(NAMES[1], Life(5, 9))
    scripts.revoke(NAMES[2], Life(5, 9))
    assert scripts.changes(R0 + 5000) == Changes(R0 + 5001, [NAMES[2]], {})
    for since in (0, R0, R0 + 4999):
        assert scripts.changes(since) == Changes(R0 + 5001, None, {})


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["list", "hash"])
def test_a_revision_of_another_type_starts_again(scripts: Scripts, kind: str) -> None:
    spoil(scripts.server, REVISION, kind)
    assert scripts.changes(0) == Changes(0, [], {})
    scripts.set_epoch("p", 7)
    assert scripts.changes(0) == Changes(R0, None, {"p": 7})
    spoil(scripts.server, REVISION, kind)
    scripts.revoke(ROW.id, Life(5, 9))
    assert scripts.changes(0).revision == R0
    scripts.revoke(NAMES[0], Life(5, 9))
    spoil(scripts.server, REVISION, kind)
    assert scripts.restore({}, {}, 9) == R0
    assert scripts.server.command("EXISTS", LOG) == 0


@pytest.mark.integration
@pytest.mark.parametrize("garbage", ["0", *NUMBERS, str(LAST_GENERATED + 1)])
def test_an_epoch_of_garbage_is_none_and_is_overwritten(scripts: Scripts, garbage: str) -> None:
    scripts.server.command("HSET", EPOCHS, "p", garbage, "q", 9)
    assert scripts.changes(0).epochs == {"q": 9}
    assert scripts.set_epoch("p", 7) == 7
    assert scripts.changes(0).epochs == {"p": 7, "q": 9}


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["string", "list"])
def test_epochs_of_another_type_are_none_and_are_overwritten(scripts: Scripts, kind: str) -> None:
    spoil(scripts.server, EPOCHS, kind)
    assert scripts.changes(0) == Changes(0, [], {})
    assert scripts.set_epoch(None, 7) == 7
    assert scripts.changes(0).epochs == {"": 7}


@pytest.mark.integration
@pytest.mark.parametrize("garbage", ["", "x", "-1 a", f"{R0 + 3}", f" {R0 + 2} a", f"{R0 + 2}x a", f"0{R0 + 2} a"])
def test_a_log_with_an_entry_of_garbage_reaches_no_further(scripts: Scripts, garbage: str) -> None:
    scripts.set_epoch("q", 9)
    for name in NAMES:
        scripts.revoke(name, Life(5, 9))
    scripts.server.command("LSET", LOG, 1, garbage)
    assert scripts.changes(R0 + 2) == Changes(R0 + 3, [NAMES[2]], {"q": 9})
    assert scripts.changes(R0 + 1) == Changes(R0 + 3, None, {"q": 9})


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["string", "hash"])
def test_a_log_of_another_type_reaches_nothing_and_is_overwritten(scripts: Scripts, kind: str) -> None:
    scripts.revoke(NAMES[0], Life(5, 9))
    scripts.revoke(NAMES[1], Life(5, 9))
    spoil(scripts.server, LOG, kind)
    assert scripts.changes(R0 + 1) == Changes(R0 + 1, [], {})
    assert scripts.changes(R0) == Changes(R0 + 1, None, {})
    scripts.revoke(NAMES[2], Life(5, 9))
    assert scripts.changes(R0 + 1) == Changes(R0 + 2, [NAMES[2]], {})
    assert scripts.changes(R0) == Changes(R0 + 2, None, {})


@pytest.mark.integration
def test_an_epoch_is_never_so_late_that_a_life_after_it_could_not_be_written(scripts: Scripts) -> None:
    assert scripts.set_epoch("p", 10**18) == LAST_GENERATED
    assert told(MemoryBackend(lambda: 0, lambda: T0).revocations.set_epoch, "p", 10**18) == LAST_GENERATED


@pytest.mark.integration
def test_amendments_of_expired_tokens_do_not_pile_up(scripts: Scripts) -> None:
    for number in range(1000):
        scripts.now += 1000
        assert scripts.amend(f"token:{number}", Amendment(scripts.now, 0, scripts.now + 50_000))
        held = scripts.server.command("HLEN", AMENDMENTS)
        assert isinstance(held, int)
        assert held <= 50 + 100
    remaining = scripts.server.command("PTTL", AMENDMENTS)
    assert isinstance(remaining, int)
    assert 0 < remaining <= 50_000


@pytest.mark.integration
@pytest.mark.parametrize("garbage", ["", "x", "1 2", "1 2 3 4", "-1 0 9999999999999", "1.5 0 9999999999999", "9" * 70])
def test_an_amendment_of_garbage_is_none_and_is_overwritten(scripts: Scripts, garbage: str) -> None:
    scripts.server.command("HSET", AMENDMENTS, "token:1", garbage)
    assert scripts.changes(0).amendments == {}
    good = Amendment(1, 9, 10**13)
    assert scripts.amend("token:1", good)
    assert scripts.changes(0).amendments == {"token:1": good}


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["string", "list"])
def test_amendments_of_another_type_are_none_and_are_overwritten(scripts: Scripts, kind: str) -> None:
    spoil(scripts.server, AMENDMENTS, kind)
    assert scripts.changes(0) == Changes(0, [], {})
    assert scripts.amend("token:1", Amendment(1, 0, 10**13))
    assert set(scripts.changes(0).amendments) == {"token:1"}


@pytest.mark.integration
def test_the_log_keeps_no_more_than_its_length(scripts: Scripts) -> None:
    for _ in range(3):
        scripts.revoke(NAMES[0], Life(5, 9))
        scripts.server.command("DEL", ONE.of_identity(NAMES[0]))
    text = "for i = 1, 2000 do redis.call('LPUSH', KEYS[1], i) end"
    scripts.server.command("EVAL", text, 1, LOG)
    scripts.set_epoch(None, 0)
    assert scripts.server.command("LLEN", LOG) == LOG_LENGTH
    for key in (REVISION, LOG, EPOCHS):
        remaining = scripts.server.command("PTTL", key)
        assert isinstance(remaining, int)
        assert remaining > (MAX_TTL * 1000 + EXPIRED_RETENTION) - 60_000


def constants(name: str) -> dict[str, int]:
    """``local NAME = 1`` and ``local ONE, TWO = 1, 2`` of a script."""
    text = (Path(arsenal_fast.__file__).parent / name).read_text()
    found: dict[str, int] = {}
    for left, right in re.findall(r"^local ([A-Z_, ]+) = ([0-9, ]+)", text, re.M):
        found |= zip(left.split(", "), map(int, right.split(", ")), strict=True)
    return found


def test_the_scripts_constants_are_those_of_python() -> None:
    last = {"LAST_GENERATED": LAST_GENERATED}
    ends = {"RETENTION": EXPIRED_RETENTION, "MAX_TTL": MAX_TTL * 1000, "MAX_RECORD": 64}
    kept = {"KEPT": MAX_TTL * 1000 + EXPIRED_RETENTION, "LOG_LENGTH": LOG_LENGTH}
    assert constants("stores/redis/record.lua") == last | ends
    assert constants("stores/redis/revision.lua") == last | kept
    assert constants("stores/redis/issue_row.lua") == {each.name: int(each) for each in (*Outcome, *Mode)}
