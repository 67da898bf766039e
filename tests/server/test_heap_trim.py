"""When the heap is trimmed: while idle, after it has grown, and once."""

import ctypes

import pytest

from arsenal_fast.server import heap_trim
from arsenal_fast.server.heap_trim import GROWTH, HeapTrim, malloc_trim

MIB = 1_048_576


class Process:
    """A process of which a trim frees ``free`` bytes."""

    def __init__(self) -> None:
        self.resident = 40 * MIB
        self.free = 0
        self.cpu_s = 1.0
        self.trims = 0
        self.heap = HeapTrim(self.trim, lambda: self.resident, lambda: self.cpu_s)

    def trim(self) -> None:
        self.trims += 1
        self.resident -= self.free
        self.free = 0

    def burst(self, octets: int, free: int) -> None:
        self.resident += octets
        self.free += free

    def look(self, cpu_s: float = 0.0) -> int:
        self.cpu_s += cpu_s
        self.heap.look()
        return self.trims


def test_what_a_burst_has_left_is_given_back_once_the_worker_is_idle() -> None:
    process = Process()
    process.burst(100 * MIB, 90 * MIB)
    assert process.look(cpu_s=4.0) == 0, "it is busy"
    assert process.look(cpu_s=0.4) == 1
    assert process.resident == 50 * MIB
    assert process.look() == 1


def test_little_growth_is_not_worth_a_call() -> None:
    process = Process()
    process.burst(GROWTH, GROWTH)
    assert process.look() == 0
    process.burst(1, 0)
    assert process.look() == 1


def test_memory_that_is_in_use_is_not_asked_for_again_and_again() -> None:
    process = Process()
    process.burst(100 * MIB, 0)
    assert [process.look() for _ in range(5)] == [1] * 5
    process.burst(20 * MIB, 20 * MIB)
    assert process.look() == 2


def test_growth_counts_from_the_least_that_was_seen() -> None:
    process = Process()
    process.burst(100 * MIB, 0)
    process.look()
    process.resident = 60 * MIB
    process.look()
    process.burst(20 * MIB, 20 * MIB)
    assert process.look() == 2


def test_glibc_has_the_function_and_it_can_be_called() -> None:
    trim = malloc_trim()
    assert trim is not None
    assert trim() in (0, 1)
    assert heap_trim.trimmer(lambda: 0, lambda: 0.0) is not None


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Musl:
        pass

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Musl())
    assert malloc_trim() is None

    def never() -> int:
        raise AssertionError("nothing is looked at")

    assert heap_trim.trimmer(never, never) is None
