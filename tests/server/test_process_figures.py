"""The figures of a process, compared with the kernel's."""

import gc
import os
import time

from arsenal_fast.server.process_figures import process_figures, resident_bytes


def test_the_figures_are_of_this_process() -> None:
    figures = process_figures()
    assert 0 < figures.cpu_seconds <= time.process_time()
    assert figures.resident_bytes > 1_000_000
    assert figures.started <= time.time()


def test_an_open_descriptor_and_a_collection_are_counted() -> None:
    before = process_figures()
    descriptor = os.open(os.devnull, os.O_RDONLY)
    gc.collect()
    after = process_figures()
    os.close(descriptor)
    assert after.open_descriptors == before.open_descriptors + 1
    assert after.collections[2] > before.collections[2]


def test_memory_is_counted_in_octets() -> None:
    before = resident_bytes()
    held = b"x" * (64 << 20)
    assert resident_bytes() - before > len(held) // 2
