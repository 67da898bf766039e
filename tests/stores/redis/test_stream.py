"""A stream of replies: the same results for every split; it ends at the first byte that is no RESP."""

import asyncio
from typing import Any

import pytest
from hiredis import ReplyError

from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.redis.connection import Connection, Stream
from arsenal_fast.stores.redis.resp import Reply
from arsenal_fast.stores.redis.url import RedisAddress

REPLIES = (
    b":5\r\n*3\r\n:1\r\n:-2\r\n:9007199254740993\r\n$5\r\na\r\nb\0\r\n-ERR x\r\n*2\r\n$-1\r\n$0\r\n\r\n+PONG\r\n*0\r\n"
)
VALUES: list[Any] = [5, [1, -2, 9007199254740993], b"a\r\nb\0", ReplyError("ERR x"), [None, b""], b"PONG", []]


class RecordingOwner:
    """A stub of a Connection: it notes why the stream was given up, and ends it as the real one does."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.reasons: list[str] = []
        self.handed_on: frozenset[str] = frozenset()

    def opened(self, stream: Stream) -> None:
        pass

    def lost(self, stream: Stream, reason: str) -> None:
        self.reasons.append(reason)
        stream.kill()


class RecordingTransport(asyncio.Transport):
    """A stub of a socket's transport: it keeps what is written and whether it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


def opened() -> tuple[Stream, RecordingOwner, RecordingTransport]:
    owner, transport = RecordingOwner(), RecordingTransport()
    stream = Stream(owner)
    stream.connection_made(transport)
    return stream, owner, transport


def ask(stream: Stream, count: int) -> list[tuple[int, Reply]]:
    got: list[tuple[int, Reply]] = []
    for number in range(count):
        stream.send(b"x", lambda reply, number=number: got.append((number, reply)), 0.0, 0.0)  # type: ignore[misc]
    return got


def same(got: list[tuple[int, Reply]]) -> bool:
    return [number for number, _ in got] == list(range(len(VALUES))) and repr([r for _, r in got]) == repr(VALUES)


def test_replies_answer_commands_in_order() -> None:
    stream, owner, transport = opened()
    got = ask(stream, len(VALUES))
    stream.data_received(REPLIES)
    assert same(got)
    assert owner.reasons == []
    assert owner.counters.replies == owner.counters.round_trips == len(VALUES)
    assert owner.counters.failures == 1
    assert not stream.pending
    assert len(transport.written) == len(VALUES)


@pytest.mark.parametrize("cut", range(1, len(REPLIES)))
def test_replies_cut_anywhere_are_the_same(cut: int) -> None:
    stream, owner, _ = opened()
    got = ask(stream, len(VALUES))
    stream.data_received(REPLIES[:cut])
    stream.data_received(REPLIES[cut:])
    assert same(got)
    assert owner.reasons == []


def test_replies_octet_by_octet_are_the_same() -> None:
    stream, _, _ = opened()
    got = ask(stream, len(VALUES))
    for byte in REPLIES:
        stream.data_received(bytes([byte]))
    assert same(got)


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n", b"\0", b"\r\n", b"*-5\r\n", b":x\r\n"])
def test_garbage_ends_the_stream_and_all_callers_get_none(garbage: bytes) -> None:
    stream, owner, transport = opened()
    got = ask(stream, 3)
    stream.data_received(b":1\r\n" + garbage)
    assert got == [(0, 1), (1, None), (2, None)]
    assert len(owner.reasons) == 1
    assert transport.aborted


def test_a_reply_that_nothing_asked_for_ends_the_stream() -> None:
    stream, owner, transport = opened()
    got = ask(stream, 1)
    stream.data_received(b":1\r\n:2\r\n")
    assert got == [(0, 1)]
    assert len(owner.reasons) == 1
    assert transport.aborted


def test_nothing_is_read_after_the_end() -> None:
    stream, owner, _ = opened()
    got = ask(stream, 2)
    stream.data_received(b"?\r\n:7\r\n")
    stream.data_received(b":8\r\n")
    assert got == [(0, None), (1, None)]
    assert len(owner.reasons) == 1


def test_an_outage_gives_all_callers_none_and_ends_the_stream() -> None:
    stream, owner, transport = opened()
    got = ask(stream, 3)
    stream.data_received(b":1\r\n-READONLY You can't write against a read only replica.\r\n:3\r\n")
    assert got == [(0, 1), (1, None), (2, None)]
    assert owner.reasons == ["it answers READONLY: it is a replica, which can't be written"]
    assert owner.counters.outages == 1
    assert transport.aborted


def test_a_connect_that_comes_late_is_closed_unused() -> None:
    connection = Connection(RedisAddress(host="127.0.0.1"), [b"PING"], timeout=1, jitter=lambda: 0.0)
    late, transport = Stream(connection, attempt=-1), RecordingTransport()
    late.connection_made(transport)
    assert transport.aborted
    assert transport.written == []
    assert not connection.healthy
