"""The map of slots as any node may tell it, and the connections to the nodes."""

import asyncio

import pytest

from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.redis import nodes
from arsenal_fast.stores.redis.nodes import Node, Nodes, NodeStream, Range, read_slots
from arsenal_fast.stores.redis.resp import pack
from arsenal_fast.stores.redis.url import Place, parse_url
from tests.support.fake_redis import Command, FakeRedis, ordinary
from tests.support.loops import run, until

ASKED = Place("10.0.0.1", 7000)


@pytest.mark.parametrize(
    ("entry", "read"),
    [
        ([0, 99, [b"10.0.0.2", 7001, b"id"]], Range(0, 99, Place("10.0.0.2", 7001))),
        ([0, 99, [b"10.0.0.2", 7001]], Range(0, 99, Place("10.0.0.2", 7001))),  # before 4.0
        ([5, 5, [b"::1", 7001, b"id", []], [b"::2", 7002, b"id"]], Range(5, 5, Place("::1", 7001))),
        ([0, 99, [b"", 7001, b"id"]], Range(0, 99, Place("10.0.0.1", 7001))),
        ([0, 99, [None, 7001, b"id", [b"ip", b"10.0.0.2"]]], Range(0, 99, Place("10.0.0.1", 7001))),
    ],
)
def test_a_map_of_slots_is_read(entry: object, read: Range) -> None:
    assert read_slots([entry], ASKED) == [read]
    assert read_slots([entry, [1, 2, [b"?", 7001, b"id"]]], ASKED) == [read]


@pytest.mark.parametrize(
    "reply", [None, b"OK", 3, [3], [[0, 99]], [[0, 99, [b"h", 0, b""]]], [[0, b"9", [b"h", 1, b""]]], [[0, 99, b"h"]]]
)
def test_what_is_no_map_is_none(reply: object) -> None:
    assert read_slots(reply, ASKED) is None


def made(url: str, learned: list[tuple[Node, object]], whole: bool = True) -> Nodes:
    return Nodes(
        parse_url(url),
        [pack(b"PING")],
        counters=Counters(),
        learned=lambda node, ranges: learned.append((node, ranges)),
        changed=lambda node: None,
        is_whole=lambda: whole,
        timeout=0.25,
        jitter=lambda: 0.0,
    )


def test_each_node_tells_its_map_when_it_is_usable_and_while_a_shard_is_away_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(command: Command) -> bytes | None:
        if command[0] == b"CLUSTER":
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7001\r\n"
        return ordinary(command)

    async def main() -> None:
        async with FakeRedis(answer) as fake:
            learned: list[tuple[Node, object]] = []
            found = made(f"redis+cluster://127.0.0.1:{fake.port}", learned, whole=False)
            found.start()
            await until(lambda: len(learned) >= 3)
            node = found.at(Place("127.0.0.1", fake.port))
            assert learned[0] == (node, [Range(0, 16383, Place("127.0.0.1", 7001))])
            assert fake.accepted == 1
            await found.close()
            assert not node.healthy

    monkeypatch.setattr(nodes, "LOOK", 0.01)
    run(main())


def test_a_node_that_serves_nothing_is_let_go_and_the_urls_are_tried_while_a_shard_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with FakeRedis() as seed, FakeRedis() as other:
            found = made(f"redis+cluster://127.0.0.1:{seed.port}", [], whole=False)
            found.start()
            first = found.at(Place("127.0.0.1", other.port))
            await until(lambda: first.healthy)
            monkeypatch.setattr(nodes, "UNUSED", 0.0)
            await until(lambda: seed.accepted >= 2)  # let go, and opened again
            assert found.at(Place("127.0.0.1", other.port)) is not first
            await found.close()

    monkeypatch.setattr(nodes, "LOOK", 0.01)
    run(main())


def test_files_of_tls_that_are_no_use_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="ssl_ca_certs"):
        made("rediss+cluster://127.0.0.1?ssl_ca_certs=/nonexistent", [])


class RecordingTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


def test_commands_of_one_tick_are_one_write_to_a_node_with_several_shards() -> None:
    async def main() -> None:
        node = made("redis+cluster://127.0.0.1:1", []).at(Place("127.0.0.1", 1))
        node.shards = 2
        stream, transport = NodeStream(node), RecordingTransport()
        stream.transport = transport
        replies: list[object] = []
        for command in (b"one", b"two"):
            stream.send(command, replies.append, 0.0, 0.0)
        assert transport.written == []
        await until(lambda: bool(transport.written))
        assert transport.written == [b"onetwo"]
        stream.send(b"three", replies.append, 0.0, 0.0)
        await until(lambda: len(transport.written) == 2)
        stream.send(b"four", replies.append, 0.0, 0.0)
        stream.kill()
        assert replies == [None] * 4
        after = asyncio.Event()
        asyncio.get_running_loop().call_soon(after.set)
        await after.wait()
        assert transport.written == [b"onetwo", b"three"]
        await node.close()

    run(main())


def test_commands_to_a_node_with_one_shard_are_written_at_once_and_none_overtakes() -> None:
    async def main() -> None:
        node = made("redis+cluster://127.0.0.1:1", []).at(Place("127.0.0.1", 1))
        stream, transport = NodeStream(node), RecordingTransport()
        stream.transport = transport
        replies: list[object] = []
        node.shards = 1
        stream.send(b"one", replies.append, 0.0, 0.0)
        assert transport.written == [b"one"]
        node.shards = 2
        stream.send(b"two", replies.append, 0.0, 0.0)
        node.shards = 1
        stream.send(b"three", replies.append, 0.0, 0.0)
        assert transport.written == [b"one"]
        await until(lambda: len(transport.written) == 2)
        assert transport.written == [b"one", b"twothree"]
        stream.kill()
        assert replies == [None] * 3
        await node.close()

    run(main())
