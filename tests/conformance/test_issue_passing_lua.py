"""One command that admits and fetches, in a real Redis, does what the memory store does, whatever came before."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.identity.validity import Fetched, Issued, Life, LookedUp, Outcome, StoreRecord, Terms
from arsenal_fast.ratelimit.client import Cell, Client, PlannedClient
from arsenal_fast.ratelimit.headers import Plan
from arsenal_fast.ratelimit.quota import UNLIMITED, Quota
from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.memory import MemoryBackend
from arsenal_fast.stores.redis.connection import OnReply
from arsenal_fast.stores.redis.fetching import MAX_ROWS, RedisFetchingLimiter
from arsenal_fast.stores.redis.identities import read_record
from arsenal_fast.stores.redis.keys import ONE
from tests.support.lua import ScriptAt
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

T0 = 1_795_000_000_000  # ms
NAMES = [f"p-{name}@a.example/v1:id" for name in range(3)]

# Intervals of minutes: the real clock, by which cells expire, moves by milliseconds in these tests.
ADDRESS, OTHER = Client(b"203.0.113.9", Quota(3, 1800)), Client(b"sub:x", Quota(10, 6000))
HOUR, BURST, SHADOW = Quota(8, 3600, "hour"), Quota(2, 1200, "burst"), Quota(1, 1200, "shadow")
CELLS = [Cell(b"192.0.2.1", b"192.0.2.1<" + quota.policy.encode(), quota) for quota in (HOUR, BURST, SHADOW)]
PLANNED = PlannedClient(Client(b"192.0.2.1", UNLIMITED), CELLS, Plan((HOUR, BURST), (SHADOW,)))


@dataclass
class Wanted:
    id: str
    terms: Terms


class Link:
    """The connection of a Redis whose scripts run at a moment of the caller's choice."""

    healthy = True

    def __init__(self, server: RedisServer) -> None:
        self.now = T0  # ms
        self.counters = Counters()
        folder = "stores/redis"
        paths = [f"{folder}/{name}.lua" for name in ("record", "issue_row", "issue_passing")]
        self._script = ScriptAt(server, *paths, "ratelimit/gcra.lua")

    def send(self, command: bytes, on_reply: OnReply, deadline: float | None = None) -> float:
        reader = hiredis.Reader(encoding="utf-8")
        reader.feed(command)
        _, _, count, *items = reader.gets()
        on_reply(self._script(self.now * 1000, items[: int(count)], items[int(count) :]))
        return 0.0


Answer = tuple[int, list[int], list[Fetched | None]]


def fetch(
    limiter: RedisFetchingLimiter | MemoryBackend,
    clients: Sequence[tuple[Client, int]],
    wanted: Sequence[tuple[int, Wanted]],
) -> Answer:
    """``clients``: each with its hits; ``wanted``: each with the index of its client, or -1."""
    rows: list[Client] = []
    quantities: list[int] = []
    place = {-1: -1}
    for index, (client, quantity) in enumerate(clients):
        place[index] = len(rows)
        cells = [client, *(client.also if client.plan is not None else ())]
        rows += cells
        quantities += [quantity] + [0] * (len(cells) - 1)
    answers: list[Any] = []
    limiter.admit_and_fetch(
        rows,
        quantities,
        [place[index] for index, _ in wanted],
        [each for _, each in wanted],
        lambda *a: answers.append(a),
    )
    ((revision, backlogs, fetched),) = answers
    return revision, list(backlogs), list(fetched)


