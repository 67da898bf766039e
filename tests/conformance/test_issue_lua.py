"""issue.lua in a real Redis gives the answers of the memory backend, which are those of the design."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import arsenal_fast
from arsenal_fast.identity.life import EXPIRED_RETENTION, LAST_MOMENT, MAX_TTL, Issued, IssueRow
from arsenal_fast.memory import MemoryBackend
from arsenal_fast.redis.identities import key_of, read_issued, read_record
from tests.support.lua import ScriptAt
from tests.support.redis_server import RedisServer

T0 = 1_795_000_000_000  # ms
KEY = "af:{0}:i:player-1@a.example/v1"
ROW = IssueRow("player-1@a.example/v1:id", 100_000)

# A record stays for 340 s and more, and a sequence of ten steps spans at most 330 s: what the real Redis keeps
# by the real clock, the memory keeps by the given one.
ttls = st.sampled_from([40_000, 40_001, 60_000, 99_999])
rows = st.builds(
    lambda name, ttl, fresh, ago: (f"p-{name}@a.example/v1:id", ttl, fresh, ago),
    st.integers(0, 2),
    ttls,
    st.booleans(),
    st.none() | st.integers(0, 30_000),
)
steps = st.lists(st.tuples(st.integers(0, 30_000), st.lists(rows, min_size=1, max_size=4)), max_size=10)


def issue(script: ScriptAt, now: int, rows: list[IssueRow]) -> list[Issued]:
    arguments = [value for row in rows for value in (row.ttl, int(row.fresh), row.generated)]
    issued = read_issued(script(now * 1000, [key_of(row.id).decode() for row in rows], arguments))
    assert issued is not None
    return issued


@pytest.mark.integration
@settings(max_examples=80, deadline=None)
@given(steps)
def test_lua_is_the_memory_backend_whatever_the_sequence(
    redis_server: RedisServer, steps: list[tuple[int, list[tuple[str, int, bool, int | None]]]]
) -> None:
    redis_server.flush()
    script = ScriptAt(redis_server, "redis/issue.lua")
    now = T0
    memory = MemoryBackend(lambda: 0, lambda: now)
    for step, asked in steps:
        now += step
        batch = [IssueRow(identity, ttl, fresh, 0 if ago is None else now - ago) for identity, ttl, fresh, ago in asked]
        answers: list[object] = []
        memory.identities.issue(batch, answers.append)
        assert [issue(script, now, batch)] == answers


GARBAGE = [
    "",
    "x",
    "1",
    "1 2 3",
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
def test_a_record_of_garbage_is_missing_to_everyone_and_overwritten(redis: RedisServer, garbage: str) -> None:
    script = ScriptAt(redis, "redis/issue.lua")
    redis.command("SET", KEY, garbage)
    assert read_record(redis.command("GET", KEY)) is None
    assert issue(script, T0, [ROW]) == [(1, (T0, T0 + 100_000))]
    assert redis.command("GET", KEY) == b"%d 100000" % T0


@pytest.mark.integration
def test_a_record_of_another_type_is_overwritten(redis: RedisServer) -> None:
    redis.command("HSET", KEY, "a", "b")
    assert issue(ScriptAt(redis, "redis/issue.lua"), T0, [ROW]) == [(1, (T0, T0 + 100_000))]


@pytest.mark.integration
def test_a_record_goes_after_its_retention(redis: RedisServer) -> None:
    """Counted from the beginning of the life, also for one that is re-asserted."""
    script = ScriptAt(redis, "redis/issue.lua")
    issue(script, T0, [IssueRow(ROW.id, 100_000, generated=T0 - 30_000)])
    remaining = redis.command("PTTL", KEY)
    assert isinstance(remaining, int)
    assert 360_000 < remaining <= 370_000


@pytest.mark.integration
def test_a_life_whose_retention_is_over_is_not_written(redis: RedisServer) -> None:
    script = ScriptAt(redis, "redis/issue.lua")
    row = IssueRow(ROW.id, 1000, generated=T0 - 301_000)
    assert issue(script, T0, [row]) == [(1, (T0 - 301_000, T0 - 300_000))]
    assert redis.command("EXISTS", KEY) == 0


def test_the_scripts_constants_are_those_of_life() -> None:
    text = (Path(arsenal_fast.__file__).parent / "redis/issue.lua").read_text()
    constants = {name: int(value) for name, value in re.findall(r"^local ([A-Z_]+) = ([0-9]+)", text, re.M)}
    assert constants == {
        "RETENTION": EXPIRED_RETENTION,
        "MAX_TTL": MAX_TTL * 1000,
        "LAST_MOMENT": LAST_MOMENT,
    }
