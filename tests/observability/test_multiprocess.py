"""Snapshots between processes: complete ones or none."""

import os
from typing import Any

import pytest

from arsenal_fast.observability import multiprocess
from arsenal_fast.observability.multiprocess import SharedCounters


class Killed(BaseException):
    """What kill -9 is to the writer: nothing after it runs."""


class FragileMemory:
    """A fake of mmap: the writer dies after it has stored that many bytes, in the order of their addresses."""

    def __init__(self, memory: Any, octets: int) -> None:
        self.memory, self.octets = memory, octets

    def __getitem__(self, index: Any) -> Any:
        return self.memory[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        start, stored = (index.start, value) if isinstance(index, slice) else (index, bytes([value]))
        stored = stored[: self.octets]
        self.memory[start : start + len(stored)] = stored
        self.octets -= len(stored)
        if self.octets == 0:
            raise Killed


def snapshots(counters: SharedCounters) -> list[bytes]:
    return [counters.read(slot) for slot in range(counters.slots)]


def test_what_was_never_written_is_empty() -> None:
    assert snapshots(SharedCounters(3, 100)) == [b"", b"", b""]


def test_a_reader_sees_the_last_snapshot_of_each_slot() -> None:
    counters = SharedCounters(2, 100)
    for number in range(600):  # more than the sequence byte counts
        counters.write(0, b"a%d" % number)
        assert counters.read(0) == b"a%d" % number
    counters.write(1, b"b" * 100)
    assert snapshots(counters) == [b"a599", b"b" * 100]


def test_a_shorter_snapshot_leaves_nothing_of_a_longer_one() -> None:
    counters = SharedCounters(1, 100)
    for payload in (b"x" * 100, b"y" * 100, b"z", b""):
        counters.write(0, payload)
        assert counters.read(0) == payload


def test_a_snapshot_that_is_too_large_is_refused_whole() -> None:
    counters = SharedCounters(2, 10)
    counters.write(0, b"good")
    with pytest.raises(ValueError, match="11 octets does not fit into 10"):
        counters.write(0, b"x" * 11)
    assert snapshots(counters) == [b"good", b""]


@pytest.mark.parametrize("slot", [-1, 2])
def test_a_slot_that_is_not_there_is_an_error(slot: int) -> None:
    counters = SharedCounters(2, 10)
    with pytest.raises(IndexError):
        counters.write(slot, b"")
    with pytest.raises(IndexError):
        counters.read(slot)


TORN = b"torn" * 5


@pytest.mark.parametrize("octets", range(multiprocess._HEAD.size + len(TORN) + 1))
@pytest.mark.parametrize("before", [1, 2, 255, 256])
def test_a_writer_killed_after_any_octet_leaves_the_last_whole_snapshot(octets: int, before: int) -> None:
    counters = SharedCounters(2, 100)
    for number in range(before):
        counters.write(0, b"whole %d" % number)
    counters.write(1, b"neighbour")
    memory: Any = counters._memory
    fragile: Any = FragileMemory(memory, octets)
    counters._memory = fragile
    with pytest.raises(Killed):
        counters.write(0, TORN)
    counters._memory = memory
    counters._seen = [b"", b""]  # a reader without an earlier snapshot
    assert snapshots(counters) == [b"whole %d" % (before - 1), b"neighbour"]
    counters.write(0, b"the next worker's")
    assert counters.read(0) == b"the next worker's"


class MovingMemory:
    """A fake of mmap in which the writer comes round twice in the middle of each of the first ``moves`` reads."""

    def __init__(self, counters: SharedCounters, moves: int) -> None:
        self.counters, self.memory, self.moves, self.number = counters, counters._memory, moves, 0

    def __getitem__(self, index: Any) -> Any:
        value = self.memory[index]
        if isinstance(index, slice) and self.moves:
            self.moves -= 1
            self._write_twice()
            cut = len(value) // 2
            value = value[:cut] + self.memory[index][cut:]
        return value

    def _write_twice(self) -> None:
        memory: Any = self
        self.counters._memory = self.memory
        for _ in range(2):
            self.number += 1
            self.counters.write(0, b"%06d" % self.number * 10)
        self.counters._memory = memory


@pytest.mark.parametrize("moves", [0, 1, 2, 50])
def test_a_reader_whom_the_writer_overtakes_reads_again(moves: int) -> None:
    counters = SharedCounters(1, 100)
    counters.write(0, b"000000" * 10)
    moving: Any = MovingMemory(counters, moves)
    counters._memory = moving
    assert counters.read(0) == b"%06d" % (2 * moves) * 10


def test_a_reader_that_never_wins_answers_with_what_it_saw_last() -> None:
    counters = SharedCounters(1, 100)
    counters.write(0, b"seen")
    assert counters.read(0) == b"seen"
    moving: Any = MovingMemory(counters, 10_000)
    counters._memory = moving
    assert counters.read(0) == b"seen"


def test_a_half_shown_before_it_is_written_is_not_believed() -> None:
    counters = SharedCounters(1, 100)
    counters.write(0, b"first")
    counters.write(0, b"second")
    assert counters.read(0) == b"second"
    start = counters._start(0, counters._memory[0]) + multiprocess._HEAD.size
    counters._memory[start : start + 6] = b"sec\0\0\0"
    assert counters.read(0) == b"second"  # the one seen before, not the current bytes


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child touches nothing that has a lock
def test_processes_see_each_others_snapshots_while_they_are_written() -> None:
    counters = SharedCounters(2, 4096)
    child = os.fork()
    if not child:
        for number in range(3000):
            counters.write(0, b"%08d" % number * 400)
        os._exit(0)
    last = b""
    while not os.waitpid(child, os.WNOHANG)[0]:
        payload = counters.read(0)
        assert payload[:8] * (len(payload) // 8) == payload
        assert payload >= last
        last = payload
    assert counters.read(0) == b"%08d" % 2999 * 400


def test_the_sum_has_a_slot_of_its_own() -> None:
    counters = SharedCounters(2, 100)
    assert counters.read_sum() == b""
    counters.write(1, b"b")
    counters.write_sum(b"sum")
    assert (snapshots(counters), counters.read_sum()) == ([b"", b"b"], b"sum")


def test_only_one_process_writes_the_sum_and_a_dead_one_holds_nobody_up() -> None:
    counters = SharedCounters(2, 100)
    held, go = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        with counters.alone() as alone:
            os.write(held[1], b"y" if alone else b"n")
            os.read(go[0], 1)
            os._exit(0)  # as a kill would, within the block
    try:
        assert os.read(held[0], 1) == b"y"
        with counters.alone() as alone:
            assert not alone
        os.write(go[1], b"x")
    finally:
        os.waitpid(child, 0)
        for descriptor in (*held, *go):
            os.close(descriptor)
    with counters.alone() as alone:
        assert alone
