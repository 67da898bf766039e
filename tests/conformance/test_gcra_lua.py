"""gcra.lua in a real Redis gives the results of gcra.py, for the table of moments and for random ones."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.ratelimit.gcra import allowed, allowed_in_all, backlog_at, charge
from arsenal_fast.ratelimit.quota import Quota
from tests.ratelimit.moments import SECOND, T0, TABLE, Moment
from tests.ratelimit.test_gcra import TokenBucket
from tests.support.lua import ScriptAt
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

REVISION = "af:{0}:r"
CELL = "af:{0}:c:203.0.113.9"
CELLS = [CELL, "af:{0}:c:203.0.113.10", "af:{0}:c:sub:x"]

# Intervals of seconds: the real clock, by which cells expire, moves by milliseconds in these tests.
plain_quotas = st.builds(Quota, st.integers(1, 50), st.integers(200, 7200))
quotas = st.builds(replace, plain_quotas, cost=st.sampled_from([1, 1, 1, 3, 60]))
mixed_rows = st.lists(
    st.tuples(
        st.sampled_from(CELLS), st.sampled_from([0, 1, 1, 1, 2, 30]), st.one_of(st.just(Quota(100, 3600)), quotas)
    ),
    max_size=12,
)
steps = st.lists(st.tuples(st.integers(0, 400 * SECOND), st.integers(0, 30), quotas), min_size=1, max_size=8)


def arguments(*rows: tuple[int, Quota]) -> list[int | str]:
    """The arguments for rows of (quantity, quota): a row of one hit under the first row's quota is left out."""
    usual = rows[0][1] if rows else Quota(1, 1)
    differing = [
        f"{place} {quantity} {quota.step} {quota.tolerance} 0 1"
        for place, (quantity, quota) in enumerate(rows, 2)
        if (quantity, quota) != (1, usual)
    ]
    return [usual.step, usual.tolerance, " ".join(differing)]


@pytest.mark.parametrize("moments", TABLE.values(), ids=list(TABLE))
def test_the_table_of_moments(redis: RedisServer, moments: list[Moment]) -> None:
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    for now, quantity, quota, backlog, passes in moments:
        reply = script(now, [REVISION, CELL], arguments((quantity, quota)))
        assert reply == [0, backlog]
        assert allowed(reply[1], quantity, quota) == passes


@settings(max_examples=60, deadline=None)
@given(steps)
def test_lua_is_python_whatever_the_sequence(redis_server: RedisServer, steps: list[tuple[int, int, Quota]]) -> None:
    redis_server.flush()
    script = ScriptAt(redis_server, "ratelimit/gcra.lua")
    tat, now = 0, T0
    for step, quantity, quota in steps:
        now += step
        backlog, tat = charge(tat, now, quantity, quota)
        assert script(now, [REVISION, CELL], arguments((quantity, quota))) == [0, backlog]


@settings(max_examples=40, deadline=None)
@given(plain_quotas, st.lists(st.tuples(st.integers(0, 400 * SECOND), st.integers(0, 30)), min_size=1, max_size=8))
def test_lua_passes_just_what_a_token_bucket_passes(
    redis_server: RedisServer, quota: Quota, steps: list[tuple[int, int]]
) -> None:
    redis_server.flush()
    script = ScriptAt(redis_server, "ratelimit/gcra.lua")
    bucket, now = TokenBucket(quota), T0
    for step, quantity in steps:
        now += step
        backlog = script(now, [REVISION, CELL], arguments((quantity, quota)))[1]
        assert allowed(backlog, quantity, quota) == sum(bucket.hit(now) for _ in range(quantity))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400 * SECOND), mixed_rows), min_size=1, max_size=5))
def test_lua_is_python_for_rows_of_many_quotas_and_quantities(
    redis_server: RedisServer, commands: list[tuple[int, list[tuple[str, int, Quota]]]]
) -> None:
    """The same cell may come again in a command, and each row sees what the ones before have left."""
    redis_server.flush()
    script = ScriptAt(redis_server, "ratelimit/gcra.lua")
    tats = dict.fromkeys(CELLS, 0)
    now = T0
    for step, rows in commands:
        now += step
        backlogs = []
        for cell, quantity, quota in rows:
            backlog, tats[cell] = charge(tats[cell], now, quantity, quota)
            backlogs.append(backlog)
        keys = [REVISION, *(cell for cell, _, _ in rows)]
        assert script(now, keys, arguments(*((quantity, quota) for _, quantity, quota in rows))) == [0, *backlogs]
        for cell, tat in tats.items():
            assert redis_server.command("GET", cell) == (b"%d" % tat if tat else None)


linked_rows = st.lists(
    st.tuples(st.integers(0, 30), st.permutations(CELLS), st.lists(quotas, min_size=1, max_size=3), st.integers(0, 2)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400 * SECOND), linked_rows), min_size=1, max_size=4))
