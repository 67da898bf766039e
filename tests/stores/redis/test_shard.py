"""One shard between fake nodes: each redirection, and what a command gets in the end."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.redis.cluster import ClusterBackend
from tests.support.fake_redis import Command, FakeRedis, ordinary
from tests.support.loops import Answer, run, until
from tests.support.redis_cluster import TAGS

SHARD = 2
KEY = b"af:{%b}:x" % TAGS[SHARD]
TIMEOUT = 0.25


@dataclass
class Pair:
    """Two fake nodes, of which the first has all slots."""

    one: FakeRedis
    other: FakeRedis
    backend: ClusterBackend

    def get(self) -> Answer[object]:
        """One command of the shard."""
        answer: Answer[object] = Answer()
        self.backend.shards[SHARD].send(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(KEY), KEY), answer)
        return answer


def node(place: Callable[[], int], get: Callable[[], bytes | None]) -> Callable[[Command], bytes | None]:
    """A node that names a port as that of all slots, and answers GET as it is told; its scripts reply two zeros."""

    def answer(command: Command) -> bytes | None:
        match command[0]:
            case b"CLUSTER":
                return b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n" % place()
            case b"EVALSHA" if command[1:3]:
                return b"*2\r\n:0\r\n:0\r\n"
            case b"GET":
                return get()
        return ordinary(command)

    return answer


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(FakeRedis()) for _ in range(2)]
        one.answer = node(lambda: one.port, lambda: b"$3\r\none\r\n")
        other.answer = node(lambda: one.port, lambda: b"$5\r\nother\r\n")
        backend = ClusterBackend(f"redis+cluster://127.0.0.1:{one.port}", timeout=TIMEOUT, jitter=lambda: 0.0)
        await backend.start()
        assert backend.healthy
        stack.push_async_callback(backend.close)
        yield Pair(one, other, backend)


def scenario(say: Callable[[Pair], bytes | None], judge: Callable[[Pair, object], None]) -> None:
    async def main() -> None:
        async with pair() as both:
            both.one.answer = node(lambda: both.one.port, lambda: say(both))
            judge(both, await both.get().wait())

    run(main())


def test_a_command_is_answered_by_the_node_that_has_the_slot() -> None:
    def judge(both: Pair, reply: object) -> None:
        assert reply == b"one"
        assert both.other.accepted == 0

    scenario(lambda _: b"$3\r\none\r\n", judge)


def test_moved_is_followed_to_a_node_that_has_no_connection_yet_and_kept() -> None:
    async def main() -> None:
        async with pair() as both:
            moved = b"-MOVED 7508 127.0.0.1:%d\r\n" % both.other.port
            both.one.answer = node(lambda: both.other.port, lambda: moved)
            assert await both.get().wait() == b"other"
            assert await both.get().wait() == b"other"
            assert both.one.names().count(b"GET") == 1
            assert both.backend.healthy
            at_one, at_other = both.backend.shards[SHARD - 1].node, both.backend.shards[SHARD].node
            assert at_one is not None
            assert at_other is not None
            assert (at_one.shards, at_other.shards) == (2, 1)

    run(main())


def test_a_moved_without_a_host_is_one_of_the_node_that_says_it() -> None:
    scenario(lambda both: b"-MOVED 7508 :%d\r\n" % both.other.port, lambda _, reply: _is(reply, b"other"))


def test_ask_is_followed_once_with_asking() -> None:
    async def main() -> None:
        async with pair() as both:
            both.one.answer = node(lambda: both.one.port, lambda: b"-ASK 7508 127.0.0.1:%d\r\n" % both.other.port)
            assert await both.get().wait() == b"other"
            assert both.other.names()[-2:] == [b"ASKING", b"GET"]
            assert await both.get().wait() == b"other"
            assert both.one.names().count(b"GET") >= 2, "the slot is still the first node's"

    run(main())


@pytest.mark.parametrize("moved", [True, False])
def test_nodes_that_name_each_other_are_given_up_at_the_time_out(moved: bool) -> None:
    async def main() -> None:
        async with pair() as both:
            for fake, there in ((both.one, both.other), (both.other, both.one)):
                text = b"-%b 7508 127.0.0.1:%d\r\n" % (b"MOVED" if moved else b"ASK", there.port)
                fake.answer = node(lambda: both.one.port, lambda text=text: text)  # type: ignore[misc]
            assert await both.get().wait() is None

    run(main())


def test_try_again_is_handed_on_while_the_keys_are_at_two_nodes() -> None:
    async def main() -> None:
        async with pair() as both:
            split: list[bool] = []
            both.one.answer = node(lambda: both.one.port, lambda: b"-TRYAGAIN Multiple keys\r\n")
            shard = both.backend.shards[SHARD]
            done: Answer[object] = Answer()

            def answered(reply: object) -> None:
                split.append(shard.is_split)
                done(reply)

            shard.send(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(KEY), KEY), answered)
            await done.wait()
            assert split == [True]
            assert not shard.is_split
            assert both.backend.healthy

    run(main())


def test_a_cluster_that_is_down_takes_the_shard_away_until_its_node_takes_a_write() -> None:
    async def main() -> None:
        async with pair() as both:
            ill = True

            def answer(command: Command) -> bytes | None:
                down = ill and command[0] in (b"GET", b"EVALSHA") and TAGS[SHARD] in b" ".join(command)
                return b"-CLUSTERDOWN The cluster is down\r\n" if down else ordinary_(command)

            ordinary_, both.one.answer = both.one.answer, answer
            assert await both.get().wait() is None
            assert not both.backend.shards[SHARD].healthy
            assert both.backend.fault == "shard 2 of 3: it answers CLUSTERDOWN: it is a cluster that is down"
            assert await both.get().wait() is None, "at once, from now on"
            ill = False
            await until(lambda: both.backend.healthy)
            assert await both.get().wait() == b"one"

    run(main())


def test_a_lost_node_takes_its_shards_away_and_its_commands_get_none() -> None:
    async def main() -> None:
        async with pair() as both:
            returned: Answer[None] = Answer()
            both.backend.on_return = lambda: returned(None)
            both.one.answer = node(lambda: both.one.port, lambda: None)
            waiting = both.get()
            await until(lambda: b"GET" in both.one.names())
            both.one.hang_up()
            assert await waiting.wait() is None
            await returned.wait()
            assert both.backend.healthy

    run(main())


def _is(reply: object, wanted: bytes) -> None:
    assert reply == wanted


def test_rows_that_no_node_takes_alone_either_have_no_answer() -> None:
    """That they are taken alone is in tests/integration/test_cluster.py, with real nodes."""

    async def main() -> None:
        async with pair() as both:
            both.one.answer = lambda command: (
                b"-TRYAGAIN Multiple keys\r\n" if command[0] == b"EVALSHA" else ordinary(command)
            )
            done: Answer[tuple[int, Sequence[int] | None]] = Answer()
            client = Client(b"203.0.113.9", Quota(10, 10))
            both.backend.shards[SHARD].limiter.admit([client], [1], lambda *values: done(values))
            assert await done.wait() == (0, None)
            assert both.one.names()[-2:] == [b"EVALSHA", b"EVALSHA"], "with the row, and for the revision alone"

    run(main())