terms = st.builds(
    Terms, st.sampled_from([0, 0, 40_000, 60_000]), st.sampled_from([0, 0, 0, T0, T0 + 200_000]), st.booleans()
)
hits = st.lists(
    st.tuples(st.sampled_from([ADDRESS, OTHER, PLANNED]), st.integers(0, 4)),
    max_size=3,
    unique_by=lambda each: id(each[0]),
)
wished = st.lists(
    st.tuples(st.integers(-1, 2), st.builds(Wanted, st.sampled_from(NAMES), terms)), min_size=1, max_size=5
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100_000), hits, wished), max_size=6))
def test_lua_is_the_memory_backend_whatever_the_sequence(
    redis_server: RedisServer, steps: list[tuple[int, list[tuple[Client, int]], list[tuple[int, Wanted]]]]
) -> None:
    redis_server.flush()
    link = Link(redis_server)
    memory = MemoryBackend(lambda: link.now * 1000, lambda: link.now)
    for step, clients, wishes in steps:
        link.now += step
        wanted = [(min(index, len(clients) - 1), each) for index, each in wishes]
        ask = partial(fetch, clients=clients, wanted=wanted)
        assert ask(RedisFetchingLimiter(link)) == ask(memory)
        held = [read_record(redis_server.command("GET", ONE.of_identity(name))) for name in NAMES]
        assert held == [memory.records.get(name, link.now) for name in NAMES]


def new(name: str = NAMES[0], ttl: int = 60_000, provisional: bool = False) -> Wanted:
    return Wanted(name, Terms(ttl, 0, provisional))


def test_what_is_wanted_of_a_client_that_is_refused_is_left_out_and_not_written(redis: RedisServer) -> None:
    link = Link(redis)
    limiter = RedisFetchingLimiter(link)
    life = Life(T0, T0 + 60_000)
    issued = Issued(Outcome.ISSUED, life)
    asked = [(0, new()), (1, new(NAMES[1])), (-1, new(NAMES[2]))]
    assert fetch(limiter, [(ADDRESS, 4), (OTHER, 1)], asked)[2] == [None, issued, issued]
    assert redis.command("EXISTS", ONE.of_identity(NAMES[0])) == 0
    assert fetch(limiter, [(ADDRESS, 1)], [(0, new())])[2] == [None], "it has used up its quota"
    assert fetch(limiter, [(PLANNED, 3)], [(0, new())])[2] == [None], "one of its policies has no room for the third"
    assert fetch(limiter, [(OTHER, 0)], [(0, Wanted(name, Terms())) for name in NAMES])[2] == [
        LookedUp(None),
        LookedUp(StoreRecord(life)),
        LookedUp(StoreRecord(life)),
    ]


def test_an_identity_that_is_wanted_twice_is_begun_once(redis: RedisServer) -> None:
    limiter = RedisFetchingLimiter(Link(redis))
    life = Life(T0, T0 + 60_000)
    wanted = [(0, new(provisional=True)), (0, Wanted(NAMES[0], Terms())), (0, new(provisional=True))]
    assert fetch(limiter, [(ADDRESS, 3)], wanted)[2] == [
        Issued(Outcome.ISSUED, life),
        LookedUp(StoreRecord(life, 0, True)),
        Issued(Outcome.PROVISIONAL, life),
    ]


def test_more_than_a_command_takes_is_left_out(redis: RedisServer) -> None:
    wanted = [(-1, new(f"p-{number}@a.example/v1:id")) for number in range(MAX_ROWS + 2)]
    fetched = fetch(RedisFetchingLimiter(Link(redis)), [(ADDRESS, 1)], wanted)[2]
    assert fetched == [Issued(Outcome.ISSUED, Life(T0, T0 + 60_000))] * (MAX_ROWS - 1) + [None] * 3


def test_a_revoked_identity_begins_again_after_its_floor(redis: RedisServer) -> None:
    redis.command("SET", ONE.of_identity(NAMES[0]), f"{T0 - 5} 60000 {T0 + 7}")
    limiter = RedisFetchingLimiter(Link(redis))
    looked = LookedUp(StoreRecord(Life(T0 - 5, T0 + 59_995), T0 + 7))
    assert fetch(limiter, [], [(-1, Wanted(NAMES[0], Terms()))])[2] == [looked]
    assert fetch(limiter, [], [(-1, new())])[2] == [Issued(Outcome.ISSUED, Life(T0 + 8, T0 + 60_008))]