def test_linked_rows_are_charged_all_or_none_as_in_python(
    redis_server: RedisServer, commands: list[tuple[int, list[tuple[int, list[str], list[Quota], int]]]]
) -> None:
    """The last cells of a group may be shadows: they are charged as many of the hits as they have room for."""
    redis_server.flush()
    script = ScriptAt(redis_server, "ratelimit/gcra.lua")
    tats = dict.fromkeys(CELLS, 0)
    now = T0
    for step, groups in commands:
        now += step
        keys, differing, backlogs = [REVISION], [], []
        for quantity, cells, quotas_of_cells, shadows in groups:
            rows = list(zip(cells, quotas_of_cells, strict=False))
            enforced = max(len(rows) - shadows, 0)
            before = [(backlog_at(tats[cell], now, quota), quota) for cell, quota in rows[:enforced]]
            hits = allowed_in_all(before, quantity)
            for index, (cell, quota) in enumerate(rows):
                keys.append(cell)
                linked = 0 if index else len(rows) - 1
                told = 0 if index else quantity
                differing.append(f"{len(keys)} {told} {quota.step} {quota.tolerance} {linked} {enforced}")
                backlog, tats[cell] = charge(tats[cell], now, hits, quota)
                backlogs.append(backlog)
        assert script(now, keys, [1, 1, " ".join(differing)]) == [0, *backlogs]
        for cell, tat in tats.items():
            assert redis_server.command("GET", cell) == (b"%d" % tat if tat else None)


def test_a_hit_that_one_of_two_linked_cells_refuses_charges_neither(redis: RedisServer) -> None:
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    wide, narrow = Quota(10, 100), Quota(2, 20)
    rows = f"2 5 {wide.interval} {wide.tolerance} 1 2 3 0 {narrow.interval} {narrow.tolerance} 0 1"
    replies = [script(T0, [REVISION, CELL, CELLS[1]], [1, 1, rows]) for _ in range(2)]
    assert replies == [[0, 0, 0], [0, 20 * SECOND, 20 * SECOND]], "of five hits two passed, then none"


def test_rows_of_one_command_follow_each_other(redis: RedisServer) -> None:
    """The same cell may stand in several rows; each sees what the one before has left."""
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    quota = Quota(3, 30)
    rows = [(1, quota), (1, quota), (2, quota), (1, quota)]
    keys = [REVISION, CELL, "af:{0}:c:other", CELL, CELL]
    reply = script(T0, keys, arguments(*rows))
    assert reply == [0, 0, 0, 10 * SECOND, 30 * SECOND]


@pytest.mark.parametrize("garbage", ["", "x", "nan", "-nan", "-5", "1 2", "\0", "0x", "é"])
def test_a_cell_of_garbage_reads_as_missing_and_is_repaired(redis: RedisServer, garbage: str) -> None:
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    redis.command("SET", CELL, garbage)
    quota = Quota(3, 30)
    assert [script(T0, [REVISION, CELL], arguments((2, quota))) for _ in range(2)] == [[0, 0], [0, 20 * SECOND]]
    assert redis.command("GET", CELL) == b"%d" % (T0 + 30 * SECOND)


@pytest.mark.parametrize("garbage", ["inf", "1e300", "99999999999999999999"])
def test_a_cell_ahead_of_all_reason_costs_one_window_and_no_more(redis: RedisServer, garbage: str) -> None:
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    redis.command("SET", CELL, garbage)
    quota = Quota(3, 30)
    assert script(T0, [REVISION, CELL], arguments((1, quota))) == [0, 30 * SECOND]
    assert script(T0 + 10 * SECOND, [REVISION, CELL], arguments((1, quota))) == [0, 20 * SECOND]


def test_a_cell_of_another_type_is_repaired(redis: RedisServer) -> None:
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    redis.command("LPUSH", CELL, "a list")
    assert script(T0, [REVISION, CELL], arguments((1, Quota(3, 30)))) == [0, 0]
    assert redis.command("TYPE", CELL) == b"string"


@pytest.mark.parametrize(("quantity", "ahead"), [(1, 36_000), (100, 3_600_000), (250, 3_600_000)])
def test_a_cell_lives_just_as_long_as_it_says_anything(redis: RedisServer, quantity: int, ahead: int) -> None:
    """Never shorter than its backlog (ms), nor more than two ms longer."""
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    script(T0, [REVISION, CELL], arguments((quantity, Quota(100, 3600))))
    remaining = redis.command("PTTL", CELL)
    assert isinstance(remaining, int)
    assert ahead - 1000 < remaining <= ahead + 2


@pytest.mark.parametrize("revision", [1, 1_795_341_600_000_000, 9_007_199_254_740_991])
def test_the_revision_comes_first_to_the_last_digit(redis: RedisServer, revision: int) -> None:
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    redis.command("SET", REVISION, revision)
    assert script(T0, [REVISION, CELL], arguments((1, Quota(3, 30)))) == [revision, 0]
    assert script(T0, [REVISION], arguments()) == [revision]


@pytest.mark.parametrize(
    "garbage",
    ["", "x", "-5", "1 2", "1.5", "1e3", "0x1", "nan", "inf", "1\n", "9007199254740992", "9" * 16, "9" * 400, "\0"],
)
def test_a_revision_of_garbage_is_none(redis: RedisServer, garbage: str) -> None:
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    redis.command("SET", REVISION, garbage)
    assert script(T0, [REVISION, CELL], arguments((1, Quota(3, 30)))) == [0, 0]


def test_a_revision_of_another_type_is_none(redis: RedisServer) -> None:
    script = ScriptAt(redis, "ratelimit/gcra.lua")
    redis.command("LPUSH", REVISION, "a list")
    assert script(T0, [REVISION, CELL], arguments((1, Quota(3, 30)))) == [0, 0]
