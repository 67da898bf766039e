"""A bounded map whose hit costs one dictionary look-up.

An exact LRU moves an entry at every hit; this cache keeps two generations instead. New and re-used
entries live in the young one; when that is full it becomes the old one, and what is not asked for
again before the next turn is forgotten. So an entry survives at least ``capacity`` and at most
``2 * capacity`` insertions after its last use (2Q and SIEVE rest on the same idea).

Forgetting is spread out: a dropped generation is emptied two entries at each insertion, so that no
request pays for freeing a hundred thousand of them.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

ONE_IN: Final = 16
"""Entries offered to a cache without room for each one that it takes."""

K = TypeVar("K")
V = TypeVar("V")


class GenerationalCache(Generic[K, V]):
    """At most ``2 * capacity`` living entries, and a dropped generation that is being emptied."""

    __slots__ = ("_capacity", "_dying", "_offered", "_old", "_retire", "young")

    def __init__(self, capacity: int, retire: Callable[[V], None] | None = None) -> None:
        """``retire`` is told of every value that is forgotten for want of room, when that is done."""
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self._capacity = capacity
        self._retire = retire
        self.young: dict[K, V] = {}
        """The young generation; a caller in a hurry may look here first, and never writes to it."""
        self._old: dict[K, V] = {}
        self._dying: dict[K, V] = {}
        self._offered = 0

    def get(self, key: K) -> V | None:
        """Return the entry, keeping it young, or None."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Insert or replace an entry."""
        if len(self.young) >= self._capacity:
            self._turn()
        self.young[key] = value
        # A key stands in one generation only, so that counting the entries needs no look at them.
        self._old.pop(key, None)
        if self._dying:
            self._forget_two()

    def swap(self, key: K, value: V) -> V | None:
        """Insert an entry and return what it replaces, also where that is being forgotten; or None."""
        if len(self.young) >= self._capacity:
            self._turn()
        replaced = self.young.get(key)
        self.young[key] = value
        if replaced is None:
            replaced = self._old.pop(key, None)
        if self._dying:
            if replaced is None:
                replaced = self._dying.pop(key, None)
            self._forget_two()
        return replaced

    def offer(self, key: K, value: V) -> None:
        """Insert an entry that may never be asked for again: always while there is room, else one in ``ONE_IN``.

        So keys that come once hardly displace the others, and cost next to nothing; what comes often is soon in.
        """
        if self._old:
            self._offered += 1
            if self._offered % ONE_IN:
                return
        self.put(key, value)

    def peek(self, key: K) -> V | None:
        """Return what is held under the key without keeping it young, also where it is being forgotten; or None."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is None:
                value = self._dying.get(key)
        return value

    def discard(self, key: K) -> None:
        """Forget the entry if it is there."""
        self.young.pop(key, None)
        self._old.pop(key, None)
        self._dying.pop(key, None)

    def clear(self) -> None:
        """Forget everything, at once."""
        if self._retire is not None:
            for value in self.held():
                self._retire(value)
        self.young.clear()
        self._old.clear()
        self._dying.clear()

    def values(self) -> Iterator[V]:
        """Yield the living entries as they stand now, each key once."""
        young, old = tuple(self.young.values()), tuple(self._old.values())
        yield from young
        yield from old

    def held(self) -> Iterator[V]:
        """Yield the living entries and those that are being forgotten."""
        yield from self.values()
        yield from tuple(self._dying.values())

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def _turn(self) -> None:
        # `young` is replaced, not emptied: a reader who holds the old dictionary sees no change.
        while self._dying:
            self._forget_two()
        self._dying = self._old
        self._old = self.young
        self.young = {}

    def _forget_two(self) -> None:
        dying, retire = self._dying, self._retire
        for _ in range(min(2, len(dying))):
            _, value = dying.popitem()
            if retire is not None:
                retire(value)
