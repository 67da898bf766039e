"""Shares the workers' counts: one snapshot for each worker, in shared memory.

An anonymous mapping made before the workers are forked. Each worker has a slot that only it writes; every
worker reads all of them, so that a scrape of one answers for all. A slot has a sequence byte and two halves:
the snapshot goes into the half that is not current, then the byte is incremented and makes it current. So a writer
that dies at any point (``kill -9``) leaves the last whole snapshot current.

One more slot is for the sum of them all, which the worker that holds its lock may write. The lock is the kernel's, by
process, so that it ends with a writer that dies, and no worker waits for it.

The races: a reader copies a half while the writer overwrites it: the sequence has changed, and the reader tries again.
A processor publishes the byte before the half (ARM may): the checksum is wrong, and the reader tries again. A reader
that never succeeds returns the last snapshot it has read: sums over workers never go back.
"""

import fcntl
import mmap
import os
import struct
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_HEAD: Final = struct.Struct("=II")  # length and CRC-32 of the payload
_SEQUENCE: Final = 8  # bytes for the sequence byte, so that the halves are aligned
_TRIES: Final = 100


class SharedCounters:
    """Shared memory for ``slots`` snapshots of at most ``size`` bytes each. Make it before forking."""

    def __init__(self, slots: int, size: int) -> None:
        self.slots = slots
        self.size = size
        self._half = _HEAD.size + (size + 7) // 8 * 8
        self._stride = _SEQUENCE + 2 * self._half
        self._memory = mmap.mmap(-1, (slots + 1) * self._stride)
        self._seen = [b""] * (slots + 1)
        self._lock = _nameless_file()
        weakref.finalize(self, os.close, self._lock)

    def write(self, slot: int, payload: bytes) -> None:
        """Replace the slot's snapshot; only its owner may. ValueError if ``payload`` is too large."""
        self._write(self._checked(slot), payload)

    def read(self, slot: int) -> bytes:
        """Return the slot's last whole snapshot; empty before the first."""
        return self._read(self._checked(slot))

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Try to lock the sum for writing; yields whether that succeeded."""
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def write_sum(self, payload: bytes) -> None:
        """Replace the sum. ValueError if ``payload`` is too large."""
        self._write(self.slots, payload)

    def read_sum(self) -> bytes:
        """Return the last whole sum; empty before the first."""
        return self._read(self.slots)

    def _write(self, slot: int, payload: bytes) -> None:
        if len(payload) > self.size:
            raise ValueError(f"A snapshot of {len(payload)} bytes does not fit into {self.size}.")
        memory, base = self._memory, slot * self._stride
        following = (memory[base] + 1) & 0xFF
        start = self._start(base, following)
        snapshot = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        memory[start : start + len(snapshot)] = snapshot
        memory[base] = following  # from here on readers see it

    def _read(self, slot: int) -> bytes:
        memory, base = self._memory, slot * self._stride
        for _ in range(_TRIES):
            sequence = memory[base]
            start = self._start(base, sequence)
            length, checksum = _HEAD.unpack(memory[start : start + _HEAD.size])
            payload = memory[start + _HEAD.size : start + _HEAD.size + min(length, self.size)]
            if memory[base] == sequence and zlib.crc32(payload) == checksum:
                self._seen[slot] = payload
                return payload
        return self._seen[slot]

    def _checked(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise IndexError(f"There is no slot {slot} of {self.slots}.")
        return slot

    def _start(self, base: int, sequence: int) -> int:
        return base + _SEQUENCE + (sequence & 1) * self._half


def _nameless_file() -> int:
    """Return the descriptor of a file that only this process and its forks can reach."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("arsenal-fast", 0)  # needs no directory that can be written to
    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor
